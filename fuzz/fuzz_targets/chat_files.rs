//! Chat files: every line is a message, a note or damage, and all go out as they came.
#![no_main]

use cards::ChatFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(chat) = ChatFile::from_jsonl(bytes) else { return };
    let _ = (chat.user_name(), chat.character_name(), chat.speakers());
    for line in chat.messages() {
        assert!(!line.swipes().is_empty());
        if let Some((texts, shown)) = line.choice() {
            assert!(texts[shown].is_some());
        }
    }
    let out = chat.to_jsonl();
    let again = ChatFile::from_jsonl(out.as_bytes()).expect("what is written is a chat");
    assert_eq!(again.messages().count(), chat.messages().count());
});
