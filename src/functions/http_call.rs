//! One call of a function: who asks, and what they sent.

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use services::context::Context;

use super::error::FunctionError;
use crate::app::App;

/// What a function answers.
pub type Outcome = Result<Response, FunctionError>;

/// One call.
pub struct Call {
    /// Who asks, and what they may reach.
    pub context: Context,
    /// The server, for what only this dialect needs of it.
    pub app: App,
    /// How; clients send POST unless an option says otherwise.
    pub method: Method,
    /// All headers.
    pub headers: HeaderMap,
    /// The address, with its query string.
    pub uri: Uri,
    /// The body.
    pub body: Bytes,
}

/// A JSON answer with status 200.
pub fn ok(body: Json) -> Outcome {
    Ok(axum::Json(body).into_response())
}

impl Call {
    /// The body as a typed request; an empty body counts as `{}`. The error names the field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, FunctionError> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        let mut reader = serde_json::Deserializer::from_slice(body);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let field = error.path().to_string();
            let reason = error.into_inner();
            FunctionError::bad(match field.as_str() {
                "." => format!("the request body is not understood: {reason}"),
                field => format!("{field}: {reason}"),
            })
        })
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
