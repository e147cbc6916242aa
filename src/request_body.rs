//! Reading a JSON body: functions take a field in either spelling (`character_id`, `characterId`), and what is not known
//! is named in the `warnings` of the answer.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::de::value::Error as NoValue;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value as Json};

/// Longest name of an unknown field that a warning repeats, in characters.
const NAME_CHARS_MAX: usize = 60;
/// Unknown fields that are named one by one; the rest are counted.
const NAMED_MAX: usize = 20;

/// Why a body was not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is no JSON, or no object.
    #[error("the request body is not understood: {0}")]
    Unreadable(String),
    /// A field is not of its type.
    #[error("{field}: {reason}")]
    Field {
        /// The field, as a path.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a body as a typed request; an empty one counts as `{}`. An error names the field.
pub(crate) fn typed<T: DeserializeOwned>(body: &[u8], warnings: &mut Vec<String>) -> Result<T, BodyError> {
    let json = match known_fields::<T>() {
        Some(fields) => Json::Object(object(body, fields, warnings)?),
        None => json(body)?,
    };
    serde_path_to_error::deserialize(json).map_err(|error| {
        let field = error.path().to_string();
        let reason = error.into_inner().to_string();
        if field == "." { BodyError::Unreadable(reason) } else { BodyError::Field { field, reason } }
    })
}

/// Reads a body as an object with the fields of a list, in its spelling.
pub(crate) fn object(
    body: &[u8],
    fields: &[&str],
    warnings: &mut Vec<String>,
) -> Result<Map<String, Json>, BodyError> {
    let Json::Object(given) = json(body)? else {
        return Err(BodyError::Unreadable("an object is needed".into()));
    };
    let (known, more) = in_known_spelling(given, fields);
    warnings.extend(more);
    Ok(known)
}

fn json(body: &[u8]) -> Result<Json, BodyError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| BodyError::Unreadable(error.to_string()))
}

/// Warnings about the fields of a body that a type does not have, by their exact names.
pub(crate) fn unknown_fields<T: DeserializeOwned>(body: &[u8]) -> Vec<String> {
    let (Some(fields), Ok(given)) =
        (known_fields::<T>(), serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body))
    else {
        return Vec::new();
    };
    let unknown: Vec<&String> = given.keys().filter(|name| !fields.contains(&name.as_str())).collect();
    named(&unknown)
}

/// Adds warnings to an answer, beside those that are there.
pub(crate) fn warn(answer: &mut Json, warnings: Vec<String>) {
    let (false, Json::Object(answer)) = (warnings.is_empty(), answer) else { return };
    let list = answer.entry("warnings").or_insert_with(|| Json::Array(Vec::new()));
    match list {
        Json::Array(list) => list.extend(warnings.into_iter().map(Json::from)),
        other => *other = warnings.into(),
    }
}

/// The header that carries the warnings of what is no JSON object, as a JSON list in ASCII.
const WARNINGS: HeaderName = HeaderName::from_static("x-warnings");
/// Longest such header, in bytes.
const HEADER_BYTES_MAX: usize = 4096;

/// Adds warnings to an answer that is a file or a stream of events.
pub(crate) fn with_header(mut response: Response, warnings: &[String]) -> Response {
    let ascii = |text: &String| text.chars().map(|it| if it.is_ascii() { it } else { '?' }).collect();
    let plain: Vec<String> = warnings.iter().map(ascii).collect();
    let text = Json::from(plain).to_string();
    if !warnings.is_empty()
        && text.len() <= HEADER_BYTES_MAX
        && let Ok(value) = HeaderValue::from_str(&text)
    {
        response.headers_mut().insert(WARNINGS, value);
    }
    response
}

