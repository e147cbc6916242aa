//! Numbers of JSON with all their digits. A parsed document holds numbers as `i64`, `u64` or `f64`, and PostgreSQL's
//! `numeric` and `jsonb` keep what was written: `1.50`, `12345678901234567890.123`.
//!
//! Before a body is parsed, [`keep`] turns numbers that parsing would change into texts that no client can send, since
//! they begin with a NUL character, which columns refuse; where a value becomes a column's, [`kept`] tells them from
//! other texts, and [`write()`] writes a document with them as numbers again.

use std::borrow::Cow;
use std::cmp::Ordering;

/// What such a text begins with, as JSON writes it.
const MARK: &str = "\\u0000#";
/// Digits that every double keeps.
const DIGITS_KEPT: usize = 15;

/// The same JSON with such texts; everything else, invalid JSON included, stays as it is.
pub fn keep(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at = after_text(json, at),
            b'-' | b'0'..=b'9' => {
                let rest = &json[at..];
                let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let end = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                if let Some(text) = std::str::from_utf8(&rest[..end]).ok().filter(|text| changes(text)) {
                    let out = out.get_or_insert_with(|| Vec::with_capacity(json.len() + 64));
                    out.extend_from_slice(&json[copied..at]);
                    out.extend_from_slice(format!("\"{MARK}{text}\"").as_bytes());
                    copied = at + end;
                }
                at += end;
            }
            _ => at += 1,
        }
    }
    match out {
        Some(mut out) => {
            out.extend_from_slice(&json[copied..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(json),
    }
}

/// Where a text that begins here ends.
fn after_text(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

/// Whether parsing would change how a number is written; false for what is none.
fn changes(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_plain_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_plain_integer {
        return digits > 18 && is_number(text) && text.parse::<i64>().is_err();
    }
    is_number(text)
        && (digits > DIGITS_KEPT || text.parse::<f64>().is_ok_and(|number| format!("{number:?}") != text))
}

/// Whether a text is a number as JSON writes one.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(a, b)| (a, Some(b)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(a, b)| (a, Some(b)));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let is_whole = are_digits(whole) && (whole == "0" || !whole.starts_with('0'));
    is_whole && fraction.is_none_or(are_digits) && exponent.is_none_or(are_digits)
}

/// The number that a parsed text stands for.
pub fn kept(text: &str) -> Option<&str> {
    text.strip_prefix("\0#").filter(|number| is_number(number))
}

/// Order of two numbers as JSON writes them, by their values, with every digit.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Decimal::of(a), Decimal::of(b));
    let magnitudes = || a.point.cmp(&b.point).then_with(|| a.digits.cmp(&b.digits));
    a.sign.cmp(&b.sign).then_with(|| if a.sign < 0 { magnitudes().reverse() } else { magnitudes() })
}

/// sign · 0.digits · 10^point, with digits that neither begin nor end with a zero; zero has none.
struct Decimal {
    sign: i8,
    digits: String,
    point: i64,
}

impl Decimal {
    fn of(number: &str) -> Decimal {
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let far = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
        let exponent =
            exponent.parse().map_or(far, |exponent: i64| exponent.clamp(i64::MIN / 4, i64::MAX / 4));
        let unsigned = mantissa.trim_start_matches('-');
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        if digits.is_empty() {
            return Decimal { sign: 0, digits: String::new(), point: 0 };
        }
        let leading = (all.len() - digits.len()) as i64;
        Decimal {
            sign: if mantissa.starts_with('-') { -1 } else { 1 },
            digits: digits.trim_end_matches('0').to_string(),
            point: whole.len() as i64 - leading + exponent,
        }
    }
}

/// A document that was written as JSON, with its numbers as they came: `numeric` has no exponent, so `1e2` is `100`.
pub fn write(json: &str) -> Cow<'_, str> {
    let mark = format!("\"{MARK}");
    if !json.contains(&mark) {
        return Cow::Borrowed(json);
    }
    let (mut out, mut copied, mut at) = (String::with_capacity(json.len()), 0, 0);
    let bytes = json.as_bytes();
    while at < bytes.len() {
        if bytes[at] != b'"' {
            at += 1;
            continue;
        }
        let end = after_text(bytes, at);
        let number = json[at..end].strip_prefix(&mark).and_then(|text| text.strip_suffix('"'));
        if let Some(number) = number.filter(|number| is_number(number)) {
            out.push_str(&json[copied..at]);
            out.push_str(&without_exponent(number));
            copied = end;
        }
        at = end;
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// Exponents beyond this stay as they are written.
const EXPONENT_MAX: i32 = 300;

fn without_exponent(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else { return number.to_string() };
    let Some(exponent) = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() <= EXPONENT_MAX)
    else {
        return number.to_string();
    };
    let (sign, unsigned) = mantissa.strip_prefix('-').map_or(("", mantissa), |unsigned| ("-", unsigned));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i32 + exponent;
    let (whole, fraction) = if point <= 0 {
        ("0".to_string(), format!("{}{digits}", "0".repeat(point.unsigned_abs() as usize)))
    } else {
        let point = point as usize;
        let padded = format!("{digits:0<point$}");
        (padded[..point].to_string(), padded[point..].to_string())
    };
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction.as_str() {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    #[test]
    fn every_digit_comes_through_a_parser() {
        for (given, wanted) in [
            (
                r#"{"a":12345678901234567890.123,"b":[1.50,-0.10]}"#,
                r#"{"a":12345678901234567890.123,"b":[1.50,-0.10]}"#,
            ),
            (r#"[9223372036854775807,9223372036854775808]"#, r#"[9223372036854775807,9223372036854775808]"#),
            (r#"[1e2,1.5E-3,-2.50e1]"#, r#"[100,0.0015,-25.0]"#),
            (r#"["1.50 \" 1.50",1.5,0,{"1.50":true}]"#, r#"["1.50 \" 1.50",1.5,0,{"1.50":true}]"#),
            (r#"[1e999]"#, r#"[1e999]"#),
        ] {
            let parsed: Json = serde_json::from_slice(&keep(given.as_bytes())).expect("JSON");
            assert_eq!(write(&parsed.to_string()), wanted, "{given}");
        }
        for invalid in ["01.50", "[1.]", "1.5.0", "\"1.50", "-", "1e"] {
            assert!(serde_json::from_slice::<Json>(&keep(invalid.as_bytes())).is_err(), "{invalid}");
        }
        assert!(matches!(keep(br#"{"a":1,"b":2.5,"c":"x"}"#), Cow::Borrowed(_)));
        assert_eq!((kept("\0#1.50"), kept("\0#x"), kept("1.50")), (Some("1.50"), None, None));
    }

    #[test]
    fn numbers_are_ordered_by_every_digit() {
        let ascending = [
            "-1e400",
            "-12345678901234567890.2",
            "-12345678901234567890.1",
            "-0.10",
            "-1e-9",
            "0",
            "0.00000001",
            "0.1",
            "9.99",
            "12345678901234567890.1",
            "12345678901234567890.20",
            "1e400",
        ];
        for (place, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), place.cmp(&other), "{a} {b}");
            }
        }
        for (a, b) in [("1.50", "1.5"), ("1e2", "100.0"), ("-0.0", "0"), ("0.05e1", "5e-1")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
