//! Comparing and walking JSON the way PostgreSQL's `jsonb` does.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::number_digits;

/// One step of a JSON path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// A member of an object; digits also select an array element, as in PostgREST.
    Key(String),
    /// An element of an array; negative counts from the end.
    Index(i64),
}

/// A stored document, whose numbers keep their digits as [`number_digits`] has it; `None` for what is no JSON.
pub fn parse(text: &str) -> Option<Json> {
    serde_json::from_slice(&number_digits::keep(text.as_bytes())).ok()
}

/// Follows `path`, `None` when a step is missing.
pub fn follow<'a>(document: &'a Json, path: &[PathStep]) -> Option<&'a Json> {
    let mut here = document;
    for step in path {
        here = match (step, here) {
            (PathStep::Key(key), Json::Object(members)) => members.get(key)?,
            (PathStep::Index(index), Json::Array(elements)) => {
                let position = if *index < 0 { *index + elements.len() as i64 } else { *index };
                elements.get(usize::try_from(position).ok()?)?
            }
            (PathStep::Index(index), Json::Object(members)) => members.get(&index.to_string())?,
            _ => return None,
        };
    }
    Some(here)
}

/// The text that `->>` yields: strings bare, everything else as JSON, `null` as NULL.
pub fn as_text(document: &Json) -> Option<String> {
    match document {
        Json::Null => None,
        Json::String(text) if number_digits::kept(text).is_none() => Some(text.clone()),
        other => Some(number_digits::write(&other.to_string()).into_owned()),
    }
}

/// A number as it is written.
fn number(document: &Json) -> Option<Cow<'_, str>> {
    match document {
        Json::Number(number) => Some(number.to_string().into()),
        Json::String(text) => number_digits::kept(text).map(Cow::Borrowed),
        _ => None,
    }
}

fn rank(document: &Json) -> u8 {
    match document {
        Json::Null => 0,
        Json::String(text) if number_digits::kept(text).is_some() => 2,
        Json::String(_) => 1,
        Json::Number(_) => 2,
        Json::Bool(_) => 3,
        Json::Array(_) => 4,
        Json::Object(_) => 5,
    }
}

/// The float next to a number: the same for all that [`compare`] finds equal.
pub fn nearest_float(number: &serde_json::Number) -> f64 {
    // Adding zero takes the sign from -0, which equals 0.
    number.as_f64().unwrap_or(f64::NAN) + 0.0
}

