//! What does a value of an odd type stand for? A number for its text, `"a, b"` for a list: where that is plain.

use serde_json::Value;

/// Notes about one file at most.
const NOTES_MAX: usize = 100;
/// How much of a value a note shows, in characters.
const SHOWN_CHARS: usize = 60;

/// What was brought into shape or left out, by field.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Notes {
    said: Vec<String>,
    unsaid: usize,
}

impl Notes {
    /// Notes that a value was taken in another type than the one that it came in.
    pub fn coerced(&mut self, field: &str, found: &Value, wanted: &str) {
        self.add(field, &format!("{} ({}) was read as {wanted}", kind_of(found), shown(found)));
    }

    /// Notes that a value is not used.
    pub fn skipped(&mut self, field: &str, found: &Value, wanted: &str) {
        self.add(field, &format!("{wanted} is needed, found {}; it is left out", kind_of(found)));
    }

    /// Any other note about a field.
    pub fn add(&mut self, field: &str, note: &str) {
        match self.said.len() < NOTES_MAX {
            true => self.said.push(format!("{field}: {note}")),
            false => self.unsaid += 1,
        }
    }

    /// All of them, in words; what is beyond the limit as a number.
    pub fn all(&self) -> Vec<String> {
        let more = (self.unsaid > 0).then(|| format!("{} more fields of odd types", self.unsaid));
        self.said.iter().cloned().chain(more).collect()
    }
}

/// What a JSON value is, in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The text that a value of another type stands for; the texts of a list are joined by `separator`.
pub(crate) fn text(value: &Value, separator: &str) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            let all_plain = items.iter().all(|item| item.is_string() || item.is_number());
            let texts: Vec<String> = items.iter().filter_map(|item| text(item, separator)).collect();
            (all_plain && !texts.is_empty()).then(|| texts.join(separator))
        }
        _ => None,
    }
}

/// The number that a value of another type stands for.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// The truth that a value of another type stands for.
pub(crate) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// How a list is written that came as one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AsText {
    /// With commas.
    Commas,
    /// It has one element.
    Whole,
}

/// A list of texts, whatever came for it; `field` is its path in notes. `None` where nothing can be used.
pub(crate) fn texts(value: &Value, form: AsText, field: &str, notes: &mut Notes) -> Option<Vec<String>> {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::String(text) => {
            if let Ok(list @ Value::Array(_)) = serde_json::from_str(text) {
                notes.coerced(field, value, "a list");
                return texts(&list, form, field, &mut Notes::default());
            }
            let parts: Vec<&str> = match form {
                AsText::Commas => text.split(',').collect(),
                AsText::Whole => vec![text],
            };
            let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
            notes.coerced(field, value, "a list");
            return Some(parts.map(str::to_string).collect());
        }
        Value::Number(_) => {
            notes.coerced(field, value, "a list");
            return Some(vec![value.to_string()]);
        }
        // Some programs number the elements of a list as members of an object.
        Value::Object(numbered) if numbered.keys().all(|key| key.parse::<usize>().is_ok()) => {
            notes.coerced(field, value, "a list");
            numbered.values().collect()
        }
        _ => {
            notes.skipped(field, value, "a list");
            return None;
        }
    };
    let mut list = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Value::String(text) => list.push(text.clone()),
            other => match text(other, ", ").filter(|_| !other.is_array()) {
                Some(text) => {
                    notes.coerced(&format!("{field}[{index}]"), other, "a text");
                    list.push(text);
                }
                None => notes.skipped(&format!("{field}[{index}]"), other, "a text"),
            },
        }
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_values_are_coerced_and_others_are_not() {
        assert_eq!(text(&json!(3), ", "), Some("3".into()));
        assert_eq!(text(&json!(["a", 2]), "\n"), Some("a\n2".into()));
        assert_eq!((text(&json!([{}]), ""), text(&json!({}), "")), (None, None));
        assert_eq!(
            (number(&json!(" 100 ")), number(&json!("")), number(&json!("inf"))),
            (Some(100.0), None, None)
        );
        assert_eq!(
            (flag(&json!(1)), flag(&json!("False")), flag(&json!("maybe"))),
            (Some(true), Some(false), None)
        );
    }

    #[test]
    fn lists_are_read_from_what_comes_for_them() {
        let mut notes = Notes::default();
        let mut read = |value: Value, form| texts(&value, form, "tags", &mut notes);
        assert_eq!(read(json!("a, b,"), AsText::Commas), Some(vec!["a".into(), "b".into()]));
        assert_eq!(read(json!("a, b"), AsText::Whole), Some(vec!["a, b".into()]));
        assert_eq!(read(json!("[\"a\"]"), AsText::Whole), Some(vec!["a".into()]));
        assert_eq!(read(json!({"0": "a", "1": 2}), AsText::Whole), Some(vec!["a".into(), "2".into()]));
        assert_eq!(read(json!(["a", null, [1]]), AsText::Whole), Some(vec!["a".into()]));
        assert_eq!(read(json!(true), AsText::Whole), None);
        let said = notes.all();
        assert_eq!(said.len(), 8, "{said:?}");
        assert!(
            said.iter().any(|note| note == "tags[1]: a text is needed, found null; it is left out"),
            "{said:?}"
        );
        for number in 0..200 {
            notes.add("x", &number.to_string());
        }
        assert_eq!(notes.all().len(), NOTES_MAX + 1);
    }
}
