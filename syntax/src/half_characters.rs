//! Half a character in JSON text: an escape such as `\ud83d` without the other half of its surrogate pair.
//!
//! Programs that cut texts by UTF-16 units leave such halves behind, JSON's grammar allows them, and a Rust text cannot
//! hold them. JavaScript and Python replace them by U+FFFD when they write UTF-8, and so does this.

use std::borrow::Cow;

/// Replaces each escape of a lone surrogate by `\ufffd`; everything else, invalid JSON included, stays as it is. Borrows
/// where there is none.
pub fn mend(json: &[u8]) -> Cow<'_, [u8]> {
    let mut mended: Option<Vec<u8>> = None;
    let mut place = 0;
    while let Some(found) = json[place..].iter().position(|byte| *byte == b'\\') {
        let at = place + found;
        let Some(unit) = unit(&json[at..]) else {
            // Any other escape is two bytes, which may be two backslashes.
            place = (at + 2).min(json.len());
            continue;
        };
        place = at + 6;
        let is_pair = (0xd800..0xdc00).contains(&unit)
            && self::unit(&json[place..]).is_some_and(|low| (0xdc00..0xe000).contains(&low));
        if is_pair {
            place += 6;
        } else if (0xd800..0xe000).contains(&unit) {
            mended.get_or_insert_with(|| json.to_vec())[at..at + 6].copy_from_slice(b"\\ufffd");
        }
    }
    mended.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The UTF-16 unit that an escape at the beginning of the text stands for.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_the_replacement_character_and_pairs_stay() {
        for (given, wanted) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ude00 x""#, "\u{fffd} x"),
            (r#""a\ud83d\ude00b""#, "a😀b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\uD83D\n\uDE00""#, "\u{fffd}\n\u{fffd}"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""\\\ud83d""#, "\\\u{fffd}"),
            (r#""\u0041\ud83d\u0042""#, "A\u{fffd}B"),
        ] {
            let read: String = serde_json::from_slice(&mend(given.as_bytes())).expect(given);
            assert_eq!(read, wanted, "{given}");
        }
        for text in ["", "\\", "\\u", "\\ud8", "plain", "\\ud83d\\ude00", "\\\\ud83d", "\\uzzzz"] {
            assert!(
                matches!(mend(text.as_bytes()), Cow::Borrowed(same) if same == text.as_bytes()),
                "{text}"
            );
        }
    }
}
