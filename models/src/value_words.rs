//! Values of requests, and what is accepted in their place, in words for people.

use serde_json::Value as Json;

/// Longest text that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// Up to here every whole number has its own float.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A text.
    Text,
    /// A UUID; an empty text counts as none.
    Uuid,
    /// `true` or `false`.
    Flag,
    /// A number.
    Number,
    /// A whole number from 0.
    Whole,
    /// A seed: a whole number from 0, or −1.
    Seed,
    /// An object.
    Object,
    /// A list.
    List,
    /// Whatever is sent.
    Anything,
}

impl Takes {
    /// The same in words.
    pub fn words(self) -> &'static str {
        match self {
            Takes::Text => "a text",
            Takes::Uuid => "a UUID",
            Takes::Flag => "true or false",
            Takes::Number => "a number",
            Takes::Whole => "a whole number from 0",
            Takes::Seed => "a whole number from 0, or -1 for a random one",
            Takes::Object => "an object",
            Takes::List => "a list",
            Takes::Anything => "a value",
        }
    }

    /// Whether a value is of this kind; null counts as absent and is of every kind.
    pub fn takes(self, value: &Json) -> bool {
        match (self, value) {
            (Takes::Anything, _) | (_, Json::Null) => true,
            (Takes::Text, value) => value.is_string(),
            (Takes::Uuid, Json::String(text)) => {
                text.trim().is_empty() || uuid::Uuid::parse_str(text.trim()).is_ok()
            }
            (Takes::Uuid, _) => false,
            (Takes::Flag, value) => value.is_boolean(),
            (Takes::Number, value) => value.is_number(),
            (Takes::Whole, value) => value.is_u64(),
            (Takes::Seed, value) => seed(value).is_some(),
            (Takes::Object, value) => value.is_object(),
            (Takes::List, value) => value.is_array(),
        }
    }

    /// Refuses a value of another kind, in words.
    pub fn check(self, value: &Json) -> Result<(), String> {
        if self.takes(value) { Ok(()) } else { Err(is_not(&shown(value), self.words())) }
    }
}

/// A seed: a whole number, also as a float without a fraction; −1 means a random one. `None` for what is no seed.
pub fn seed(value: &Json) -> Option<Option<u64>> {
    let Json::Number(number) = value else { return None };
    if let Some(seed) = number.as_u64() {
        return Some(Some(seed));
    }
    match number.as_f64()? {
        -1.0 => Some(None),
        seed if seed.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&seed) => Some(Some(seed as u64)),
        _ => None,
    }
}

/// A value as a message repeats it.
pub fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => shown_text(text),
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "an object".into(),
        plain => plain.to_string(),
    }
}

/// A text as a message repeats it: in quotes, and not all of a long one.
pub fn shown_text(text: &str) -> String {
    let is_long = text.chars().nth(SHOWN_CHARS_MAX).is_some();
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start:?}{}", if is_long { "…" } else { "" })
}

/// Why a value is refused: `"x" is not a number`.
pub fn is_not(shown: &str, accepted: &str) -> String {
    match accepted {
        "true or false" => format!("{shown} is neither true nor false"),
        _ => format!("{shown} is not {accepted}"),
    }
}

/// Why a value is refused that is none of those known.
pub fn is_none_of(given: &str, accepted: &[&str]) -> String {
    let given = shown_text(given);
    match accepted {
        [only] => format!("{given} is not {only}"),
        [one, other] => format!("{given} is neither {one} nor {other}"),
        all => format!("{given} is not one of {}", all.join(", ")),
    }
}

/// Names in a row: `a, b or c`.
pub fn either(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_string(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// What a type of the program is called by people who send values of it.
pub fn of_type(name: &str) -> String {
    let range = |least: &str, most: &str| format!("a whole number from {least} to {most}");
    match name.trim() {
        "u8" => range("0", "255"),
        "u16" => range("0", "65535"),
        "u32" => range("0", "4294967295"),
        "u64" | "u128" | "usize" => "a whole number from 0".into(),
        "i8" => range("-128", "127"),
        "i16" => range("-32768", "32767"),
        "i32" => range("-2147483648", "2147483647"),
        "i64" | "i128" | "isize" => "a whole number".into(),
        "f32" | "f64" | "a JSON number" | "floating point" => "a number".into(),
        "a string" | "a borrowed string" | "string" => "a text".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "an object".into(),
        name if name.starts_with("struct ") => "an object".into(),
        name if name.to_ascii_lowercase().contains("uuid") => "a UUID".into(),
        name => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_refused_in_words() {
        for (takes, wrong, words) in [
            (Takes::Text, json!(7), "7 is not a text"),
            (Takes::Uuid, json!("mira"), "\"mira\" is not a UUID"),
            (Takes::Flag, json!("yes"), "\"yes\" is neither true nor false"),
            (Takes::Whole, json!(-1), "-1 is not a whole number from 0"),
            (Takes::Object, json!([1]), "a list is not an object"),
            (Takes::List, json!({"a": 1}), "an object is not a list"),
            (Takes::Seed, json!(-2), "-2 is not a whole number from 0, or -1 for a random one"),
        ] {
            assert_eq!(takes.check(&wrong), Err(words.to_string()));
            assert_eq!(takes.check(&Json::Null), Ok(()));
        }
        assert_eq!(Takes::Uuid.check(&json!("")), Ok(()));
        assert_eq!(is_none_of("best", &["fast", "high"]), "\"best\" is neither fast nor high");
        assert_eq!(is_none_of("x", &["a", "b", "c"]), "\"x\" is not one of a, b, c");
        assert_eq!(shown_text(&"x".repeat(100)).chars().count(), SHOWN_CHARS_MAX + 3);
        assert_eq!(of_type("struct ConsistencySettings"), "an object");
        assert_eq!(of_type("a UUID string"), "a UUID");
    }
}
