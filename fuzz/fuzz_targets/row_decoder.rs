//! Can bytes in the place of a stored row make the decoder panic, or ask for all memory?
//!
//! `cargo fuzz run row_decoder --sanitizer none`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    store::decodes(bytes);
});