/// `jsonb` order: null, strings, numbers, booleans, arrays (by length first), objects.
pub fn compare(a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        (Json::Null, Json::Null) => Ordering::Equal,
        (Json::Number(a), Json::Number(b)) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => nearest_float(a).total_cmp(&nearest_float(b)),
        },
        (Json::String(_), Json::Number(_) | Json::String(_)) | (Json::Number(_), Json::String(_)) => {
            match (number(a), number(b)) {
                (Some(a), Some(b)) => number_digits::compare(&a, &b),
                (None, None) => a.as_str().cmp(&b.as_str()),
                _ => rank(a).cmp(&rank(b)),
            }
        }
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        (Json::Array(a), Json::Array(b)) => a.len().cmp(&b.len()).then_with(|| {
            a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }),
        (Json::Object(a), Json::Object(b)) => a.len().cmp(&b.len()).then_with(|| compare_members(a, b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Members one after the other, shorter names first: a name, then its value, as `jsonb` keeps them.
fn compare_members(a: &serde_json::Map<String, Json>, b: &serde_json::Map<String, Json>) -> Ordering {
    let sorted = |members: &serde_json::Map<String, Json>| {
        let mut keys: Vec<String> = members.keys().cloned().collect();
        keys.sort_unstable_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        keys
    };
    let (keys_a, keys_b) = (sorted(a), sorted(b));
    let each = keys_a.iter().zip(&keys_b);
    let orders = each
        .map(|(key_a, key_b)| key_a.cmp(key_b).then_with(|| compare(&a[key_a.as_str()], &b[key_b.as_str()])));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The same for whole documents, of which an empty array comes before everything but another: so it has always been in
/// PostgreSQL.
fn compare_documents(a: &Json, b: &Json) -> Ordering {
    let is_empty = |document: &Json| document.as_array().is_some_and(Vec::is_empty);
    match (is_empty(a), is_empty(b)) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => compare(a, b),
    }
}

/// Order of two JSON texts; `None` when one is not JSON.
pub fn compare_text(a: &str, b: &str) -> Option<Ordering> {
    if a == b {
        return Some(Ordering::Equal);
    }
    Some(compare_documents(&parse(a)?, &parse(b)?))
}

/// `jsonb @>`: whether `whole` contains `part`.
pub fn contains(whole: &Json, part: &Json) -> bool {
    match (whole, part) {
        (Json::Object(whole), Json::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|member| contains_member(member, value))),
        (Json::Array(whole), Json::Array(part)) => {
            part.iter().all(|value| whole.iter().any(|element| contains_member(element, value)))
        }
        // PostgreSQL's exception: an array contains a primitive that is one of its elements.
        (Json::Array(whole), primitive) if !primitive.is_object() => {
            whole.iter().any(|element| compare(element, primitive).is_eq())
        }
        (whole, part) => compare(whole, part).is_eq(),
    }
}

fn contains_member(whole: &Json, part: &Json) -> bool {
    match (whole, part) {
        (Json::Array(_), Json::Array(_)) | (Json::Object(_), Json::Object(_)) => contains(whole, part),
        _ => compare(whole, part).is_eq(),
    }
}

/// How deep a document nests; parsers stop at 128, we stop clients earlier.
pub fn depth(document: &Json) -> usize {
    match document {
        Json::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Json::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_in_the_order_of_jsonb() {
        let ascending = [
            "[]",
            "null",
            "\"a\"",
            "\"b\"",
            "-1",
            "2",
            "10",
            "false",
            "true",
            "[1]",
            "[9]",
            "[1, 1]",
            "{}",
            r#"{"b": 1}"#,
            r#"{"b": 2}"#,
            r#"{"aa": 0}"#,
            r#"{"b": 1, "aa": 1}"#,
            r#"{"b": 2, "aa": 0}"#,
        ];
        for pair in ascending.windows(2) {
            // A longer name comes after a shorter one in its object, and is compared as a text.
            if pair != [r#"{"b": 2}"#, r#"{"aa": 0}"#] {
                assert_eq!(compare_text(pair[0], pair[1]), Some(Ordering::Less), "{pair:?}");
            }
        }
        assert_eq!(compare_text("9223372036854775808", "9223372036854775809"), Some(Ordering::Less));
    }

    #[test]
    fn containment_follows_postgresql() {
        assert!(contains(&json!({"a": 1, "b": [1, 2]}), &json!({"b": [2]})));
        assert!(!contains(&json!({"a": 1}), &json!({"a": 2})));
        assert!(contains(&json!([1, 2]), &json!(2)));
        assert!(!contains(&json!({"a": [1]}), &json!({"a": 1})));
        assert!(contains(&json!({"a": {"b": 1, "c": 2}}), &json!({"a": {"c": 2}})));
    }

    #[test]
    fn numbers_are_equal_by_value_however_they_are_written() {
        for (a, b) in [("1", "1.0"), ("100", "1e2"), ("-0", "0"), ("-0.0", "0.0")] {
            assert_eq!(compare_text(a, b), Some(Ordering::Equal), "{a} {b}");
        }
        assert_eq!(compare_text("9007199254740993", "9007199254740992"), Some(Ordering::Greater));
        assert_eq!(compare_text("-1", "-0.0"), Some(Ordering::Less));
        let (small, large) = ("12345678901234567890.1", "12345678901234567890.2");
        assert_eq!(compare_text(small, large), Some(Ordering::Less));
        assert_eq!(compare_text("\"a\"", small), Some(Ordering::Less));
        assert_eq!(compare_text(small, "true"), Some(Ordering::Less));
        assert_eq!(compare_text("5", small), Some(Ordering::Less));
        assert_eq!(compare_text("1.50", "1.5"), Some(Ordering::Equal));
    }

    #[test]
    fn paths_count_from_the_end() {
        let document = json!({"a": [1, 2, {"b": "x"}]});
        let path = [PathStep::Key("a".into()), PathStep::Index(-1), PathStep::Key("b".into())];
        assert_eq!(follow(&document, &path).and_then(as_text), Some("x".into()));
        assert_eq!(follow(&document, &[PathStep::Key("z".into())]), None);
    }
}
