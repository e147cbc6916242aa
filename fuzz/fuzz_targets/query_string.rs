//! Can any query string or header make a parser panic, hang or grow without bound?
//!
//! `cargo fuzz run query_string --sanitizer none`

#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::accept::Format;
use syntax::literal;
use syntax::prefer::Preferences;
use syntax::{RequestQuery, Window};

fuzz_target!(|text: &str| {
    if let Err(error) = RequestQuery::parse(text) {
        assert!(!error.to_string().is_empty());
    }
    let _ = RequestQuery::parse_call(text, |key| key.len() == 1);
    let _ = literal::array(text);
    let _ = literal::range(text);
    let _ = Format::negotiate(Some(text));
    let preferences = Preferences::parse(text.split('\n'));
    let _ = preferences.applied_header(|_| true);
    let _ = Window::requested(None, None, Some(text), None);
});
