//! One call of a function: who asks, and what they sent.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use services::context::Context;
use store::shares::Owner;

use super::error::FunctionError;
use crate::app::App;
use crate::request_body;

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

/// What the callers of a function are to learn beside its answer: fields that were not used, defaults that were taken.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds some.
    pub fn extend(&self, warnings: impl IntoIterator<Item = String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(warnings);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The whole answer of a call.
    pub fn into_response(self, outcome: Outcome) -> Response {
        let warnings = self.take();
        match outcome {
            Ok(Answer::Json(mut body)) => {
                request_body::warn(&mut body, warnings);
                axum::Json(body).into_response()
            }
            Ok(Answer::Other(response)) => request_body::with_header(response, &warnings),
            Err(mut error) => {
                request_body::warn(&mut error.body, warnings);
                error.into_response()
            }
        }
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
        let mut warnings = Vec::new();
        let read = request_body::typed(&self.body, &mut warnings);
        self.warnings.extend(warnings);
        Ok(read?)
    }

    /// The same for requests that destroy something: fields that are not known are refused.
    pub fn read_strictly<T: DeserializeOwned>(&self) -> Result<T, FunctionError> {
        let mut warnings = Vec::new();
        let read = request_body::typed(&self.body, &mut warnings)?;
        if warnings.is_empty() { Ok(read) } else { Err(FunctionError::bad(warnings.join("; "))) }
    }

    /// The body as an object with these fields, in this spelling; otherwise as [`Call::read`].
    pub fn read_fields(&self, fields: &[&str]) -> Result<Json, FunctionError> {
        let mut warnings = Vec::new();
        let read = request_body::object(&self.body, fields, &mut warnings);
        self.warnings.extend(warnings);
        Ok(Json::Object(read?))
    }

    /// Refuses a request that lacks fields; names all of them.
    pub fn require(&self, fields: &[(&str, bool)]) -> Result<(), FunctionError> {
        let missing: Vec<&str> = fields.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        let message = match missing.as_slice() {
            [] => return Ok(()),
            [one] => format!("{one} is missing"),
            [all @ .., last] => format!("{} and {last} are missing", all.join(", ")),
        };
        Err(FunctionError::bad(message).with("details", json!({ "missing": missing })))
    }

    /// One parameter of the query string, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let given = Query::<Vec<(String, String)>>::try_from_uri(&self.uri).ok()?;
        given.0.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
