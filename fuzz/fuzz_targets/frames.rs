//! Frames of realtime sockets: any bytes are a message or an error, in both versions, and what is read can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::phoenix::{self, Frame, Message, Version};

fuzz_target!(|bytes: &[u8]| {
    for version in [Version::One, Version::Two] {
        if let Ok(message) = phoenix::read_binary(version, bytes) {
            pass_on(message);
        }
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        if let Ok(message) = phoenix::read_text(version, text) {
            answer(version, &message);
            pass_on(message);
        }
        let _ = syntax::conditions(text);
    }
});

/// What an answer names is read as it was.
fn answer(version: Version, message: &Message) {
    let (join_ref, reference) = (message.join_ref.as_deref(), message.reference.as_deref());
    let frame = phoenix::write(version, join_ref, reference, &message.topic, &message.event, "{}");
    let Frame::Text(text) = frame else { panic!("an answer is text") };
    let read = phoenix::read_text(version, &text).expect("an answer is a frame");
    assert_eq!((&read.reference, &read.topic, &read.event), (&message.reference, &message.topic, &message.event));
}

/// A broadcast has a form in every version, but for bytes in the first.
fn pass_on(message: Message) {
    let Ok(broadcast) = phoenix::broadcast_of(message.payload) else { return };
    assert!(phoenix::write_broadcast(Version::Two, &message.topic, &broadcast).is_some());
    if let Some(Frame::Text(text)) = phoenix::write_broadcast(Version::One, &message.topic, &broadcast) {
        phoenix::read_text(Version::One, &text).expect("a broadcast is a frame");
    }
}
