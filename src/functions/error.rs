//! Failures of functions: a status and a JSON object that says `error`.

use actors::Refusal;
use actors::file::FileRefusal;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use store::StoreError;

use crate::receive::ReceiveError;

/// When to try again if a queue is full, in seconds: about what a job or two take.
const QUEUE_RETRY_AFTER_S: u64 = 10;

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

impl From<ReceiveError> for FunctionError {
    fn from(error: ReceiveError) -> FunctionError {
        let message = error.to_string();
        match error {
            ReceiveError::Unreadable(_) | ReceiveError::KeyTooLong => FunctionError::bad(message),
            ReceiveError::TooLarge { .. } => {
                FunctionError::new(StatusCode::PAYLOAD_TOO_LARGE, message).with("code", "TOO_LARGE")
            }
            ReceiveError::TooSlow => FunctionError::new(StatusCode::REQUEST_TIMEOUT, message),
        }
    }
}

impl From<StoreError> for FunctionError {
    fn from(error: StoreError) -> FunctionError {
        Refusal::Store(error).into()
    }
}

impl From<Refusal> for FunctionError {
    fn from(refusal: Refusal) -> FunctionError {
        let (status, retry_after_s) = match &refusal {
            Refusal::Busy { retry_after_s, .. } => (StatusCode::TOO_MANY_REQUESTS, Some(*retry_after_s)),
            Refusal::Restarting { .. } => (StatusCode::TOO_MANY_REQUESTS, Some(1)),
            Refusal::Panicked { .. } => (StatusCode::INTERNAL_SERVER_ERROR, None),
            Refusal::ContentRefused { reason } => return FunctionError::content_refused(reason.clone()),
            Refusal::NotSingular { .. } | Refusal::TooManyAffected { .. } => (StatusCode::CONFLICT, None),
            Refusal::Store(error) => {
                let status = store_status(error);
                (status, (status == StatusCode::TOO_MANY_REQUESTS).then_some(QUEUE_RETRY_AFTER_S))
            }
            Refusal::File(refusal) => (file_status(refusal), None),
        };
        if status.is_server_error() {
            tracing::error!(%refusal, "a function failed");
        }
        let mut error = FunctionError::new(status, refusal.to_string());
        if let Refusal::Store(store) = &refusal {
            error = error.with("code", store.sqlstate());
            if let StoreError::Raised { details: Some(details), .. } = store
                && details == "CONTENT_REFUSED"
            {
                error = error.with("code", "CONTENT_REFUSED");
            }
        }
        error.retry_after_s = retry_after_s;
        error
    }
}

fn file_status(refusal: &FileRefusal) -> StatusCode {
    match refusal {
        FileRefusal::NoSuchBucket | FileRefusal::NoSuchKey => StatusCode::NOT_FOUND,
        FileRefusal::BucketNotEmpty => StatusCode::CONFLICT,
        FileRefusal::BucketName | FileRefusal::Key { .. } => StatusCode::BAD_REQUEST,
        FileRefusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        FileRefusal::MimeType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        FileRefusal::BlobGone => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn store_status(error: &StoreError) -> StatusCode {
    let sqlstate = error.sqlstate();
    match sqlstate {
        "23505" | "23503" => StatusCode::CONFLICT,
        "42501" => StatusCode::FORBIDDEN,
        "53100" => StatusCode::SERVICE_UNAVAILABLE,
        "57014" | "XX000" | "58030" | "25006" => StatusCode::INTERNAL_SERVER_ERROR,
        other => other
            .strip_prefix("PT")
            .and_then(|status| StatusCode::from_u16(status.parse().ok()?).ok())
            .unwrap_or(StatusCode::BAD_REQUEST),
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
