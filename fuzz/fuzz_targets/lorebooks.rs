//! Lorebooks: any JSON is a book or an error, and calling its entries comes to an end.
#![no_main]

use cards::{Lorebook, Memory, Scene};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(book) = Lorebook::from_json(bytes) else { return };
    let _ = book.warnings();
    let messages = ["The bell of the old tower rings.", "art, C++ and a cat: 1984"];
    let scene = Scene {
        messages: &messages,
        replies: 1,
        greeting: Some(0),
        user_icon: None,
        is_cut: false,
        chance: bytes.len() as u64,
        count_tokens: &|text| text.len() / 4,
        cancelled: &|| false,
    };
    let first = book.activate(&scene, &Memory::default());
    let again = book.activate(&scene, &first.memory);
    assert!(again.entries.len() <= book.entries.len());
});
