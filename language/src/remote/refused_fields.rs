//! Which fields of a request does a server not take? It says so when it refuses one; then the field stays out, or goes by
//! its newer name, from then on.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use syntax::half_characters;

/// Fields without which a request still means the same, more or less. Others, such as the conversation, a schema or
/// tools, are never left out.
const DISPENSABLE: [&str; 14] = [
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "continue_final_message",
    "add_generation_prompt",
];
/// A field that has a newer name.
const RENAMED: (&str, &str) = ("max_tokens", "max_completion_tokens");
/// Words of a refusal that is about a field as such.
const NOT_TAKEN: [&str; 14] = [
    "unsupported",
    "not support",
    "n't support",
    "unknown",
    "unrecognized",
    "unrecognised",
    "unexpected",
    "extra ",
    "extra_",
    "not permitted",
    "not allowed",
    "forbidden",
    "invalid",
    " instead",
];
/// Refusals of one request that are answered by another try.
pub(super) const TRIES_MAX: usize = 6;

/// What one server refused for one model.
#[derive(Debug, Default)]
pub(super) struct RefusedFields(Mutex<BTreeSet<&'static str>>);

impl RefusedFields {
    /// Leaves out of `body` what was refused before; a refused old name becomes the new one.
    pub(super) fn leave_out(&self, body: &mut Map<String, Value>) {
        let refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for field in refused.iter() {
            let value = body.remove(*field);
            if let Some(value) = value.filter(|_| *field == RENAMED.0 && !refused.contains(RENAMED.1)) {
                body.insert(RENAMED.1.into(), value);
            }
        }
    }

    /// Remembers the field of `sent` that the answer of a server names as one that it does not take; none if it names
    /// none, or nothing that can be left out.
    pub(super) fn learn(&self, status: u16, answer: &str, sent: &Value) -> Option<&'static str> {
        if !matches!(status, 400 | 422) {
            return None;
        }
        let field = refused_field(answer, sent)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(field);
        Some(field)
    }
}

fn refused_field(answer: &str, sent: &Value) -> Option<&'static str> {
    let json: Value =
        serde_json::from_slice(&half_characters::mend(answer.as_bytes())).unwrap_or(Value::Null);
    let code = json["error"]["code"].as_str().unwrap_or_default();
    if code.contains("context_length") {
        return None;
    }
    let was_sent = |field: &&&str| sent.get(**field).is_some();
    let param = json["error"]["param"].as_str();
    if let Some(field) = DISPENSABLE.iter().filter(was_sent).find(|field| Some(**field) == param) {
        return Some(field);
    }
    let lower = answer.to_lowercase();
    if !NOT_TAKEN.iter().any(|word| lower.contains(word)) {
        return None;
    }
    DISPENSABLE.iter().filter(was_sent).copied().find(|field| names(&lower, field))
}

/// Whether `field` stands in `text` as a word of its own.
fn names(text: &str, field: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(field)
        .any(|(at, _)| !text[..at].ends_with(in_word) && !text[at + field.len()..].starts_with(in_word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn servers_say_in_many_ways_what_they_do_not_take() {
        let sent = json!({"model": "m", "messages": [], "max_tokens": 5, "seed": 1, "top_k": 3, "stop": ["x"],
            "stream_options": {}, "response_format": {}});
        for (answer, field) in [
            (
                r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#,
                Some("max_tokens"),
            ),
            (
                r#"{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted"}]}"#,
                Some("seed"),
            ),
            (r#"{"error":{"message":"Unrecognized request argument supplied: top_k"}}"#, Some("top_k")),
            (r#"{"message":"property 'stream_options' is unsupported"}"#, Some("stream_options")),
            ("unknown field `stop`, expected one of", Some("stop")),
            // Nothing that can be left out, nothing that was sent, or another matter.
            (r#"{"error":{"message":"response_format is not supported"}}"#, None),
            (r#"{"error":{"message":"min_p is not supported"}}"#, None),
            (r#"{"error":{"message":"the stopped world"}}"#, None),
            (
                r#"{"error":{"message":"maximum context length exceeded, invalid max_tokens","code":"context_length_exceeded"}}"#,
                None,
            ),
            ("", None),
        ] {
            let refused = RefusedFields::default();
            assert_eq!(refused.learn(400, answer, &sent), field, "{answer}");
            assert_eq!(refused.learn(500, answer, &sent), None);
        }
    }

    #[test]
    fn an_old_name_becomes_the_new_one_and_then_goes() {
        let refused = RefusedFields::default();
        let body = json!({"max_tokens": 5, "seed": 1});
        let left = |refused: &RefusedFields| {
            let mut body = body.as_object().cloned().expect("an object");
            refused.leave_out(&mut body);
            Value::Object(body)
        };
        assert_eq!(left(&refused), body);
        refused.learn(400, "unsupported: max_tokens", &body);
        assert_eq!(left(&refused), json!({"max_completion_tokens": 5, "seed": 1}));
        refused.learn(422, "unsupported: max_completion_tokens", &left(&refused));
        assert_eq!(left(&refused), json!({"seed": 1}));
    }
}
