//! JSON text as programs write it: in UTF-8 or UTF-16, with or without a byte order mark, with halves of characters.

use std::borrow::Cow;

use serde_json::Value;
use syntax::half_characters;

use crate::error::CardError;
use crate::lenient_json;

/// The text as UTF-8, without its byte order mark; and what had to be done for that.
pub(crate) fn decode(bytes: &[u8]) -> (Cow<'_, [u8]>, Option<&'static str>) {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return (Cow::Borrowed(rest), None);
    }
    let (little, big) = (Some(u16::from_le_bytes as fn([u8; 2]) -> u16), Some(u16::from_be_bytes as _));
    // JSON begins with an ASCII character, so a zero beside it tells the order of the bytes without a mark.
    let (rest, order) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, little),
        [0xfe, 0xff, rest @ ..] => (rest, big),
        [first, 0, ..] if *first != 0 => (bytes, little),
        [0, second, ..] if *second != 0 => (bytes, big),
        _ => (bytes, None),
    };
    let Some(order) = order else { return (Cow::Borrowed(bytes), None) };
    let units = rest.chunks_exact(2).map(|pair| order([pair[0], pair[1]]));
    let text: String =
        char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    (Cow::Owned(text.into_bytes()), Some("the text is UTF-16; read as such"))
}

/// Reads JSON text of at most `limit` bytes; `what` is how errors call it. Also says what was odd about the text.
pub(crate) fn parse(what: &str, bytes: &[u8], limit: usize) -> Result<(Value, Vec<String>), CardError> {
    CardError::check_size(what, bytes.len(), limit)?;
    let mut notes = Vec::new();
    let (text, converted) = decode(bytes);
    notes.extend(converted.map(|converted| format!("{what}: {converted}")));
    let whole = half_characters::mend(&text);
    if matches!(whole, Cow::Owned(_)) {
        notes.push(format!("{what}: half of a character (a lone surrogate) was read as U+FFFD"));
    }
    let (value, is_mended) = lenient_json::read(&whole).map_err(|error| CardError::json(what, &error))?;
    notes.extend(is_mended.then(|| format!("{what}: {}", lenient_json::NOTE)));
    Ok((value, notes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_encoding_is_read_and_named() {
        let text = r#"{"a": "Uhr ä 🕰"}"#;
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for (bytes, is_said) in [
            (text.as_bytes().to_vec(), false),
            ([b"\xef\xbb\xbf", text.as_bytes()].concat(), false),
            (little.clone(), true),
            (big.clone(), true),
            ([b"\xff\xfe".as_slice(), &little].concat(), true),
            ([b"\xfe\xff".as_slice(), &big].concat(), true),
        ] {
            let (value, notes) = parse("card", &bytes, 1000).expect("JSON");
            assert_eq!((value, notes.len()), (json!({"a": "Uhr ä 🕰"}), usize::from(is_said)));
        }
        let (value, notes) = parse("card", br#"["\ud83d"]"#, 100).expect("JSON");
        assert_eq!((value, notes.len()), (json!(["\u{fffd}"]), 1));
        assert!(parse("card", b"\xff\xfe{", 100).is_err() && parse("card", b"\x00\x01\x02", 100).is_err());
    }
}
