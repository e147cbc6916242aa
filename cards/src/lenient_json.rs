//! Malformed JSON that is still read: `NaN` of Python, commas before a closing bracket, line ends within texts,
//! zeros behind the end. It is tried only where the text is not JSON as it stands.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// What such a text was read as, in words.
pub(crate) const NOTE: &str = "it is not JSON as the format has it (NaN, a comma too many, a line end within a text, or \
                               something behind its end); it was read as what it means";

/// Reads JSON text, and says whether it had to be put right.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<(T, bool), serde_json::Error> {
    let error = match serde_json::from_slice(text) {
        Ok(value) => return Ok((value, false)),
        Err(error) => error,
    };
    match mended(text) {
        // What is wrong is said of the text as it came.
        Cow::Owned(text) => serde_json::from_slice(&text).map(|value| (value, true)).map_err(|_| error),
        Cow::Borrowed(_) => Err(error),
    }
}

/// The text with what can be put right; borrowed where that is nothing.
pub(crate) fn mended(text: &[u8]) -> Cow<'_, [u8]> {
    let end = text.iter().rposition(|byte| *byte != 0 && !byte.is_ascii_whitespace()).map_or(0, |at| at + 1);
    let mut out = Vec::with_capacity(end);
    let mut is_changed = text[end..].contains(&0);
    let mut at = 0;
    while at < end {
        match text[at] {
            b'"' => {
                let after = after_text(&text[..end], at);
                for byte in &text[at..after] {
                    match byte {
                        b'\n' => out.extend(b"\\n"),
                        b'\t' => out.extend(b"\\t"),
                        0..0x20 => out.extend(format!("\\u{byte:04x}").as_bytes()),
                        byte => out.push(*byte),
                    }
                    is_changed |= *byte < 0x20;
                }
                at = after;
            }
            b',' => {
                let next = text[at + 1..end].iter().find(|byte| !byte.is_ascii_whitespace());
                match matches!(next, Some(b'}' | b']')) {
                    true => is_changed = true,
                    false => out.push(b','),
                }
                at += 1;
            }
            _ => match ["NaN", "-Infinity", "Infinity"]
                .iter()
                .find(|word| text[at..end].starts_with(word.as_bytes()))
            {
                Some(word) => {
                    out.extend(b"null");
                    at += word.len();
                    is_changed = true;
                }
                None => {
                    out.push(text[at]);
                    at += 1;
                }
            },
        }
    }
    if is_changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

/// Where a text that begins here ends.
fn after_text(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_hands_and_programs_write_is_read_as_what_it_means() {
        for (text, meant) in [
            ("{\"a\": NaN, \"b\": [-Infinity, Infinity]}", json!({"a": null, "b": [null, null]})),
            ("{\"a\": [1, 2, ],\n}", json!({"a": [1, 2]})),
            ("{\"a\": \"one\ntwo\tthree\"}", json!({"a": "one\ntwo\tthree"})),
            ("{\"a\": \"NaN, ] \\\" ,}\"}\0\0 ", json!({"a": "NaN, ] \" ,}"})),
        ] {
            assert_eq!(read::<Value>(text.as_bytes()).expect(text), (meant, true), "{text}");
        }
        assert_eq!(read::<Value>(b"{\"a\": 1}").expect("JSON"), (json!({"a": 1}), false));
        for text in ["", "{", "{\"a\": 1,, }", "{\"a\": nan}", "{\"a\": \"x", "\"\\", ",]"] {
            assert!(read::<Value>(text.as_bytes()).is_err(), "{text}");
        }
    }
}
