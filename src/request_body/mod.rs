//! Reading a JSON body: a field is taken in either spelling (`character_id`, `characterId`), what is not known is named
//! in the `warnings` of the answer, and what cannot be read is refused in words.

mod fields;
mod place;
mod reader;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use models::value_words::{Takes, shown};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use syntax::half_characters;

use place::Place;

pub(crate) use fields::{Notes, unknown};

/// Why a body was not understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is no JSON, or no object.
    #[error("the request body is not understood: {0}")]
    Unreadable(String),
    /// A field is not of its type.
    #[error("{field}: {reason}")]
    Field {
        /// The field, as a path, as the client spelled it.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A field of a request, and what it takes.
pub(crate) type Field<'f> = (&'f str, Takes);

/// Reads a body as a typed request; an empty one counts as `{}`. An error names the field.
pub(crate) fn typed<T: DeserializeOwned>(body: &[u8], notes: &mut Notes) -> Result<T, BodyError> {
    reader::read(object(body)?, notes).map_err(|error| {
        let reason = error.reason;
        match error.field.filter(|field| !field.is_empty()) {
            Some(field) => BodyError::Field { field, reason },
            None => BodyError::Unreadable(reason),
        }
    })
}

/// Reads a body as an object with the fields of a list, in its spelling, each of its kind.
pub(crate) fn listed(
    body: &[u8],
    fields: &[Field<'_>],
    notes: &mut Notes,
) -> Result<Map<String, Json>, BodyError> {
    listed_at("", object(body)?, fields, notes)
}

/// The same of an object that stands at a place of a body.
pub(crate) fn listed_at(
    path: &str,
    given: Map<String, Json>,
    fields: &[Field<'_>],
    notes: &mut Notes,
) -> Result<Map<String, Json>, BodyError> {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let known = fields::in_known_spelling(given, &names, &Place::named(path), notes);
    for (name, takes) in fields {
        let given = known.members.get(*name).unwrap_or(&Json::Null);
        takes.check(given).map_err(|reason| BodyError::Field {
            field: Place::Member(&Place::named(path), known.as_given(name)).worded(),
            reason,
        })?;
    }
    Ok(known.members)
}

/// Reads a body as an object; an empty one counts as `{}`.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Json>, BodyError> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    match serde_json::from_slice(&half_characters::mend(body)) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(other) => Err(BodyError::Unreadable(format!("an object is needed, and it is {}", shown(&other)))),
        Err(error) => Err(BodyError::Unreadable(error.to_string())),
    }
}

impl Notes {
    /// Takes the warnings out: fields that were not used.
    pub(crate) fn warnings(&mut self) -> Vec<String> {
        self.take_warnings()
    }

    /// The same, naming fields as the client spelled them.
    pub(crate) fn reworded_warnings(&mut self) -> Vec<String> {
        let warnings = self.take_warnings();
        warnings.iter().map(|warning| self.reword(warning)).collect()
    }

    /// The warnings of an answer, naming fields as the client spelled them.
    pub(crate) fn reword_warnings(&self, answer: &mut Json) {
        let warnings = answer.get_mut("warnings").and_then(Json::as_array_mut);
        for warning in warnings.into_iter().flatten() {
            if let Json::String(text) = warning {
                *text = self.reword(text);
            }
        }
    }
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
/// Room in it for brackets and for how many warnings are left out.
const HEADER_REST_BYTES_MAX: usize = 64;

/// Adds warnings to an answer that is a file or a stream of events, or has a shape of its own.
pub(crate) fn with_header(mut response: Response, warnings: &[String]) -> Response {
    if let Some(value) = header_value(warnings) {
        response.headers_mut().insert(WARNINGS, value);
    }
    response
}

/// As many of the warnings as a header has room for, and how many more there are.
fn header_value(warnings: &[String]) -> Option<HeaderValue> {
    let quoted = |text: &str| {
        let ascii: String = text.chars().map(|it| if it.is_ascii() { it } else { '?' }).collect();
        Json::from(ascii).to_string()
    };
    let (mut list, mut left) = (Vec::new(), warnings.len());
    let mut room = HEADER_BYTES_MAX - HEADER_REST_BYTES_MAX;
    for warning in warnings.iter().map(|warning| quoted(warning)) {
        // One that is too long for the header by itself leaves room for the others.
        if warning.len() < room {
            room -= warning.len() + 1;
            left -= 1;
            list.push(warning);
        }
    }
    if left > 0 {
        list.push(quoted(&format!("{left} more, not shown")));
    }
    if warnings.is_empty() { None } else { HeaderValue::from_str(&format!("[{}]", list.join(","))).ok() }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Settings {
        seed_value: Option<i64>,
        method: Option<String>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "camelCase")]
    struct Request {
        character_id: Option<uuid::Uuid>,
        #[serde(alias = "frame_num")]
        num_frames: Option<u64>,
        settings: Settings,
        tags: Vec<String>,
        others: Vec<Settings>,
        is_public: bool,
    }

