//! Failures of functions: a status and a JSON object that says `error`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

/// Why a function did not do what it was asked.
#[derive(Debug)]
pub struct FunctionError {
    /// HTTP status.
    pub status: StatusCode,
    /// The body; has at least `error`.
    pub body: Box<Json>,
    /// Seconds after which to try again.
    pub retry_after_s: Option<u64>,
}

impl FunctionError {
    /// A failure with a message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> FunctionError {
        let body = Box::new(json!({ "error": message.into() }));
        FunctionError { status, body, retry_after_s: None }
    }

    /// 400: the request is wrong; the message names the field.
    pub fn bad(message: impl Into<String>) -> FunctionError {
        FunctionError::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> FunctionError {
        FunctionError::new(StatusCode::NOT_FOUND, message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> FunctionError {
        FunctionError::new(StatusCode::FORBIDDEN, message)
    }

    /// 422 `CONTENT_REFUSED`: the content rules say no.
    pub fn content_refused(reason: impl Into<String>) -> FunctionError {
        FunctionError::new(StatusCode::UNPROCESSABLE_ENTITY, reason).with("code", "CONTENT_REFUSED")
    }

    /// 503: something that the function needs is not there.
    pub fn unavailable(code: &str, message: impl Into<String>) -> FunctionError {
        FunctionError::new(StatusCode::SERVICE_UNAVAILABLE, message).with("code", code)
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> FunctionError {
        self.body[name] = value.into();
        self
    }
}

impl IntoResponse for FunctionError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(*self.body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
