//! One call of a function: who asks, and what they sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use models::value_words::{is_not, shown_text};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use services::context::Context;
use store::shares::Owner;
use uuid::Uuid;

use super::error::FunctionError;
use crate::app::App;
use crate::request_body::{self, Field, Notes};

/// What a function answers with, before the warnings of the call go in.
#[derive(Debug)]
pub enum Answer {
    /// A JSON object with status 200.
    Json(Json),
    /// Something else: events, or a file.
    Other(Response),
}

/// What a function answers.
pub type Outcome = Result<Answer, FunctionError>;

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer::Other(response)
    }
}

/// One call.
pub struct Call {
    /// Who asks, and what they may reach.
    pub context: Context,
    /// The server, for what only this dialect needs of it.
    pub app: App,
    /// On whose account it takes what is shared.
    pub owner: Owner,
    /// How; clients send POST unless an option says otherwise.
    pub method: Method,
    /// All headers.
    pub headers: HeaderMap,
    /// The address, with its query string.
    pub uri: Uri,
    /// The body.
    pub body: Bytes,
    /// What the caller is to learn beside the answer.
    pub warnings: Warnings,
}

/// What the callers of a function are to learn beside its answer: fields that were not used, defaults that were taken;
/// and by what names they gave the fields. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Notes>>);

impl Warnings {
    /// Adds some.
    pub fn extend(&self, warnings: impl IntoIterator<Item = String>) {
        self.notes().warnings.extend(warnings);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole answer of a call. What is said of a field names it as the caller spelled it.
    pub fn into_response(self, outcome: Outcome) -> Response {
        let mut notes = std::mem::take(&mut *self.notes());
        let warnings = notes.warnings();
        match outcome {
            Ok(Answer::Json(mut body)) => {
                request_body::warn(&mut body, warnings);
                notes.reword_warnings(&mut body);
                axum::Json(body).into_response()
            }
            Ok(Answer::Other(response)) => request_body::with_header(response, &warnings),
            Err(mut error) => {
                request_body::warn(&mut error.body, warnings);
                notes.reword_warnings(&mut error.body);
                for place in ["/error", "/message"] {
                    respell(&mut error.body, place, |text| notes.reword(text));
                }
                respell(&mut error.body, "/details/field", |field| notes.spelled(field));
                for list in ["/details/fields", "/details/missing"] {
                    let fields = error.body.pointer(list).and_then(Json::as_array).map_or(0, Vec::len);
                    for place in 0..fields {
                        respell(&mut error.body, &format!("{list}/{place}"), |field| notes.spelled(field));
                    }
                }
                error.into_response()
            }
        }
    }
}

/// Changes a text of an answer, where it has one.
fn respell(body: &mut Json, place: &str, change: impl Fn(&str) -> String) {
    if let Some(Json::String(text)) = body.pointer_mut(place) {
        *text = change(text);
    }
}

/// A JSON answer with status 200.
pub fn ok(body: Json) -> Outcome {
    Ok(Answer::Json(body))
}

impl Call {
    /// The body as a typed request; an empty body counts as `{}`. The error names the field. Fields are taken in
    /// either spelling, and the warnings of the answer name those that the request does not have.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, FunctionError> {
        Ok(request_body::typed(&self.body, &mut self.warnings.notes())?)
    }

    /// Refuses a request that was read with fields that it does not have: for those that destroy something.
    pub fn refuse_unknown(&self) -> Result<(), FunctionError> {
        let unknown = self.warnings.notes().warnings();
        if unknown.is_empty() {
            return Ok(());
        }
        let fields: Vec<&str> = unknown.iter().filter_map(|it| Some(it.split_once(": ")?.0)).collect();
        let error = FunctionError::bad(unknown.join("; "));
        Err(if fields.is_empty() { error } else { error.of_field(&fields.join(", ")) })
    }

    /// The body as an object with these fields, in this spelling, each of its kind; otherwise as [`Call::read`].
    pub(crate) fn read_fields(&self, fields: &[Field<'_>]) -> Result<Json, FunctionError> {
        Ok(Json::Object(request_body::listed(&self.body, fields, &mut self.warnings.notes())?))
    }

    /// The same of an object that stands in the body at a place.
    pub(crate) fn read_fields_at(
        &self,
        path: &str,
        given: &Json,
        fields: &[Field<'_>],
    ) -> Result<Json, FunctionError> {
        let given = given.as_object().cloned().unwrap_or_default();
        let read = request_body::listed_at(path, given, fields, &mut self.warnings.notes())?;
        Ok(Json::Object(read))
    }

    /// The names of the members of the body, as they were given.
    pub(crate) fn names(&self) -> Result<Vec<String>, FunctionError> {
        Ok(request_body::object(&self.body)?.into_iter().map(|(name, _)| name).collect())
    }

    /// One parameter of the query string, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).into_iter().next()
    }

    /// Every value of a parameter of the query string.
    pub fn parameters(&self, name: &str) -> Vec<String> {
        let given = Query::<Vec<(String, String)>>::try_from_uri(&self.uri);
        let given = given.map_or_else(|_| Vec::new(), |given| given.0);
        given.into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The names of the parameters of the query string.
    pub fn parameter_names(&self) -> Vec<String> {
        let given = Query::<Vec<(String, String)>>::try_from_uri(&self.uri);
        given.map_or_else(|_| Vec::new(), |given| given.0.into_iter().map(|(name, _)| name).collect())
    }

    /// An id in the query string, under one of several names.
    pub fn id_parameter(&self, names: &[&str]) -> Result<Option<Uuid>, FunctionError> {
        let given = names.iter().find_map(|name| Some((*name, self.parameter(name)?)));
        let Some((name, text)) = given else { return Ok(None) };
        let id = Uuid::parse_str(&text);
        id.map(Some).map_err(|_| {
            FunctionError::bad(format!("{name}: {}", is_not(&shown_text(&text), "a UUID"))).of_field(name)
        })
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
