//! Card files: any bytes are a character or an error, and what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(imported) = cards::import(bytes) else { return };
    let card = imported.card;
    let _ = card.lorebook();
    let _ = card.assets();
    for version in [card.to_value(), card.to_v1(), card.to_v2(), card.to_v3()] {
        let again = cards::Card::from_value(version).expect("what is written is a card");
        assert_eq!(again.text("description"), card.text("description"));
    }
});
