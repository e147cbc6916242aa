//! The text format of `COPY`: fields between tabs, `\N` for NULL, escapes with a backslash.

/// The fields of a line, without its end.
pub(super) fn fields(line: &[u8]) -> Result<Vec<Option<String>>, String> {
    line.split(|byte| *byte == b'\t').map(field).collect()
}

fn field(bytes: &[u8]) -> Result<Option<String>, String> {
    if bytes == b"\\N" {
        return Ok(None);
    }
    let mut text = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        let Some(escaped) = bytes.get(at).copied() else { return Err("a backslash ends a field".into()) };
        at += 1;
        text.push(match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => number(bytes, &mut at, u32::from(escaped - b'0'), 8, 2),
            b'x' if bytes.get(at).is_some_and(u8::is_ascii_hexdigit) => number(bytes, &mut at, 0, 16, 2),
            other => other,
        });
    }
    String::from_utf8(text).map(Some).map_err(|_| "a value is not UTF-8".into())
}

/// A byte by its digits, of which there are at most `more` from `at` on.
fn number(bytes: &[u8], at: &mut usize, first: u32, radix: u32, more: usize) -> u8 {
    let mut value = first;
    for _ in 0..more {
        let Some(digit) = bytes.get(*at).and_then(|byte| char::from(*byte).to_digit(radix)) else { break };
        value = value * radix + digit;
        *at += 1;
    }
    // Three octal digits may say more than a byte holds; PostgreSQL keeps the low bits, too.
    (value & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_nothing_and_escapes_differ() {
        let line = b"\\N\t\ta\\tb\\\\N\t\\\\N\t\\x41\\101\\r\\n\t\xe9\x9b\xa8";
        let texts: Vec<Option<String>> = fields(line).expect("fields");
        let expected = [None, Some(""), Some("a\tb\\N"), Some("\\N"), Some("AA\r\n"), Some("雨")];
        assert_eq!(texts, expected.map(|text| text.map(str::to_string)));
        assert!(fields(b"\xff").is_err_and(|reason| reason.contains("UTF-8")));
        assert!(fields(b"a\\").is_err());
    }
}