    fn read(body: Json) -> (Result<Request, BodyError>, Vec<String>) {
        let mut notes = Notes::default();
        let request = typed(body.to_string().as_bytes(), &mut notes);
        (request, notes.warnings())
    }

    #[test]
    fn either_spelling_is_taken_and_the_rest_is_named() {
        let id = uuid::Uuid::from_u128(1);
        let asked = Request { character_id: Some(id), num_frames: Some(3), ..Request::default() };
        for body in [
            json!({"characterId": id, "numFrames": 3}),
            json!({"character_id": id, "num_frames": 3, "settings": null, "is_public": null}),
            json!({"characterID": id, "frameNum": 3}),
        ] {
            let (request, warnings) = read(body.clone());
            assert_eq!((request.expect("it reads"), warnings), (asked_again(&asked), vec![]), "{body}");
        }
        let (request, warnings) =
            read(json!({"character_id": 7, "characterId": id, "color": 1, "setings": {}}));
        assert_eq!(request.expect("it reads").character_id, Some(id));
        assert_eq!(
            warnings,
            [
                "character_id: given beside characterId, and not used",
                "color: an unknown field, not used",
                "setings: an unknown field, not used; did you mean settings?"
            ]
        );
        let nested = json!({"settings": {"seedValue": 4, "metod": "x"}, "others": [{}, {"colour": 1}]});
        let (request, warnings) = read(nested);
        assert_eq!(request.expect("it reads").settings.seed_value, Some(4));
        assert_eq!(
            warnings,
            [
                "settings.metod: an unknown field, not used; did you mean method?",
                "others[1].colour: an unknown field, not used"
            ]
        );
    }

    fn asked_again(asked: &Request) -> Request {
        Request { character_id: asked.character_id, num_frames: asked.num_frames, ..Request::default() }
    }

