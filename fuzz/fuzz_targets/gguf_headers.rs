//! Headers of GGUF files: any bytes are a header or an error, whatever length the file claims to have.
#![no_main]

use formats::gguf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for length in [bytes.len() as u64, u64::MAX] {
        let Ok(header) = gguf::read(bytes, "x.gguf", length) else { continue };
        assert!(header.tensors.len() <= bytes.len());
        for key in ["general.architecture", "split.count", "tokenizer.ggml.tokens", "tokenizer.ggml.scores"] {
            let metadata = &header.metadata;
            let _ = (metadata.text(key), metadata.count(key), metadata.number(key), metadata.flag(key));
            let _ = (metadata.texts(key), metadata.integers(key), metadata.floats(key));
        }
    }
    let _ = gguf::text_in_beginning(bytes, b"general.architecture");
});