/// One warning a field; of very many the rest are counted.
fn named(unknown: &[&String]) -> Vec<String> {
    let mut warnings: Vec<String> = unknown
        .iter()
        .take(NAMED_MAX)
        .map(|name| format!("{}: an unknown field, not used", shown(name)))
        .collect();
    if unknown.len() > NAMED_MAX {
        warnings.push(format!("{} more unknown fields, not used", unknown.len() - NAMED_MAX));
    }
    warnings
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// The fields of an object under the names by which a function knows them, and warnings about the rest.
fn in_known_spelling(given: Map<String, Json>, fields: &[&str]) -> (Map<String, Json>, Vec<String>) {
    let mut names: HashMap<String, &str> = HashMap::new();
    for field in fields {
        names.entry(folded(field)).or_insert(field);
    }
    let (mut known, mut warnings, mut unknown) = (Map::new(), Vec::new(), Vec::new());
    // A name as the function spells it goes before another spelling of it.
    let (exact, others): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|(name, _)| fields.contains(&name.as_str()));
    let mut taken: HashMap<String, String> = HashMap::new();
    for (name, value) in exact.into_iter().chain(others) {
        let plain = folded(&name);
        let Some(field) = names.get(&plain) else {
            unknown.push(name);
            continue;
        };
        if let Some(other) = taken.get(&plain) {
            warnings.push(format!("{}: given beside {other}, and not used", shown(&name)));
            continue;
        }
        // What the function knows as it was given keeps that name: an error then speaks of it.
        let field = if fields.contains(&name.as_str()) { name } else { (*field).to_string() };
        taken.insert(plain, field.clone());
        known.insert(field, value);
    }
    warnings.extend(named(&unknown.iter().collect::<Vec<_>>()));
    (known, warnings)
}

/// A name without what tells one spelling from the other.
fn folded(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// The names of the fields of a request, aliases included; `None` for what is no plain struct.
fn known_fields<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut found = None;
    let _ = T::deserialize(FieldNames { found: &mut found });
    found
}

/// Learns from a type what fields it asks for, and gives it nothing.
struct FieldNames<'f> {
    found: &'f mut Option<&'static [&'static str]>,
}

impl fmt::Debug for FieldNames<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FieldNames")
    }
}

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = NoValue;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoValue> {
        Err(NoValue::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, NoValue> {
        *self.found = Some(fields);
        Err(NoValue::custom("the names are all that is asked"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "camelCase")]
    struct Request {
        character_id: Option<String>,
        #[serde(alias = "frame_num")]
        num_frames: Option<u64>,
    }

    fn read(body: Json) -> (Request, Vec<String>) {
        let mut warnings = Vec::new();
        let request = typed(body.to_string().as_bytes(), &mut warnings).expect("it reads");
        (request, warnings)
    }

    #[test]
    fn either_spelling_is_taken_and_the_rest_is_named() {
        let asked = Request { character_id: Some("a".into()), num_frames: Some(3) };
        for body in [
            json!({"characterId": "a", "numFrames": 3}),
            json!({"character_id": "a", "num_frames": 3}),
            json!({"characterID": "a", "frameNum": 3}),
        ] {
            assert_eq!(read(body.clone()).0, asked, "{body}");
            assert!(read(body).1.is_empty());
        }
        let (request, warnings) = read(json!({"character_id": "b", "characterId": "a", "color": 1}));
        assert_eq!(request.character_id.as_deref(), Some("a"));
        assert_eq!(
            warnings,
            ["character_id: given beside characterId, and not used", "color: an unknown field, not used"]
        );
    }

    #[test]
    fn errors_name_the_field_and_many_unknown_ones_are_counted() {
        let error = typed::<Request>(br#"{"num_frames": "x"}"#, &mut Vec::new()).expect_err("not a number");
        assert!(error.to_string().starts_with("numFrames: "), "{error}");
        for body in ["[]", "3", "{", "null"] {
            assert!(typed::<Request>(body.as_bytes(), &mut Vec::new()).is_err(), "{body}");
        }
        assert!(typed::<Request>(b"", &mut Vec::new()).is_ok());
        let many: Map<String, Json> = (0..1000).map(|number| (format!("f{number}"), json!(1))).collect();
        let warnings = read(Json::Object(many)).1;
        assert_eq!((warnings.len(), warnings[20].as_str()), (21, "980 more unknown fields, not used"));
    }

    #[test]
    fn other_dialects_are_warned_by_exact_names() {
        let body = br#"{"characterId": "a", "frame_num": 1, "character_id": "b"}"#;
        assert_eq!(unknown_fields::<Request>(body), ["character_id: an unknown field, not used"]);
        assert!(unknown_fields::<Request>(b"[").is_empty());
    }

    #[test]
    fn what_is_no_struct_is_read_as_it_is() {
        let mut warnings = Vec::new();
        let map: Map<String, Json> = typed(br#"{"any": 1}"#, &mut warnings).expect("it reads");
        assert_eq!((map.len(), warnings.len()), (1, 0));
    }
}