    #[test]
    fn errors_name_the_place_as_it_was_spelled_and_what_is_accepted() {
        for (body, words) in [
            (json!({"num_frames": "x"}), r#"num_frames: "x" is not a whole number from 0"#),
            (json!({"numFrames": -1}), "numFrames: -1 is not a whole number from 0"),
            (json!({"character_id": "mira"}), r#"character_id: "mira" is not a UUID"#),
            (json!({"character_id": 7}), "character_id: 7 is not a UUID"),
            (json!({"settings": []}), "settings: a list is not an object"),
            (json!({"settings": {"seedValue": "x"}}), r#"settings.seedValue: "x" is not a whole number"#),
            (json!({"tags": "x"}), r#"tags: "x" is not a list"#),
            (json!({"tags": ["x", {}]}), "tags[1]: an object is not a text"),
            (json!({"is_public": "yes"}), r#"is_public: "yes" is neither true nor false"#),
        ] {
            let error = read(body.clone()).0.expect_err("refused");
            assert_eq!(error.to_string(), words, "{body}");
        }
        for body in ["[]", "3", "{", "null"] {
            assert!(typed::<Request>(body.as_bytes(), &mut Notes::default()).is_err(), "{body}");
        }
        assert!(typed::<Request>(b"", &mut Notes::default()).is_ok());
        let many: Map<String, Json> = (0..1000).map(|number| (format!("f{number}"), json!(1))).collect();
        let warnings = read(Json::Object(many)).1;
        assert_eq!((warnings.len(), warnings[20].as_str()), (21, "980 more unknown fields, not used"));
    }

    #[test]
    fn names_of_any_length_and_number_cost_what_they_weigh() {
        // Were the place of each element in words, these would be terabytes of copies.
        let key = "k".repeat(2 << 20);
        let deep = json!({"any": {&key: vec![1; 500_000], "settings": {"seedValue": "x"}}});
        let map: Map<String, Json> =
            typed(deep.to_string().as_bytes(), &mut Notes::default()).expect("it reads");
        assert_eq!(map["any"][&key].as_array().map(Vec::len), Some(500_000));
        // Each unknown field compared with each known one would take minutes, as would looking through a list of names
        // that the client gave.
        let many: Map<String, Json> =
            (0..200_000).map(|number| (format!("field{number}"), json!(1))).collect();
        let body = Json::Object(many.clone()).to_string();
        let mut notes = Notes::default();
        typed::<Request>(body.as_bytes(), &mut notes).expect("it reads");
        assert_eq!(notes.warnings().len(), 21);
        let fields: Vec<Field<'_>> =
            many.keys().skip(100).map(|name| (name.as_str(), Takes::Number)).collect();
        let read = listed(body.as_bytes(), &fields, &mut notes).expect("it reads");
        assert_eq!((read.len(), notes.warnings().len()), (199_900, 21));
        // A place in an error is worded in part.
        let mut notes = Notes::default();
        let body = json!({"tags": ["x"], "others": [{&key: 1}]}).to_string();
        typed::<Request>(body.as_bytes(), &mut notes).expect("it reads");
        assert_eq!(notes.warnings(), [format!("others[0].{}: an unknown field, not used", "k".repeat(60))]);
    }

    #[test]
    fn a_name_in_both_spellings_counts_once_and_null_gives_way() {
        let id = uuid::Uuid::from_u128(1);
        for body in [
            json!({"character_id": id, "characterId": id}),
            json!({"characterId": null, "character_id": id}),
            json!({"characterId": id, "character_id": null, "others": [{"seed_value": 1, "seedValue": 1}]}),
        ] {
            let (request, warnings) = read(body.clone());
            assert_eq!((request.expect("it reads").character_id, warnings), (Some(id), vec![]), "{body}");
        }
        let (_, warnings) = read(json!({"settings": {"SeedValue": 1, "seed-value": 2}}));
        assert_eq!(warnings, ["settings.seed-value: given beside SeedValue, and not used"]);
    }

    #[test]
    fn a_header_has_as_many_warnings_as_it_has_room_for() {
        let list = |warnings: &[String]| {
            let response = with_header(Response::default(), warnings);
            let value = response.headers().get(WARNINGS)?;
            assert!(value.len() <= HEADER_BYTES_MAX);
            serde_json::from_slice::<Vec<String>>(value.as_bytes()).ok()
        };
        assert_eq!(list(&[]), None);
        assert_eq!(list(&["ä".into()]), Some(vec!["?".to_string()]));
        let many: Vec<String> = (0..200).map(|number| format!("{number:0>99}")).collect();
        let shown = list(&many).expect("a header");
        assert_eq!((&shown[0], &shown[shown.len() - 1]), (&many[0], &"161 more, not shown".to_string()));
        let long = list(&["x".repeat(5000), "y".into()]).expect("a header");
        assert_eq!(long, ["y", "1 more, not shown"]);
    }

    #[test]
    fn what_is_refused_later_is_named_as_it_was_spelled() {
        let mut notes = Notes::default();
        let body = br#"{"character_id": null, "frameNum": 1, "tags": []}"#;
        typed::<Request>(body, &mut notes).expect("it reads");
        assert_eq!(notes.spelled("characterId"), "character_id");
        assert_eq!(notes.spelled("num_frames, tags[3].name"), "frameNum, tags[3].name");
        assert_eq!(notes.reword("characterId: no such character"), "character_id: no such character");
        assert_eq!(notes.reword("the provider said: no"), "the provider said: no");
    }

    #[test]
    fn listed_fields_are_of_their_kind() {
        let fields: [Field<'_>; 2] = [("jobId", Takes::Uuid), ("force", Takes::Flag)];
        let mut notes = Notes::default();
        let error = listed(br#"{"job_id": 7}"#, &fields, &mut notes).expect_err("refused");
        assert_eq!(error.to_string(), "job_id: 7 is not a UUID");
        let read =
            listed(br#"{"force": true, "jobid": ""}"#, &fields, &mut Notes::default()).expect("it reads");
        assert_eq!(Json::Object(read), json!({"force": true, "jobId": ""}));
    }

    #[test]
    fn what_is_no_struct_is_read_as_it_is() {
        let mut notes = Notes::default();
        let map: Map<String, Json> = typed(br#"{"any": {"thing": null}}"#, &mut notes).expect("it reads");
        assert_eq!((Json::Object(map), notes.warnings().len()), (json!({"any": {"thing": null}}), 0));
    }
}
