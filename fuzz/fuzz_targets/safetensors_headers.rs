//! Headers of safetensors files: any bytes are a header or an error, and every tensor of a header lies within its file.
#![no_main]

use formats::safetensors::{header, header_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file_length = bytes.len() as u64;
    if let Some((start, rest)) = bytes.split_first_chunk::<8>()
        && let Ok(length) = header_length(*start, file_length)
    {
        assert!(length <= rest.len());
    }
    // No search would find the length of a header: all bytes are one, of a file with some numbers behind it.
    let file_length = file_length + 8 + 64;
    let Ok(found) = header(bytes, file_length) else { return };
    for entry in found.tensors.values() {
        let end = entry.offset + entry.length as u64;
        assert!(end <= file_length && entry.length.is_multiple_of(entry.dtype.size()));
    }
});
