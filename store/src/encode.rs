//! Bytes that sort like the values they stand for.
//!
//! Each value is a tag and a self-delimiting body; NULL sorts after everything, so an ascending scan ends with
//! NULLs. A descending part is the complement of the ascending bytes, so a forward scan is newest-first.
//!
//! No key holds four bytes `ff` in a row. Where one does, the engine's backward scan cannot step from a page to the one
//! before it: it guesses a key there by appending four such bytes, then spins and panics. So bodies of fixed width,
//! whose bytes clients choose, are broken up.

use models::Value;
use rust_decimal::prelude::ToPrimitive;

const PRESENT: u8 = 1;
const NULL: u8 = 2;
const ESCAPE: u8 = 0;
const ESCAPED_ZERO: u8 = 0xff;
const END: u8 = 1;
const TRUNCATED: u8 = 2;
/// Bytes between two breaks, and the break; neither it nor its complement is `ff`.
const GROUP: usize = 3;
const BREAK: u8 = 0x55;

/// Longest text kept whole in a key, in bytes; longer ones keep this much and a hash, so that equal texts still
/// meet while order beyond this point is arbitrary.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

/// Appends `value`.
pub(crate) fn value(value: &Value, descending: bool, out: &mut Vec<u8>) {
    let from = out.len();
    body(value, out);
    if descending {
        for byte in &mut out[from..] {
            *byte = !*byte;
        }
    }
}

/// What every value but NULL begins with.
pub(crate) fn present(descending: bool) -> u8 {
    if descending { !PRESENT } else { PRESENT }
}

fn body(value: &Value, out: &mut Vec<u8>) {
    if value.is_null() {
        out.push(NULL);
        return;
    }
    out.push(PRESENT);
    match value {
        Value::Null => {}
        Value::Bool(truth) => out.push(u8::from(*truth)),
        Value::Int(number) | Value::Timestamp(number) => integer(*number, out),
        Value::Date(days) => integer(i64::from(*days), out),
        Value::Float(number) => float(*number, out),
        // Order by magnitude first; the digits after it keep close neighbours apart.
        Value::Numeric(number) => {
            float(number.to_f64().unwrap_or(f64::NAN), out);
            text(number.normalize().to_string().as_bytes(), out);
        }
        Value::Text(string) => text(string.as_bytes(), out),
        Value::Uuid(uuid) => broken_up(uuid.as_bytes(), out),
        Value::Json(document) => text(document.as_bytes(), out),
        Value::TextArray(elements) => {
            let joined: Vec<&str> =
                elements.iter().map(|element| element.as_deref().unwrap_or("\u{1}")).collect();
            text(joined.join("\u{0}").as_bytes(), out);
        }
        Value::UuidArray(elements) => {
            let digits: String =
                elements.iter().map(|element| element.unwrap_or_default().simple().to_string()).collect();
            text(digits.as_bytes(), out);
        }
    }
}

fn integer(number: i64, out: &mut Vec<u8>) {
    broken_up(&((number as u64) ^ (1 << 63)).to_be_bytes(), out);
}

/// As many bytes each time, so breaks at the same places leave the order as it is.
fn broken_up(bytes: &[u8], out: &mut Vec<u8>) {
    for (position, group) in bytes.chunks(GROUP).enumerate() {
        if position > 0 {
            out.push(BREAK);
        }
        out.extend_from_slice(group);
    }
}

fn float(number: f64, out: &mut Vec<u8>) {
    let bits = number.to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
    broken_up(&ordered.to_be_bytes(), out);
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    let kept = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    for byte in kept {
        out.push(*byte);
        if *byte == ESCAPE {
            out.push(ESCAPED_ZERO);
        }
    }
    if kept.len() == bytes.len() {
        out.extend_from_slice(&[ESCAPE, END]);
    } else {
        out.extend_from_slice(&[ESCAPE, TRUNCATED]);
        broken_up(&blake3::hash(bytes).as_bytes()[..16], out);
    }
}

/// The smallest key that is greater than every key beginning with `prefix`; `None` if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(it: &Value, descending: bool) -> Vec<u8> {
        let mut out = Vec::new();
        value(it, descending, &mut out);
        out
    }

    fn check_order(a: Value, b: Value) {
        let order = a.compare(&b).expect("same type");
        assert_eq!(encoded(&a, false).cmp(&encoded(&b, false)), order, "{a:?} {b:?}");
        assert_eq!(encoded(&a, true).cmp(&encoded(&b, true)), order.reverse(), "{a:?} {b:?}");
    }

    proptest! {
        #[test]
        fn integers_sort(a: i64, b: i64) {
            check_order(Value::Int(a), Value::Int(b));
        }

        #[test]
        fn floats_sort(a in -1e300f64..1e300, b in -1e300f64..1e300) {
            check_order(Value::Float(a), Value::Float(b));
        }

        #[test]
        fn no_value_holds_a_long_run_of_ff(
            number: i64,
            bytes: [u8; 16],
            masked in 0u128..=u128::MAX,
            text in "[\\x00\\x01aÿ]{0,300}",
        ) {
            let uuid = |number: u128| Value::Uuid(uuid::Uuid::from_u128(number));
            let values = [
                Value::Int(number), Value::Int(number >> 40), Value::Timestamp(-1), Value::Int(0),
                Value::Float(f64::from_bits(number as u64)), Value::Uuid(uuid::Uuid::from_bytes(bytes)),
                uuid(u128::MAX), uuid(!masked & masked), uuid(masked | u128::MAX >> 20), Value::Text(text.clone()),
                Value::UuidArray(vec![Some(uuid::Uuid::max()); 4]), Value::TextArray(vec![Some(text), None]),
            ];
            for it in values {
                for descending in [false, true] {
                    let mut key = encoded(&it, descending);
                    value(&it, !descending, &mut key);
                    prop_assert!(!key.windows(4).any(|run| run == [0xff; 4]), "{it:?}");
                }
            }
        }

        #[test]
        fn identifiers_sort(a: [u8; 16], b: [u8; 16]) {
            let uuid = |bytes| Value::Uuid(uuid::Uuid::from_bytes(bytes));
            check_order(uuid(a), uuid(b));
        }

        #[test]
        fn texts_sort(a in "[\\x00-\\x05a-c]{0,8}", b in "[\\x00-\\x05a-c]{0,8}") {
            check_order(Value::Text(a), Value::Text(b));
        }

        #[test]
        fn decimals_sort(a: i64, b: i64, scale in 0u32..10) {
            check_order(
                Value::Numeric(rust_decimal::Decimal::new(a, scale)),
                Value::Numeric(rust_decimal::Decimal::new(b, scale)),
            );
        }
    }

    #[test]
    fn nulls_come_last_ascending_and_first_descending() {
        let (null, one) = (Value::Null, Value::Int(1));
        assert!(encoded(&null, false) > encoded(&one, false));
        assert!(encoded(&null, true) < encoded(&one, true));
    }
}
