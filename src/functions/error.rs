//! Failures of functions: a status and a JSON object that says `error`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use services::ServiceError;

/// Why a function did not do what it was asked.
#[derive(Debug)]
pub struct FunctionError {
    /// HTTP status.
    pub status: StatusCode,
    /// The body; has at least `error`. What is answered has `code`, `message` and `details` as well.
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

    /// 400: the request lacks fields; the message names all of them.
    pub fn missing(fields: &[&str]) -> FunctionError {
        ServiceError::missing(fields).into()
    }

    /// 400: the request lacks a field that may have several names, or one of several.
    pub fn missing_one_of(fields: &[&str]) -> FunctionError {
        ServiceError::missing_one_of(fields).into()
    }

    /// 400: a field holds none of the values that are known.
    pub fn none_of(field: &str, given: &str, accepted: &[&str]) -> FunctionError {
        ServiceError::none_of(field, given, accepted).into()
    }

    /// 400: the request lacks a field that takes one of several values.
    pub fn missing_choice(field: &str, accepted: &[&str]) -> FunctionError {
        ServiceError::missing(&[field]).with("accepted", accepted.to_vec()).into()
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

    /// Names the field of the request that is at fault.
    #[must_use]
    pub fn of_field(mut self, field: &str) -> FunctionError {
        if self.body["details"].is_string() {
            return self;
        }
        // Several fields are a list; the first of them stands for all where one name is asked for.
        let fields: Vec<&str> = field.split(", ").collect();
        self.body["details"]["field"] = fields[0].into();
        if fields.len() > 1 {
            self.body["details"]["fields"] = fields.into();
        }
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> FunctionError {
        self.body[name] = value.into();
        self
    }
}

/// The name of a failure that has no other, by its status.
fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "BAD_REQUEST",
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::PAYMENT_REQUIRED => "PAYMENT_REQUIRED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::REQUEST_TIMEOUT => "REQUEST_TIMEOUT",
        StatusCode::CONFLICT => "CONFLICT",
        StatusCode::GONE => "GONE",
        StatusCode::PAYLOAD_TOO_LARGE => "TOO_LARGE",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_TYPE",
        StatusCode::UNPROCESSABLE_ENTITY => "UNPROCESSABLE",
        StatusCode::TOO_MANY_REQUESTS => "BUSY",
        StatusCode::BAD_GATEWAY => "UPSTREAM_FAILED",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        StatusCode::GATEWAY_TIMEOUT => "TIMEOUT",
        _ => "INTERNAL",
    }
}

impl IntoResponse for FunctionError {
    fn into_response(mut self) -> Response {
        let message = self.body["error"].clone();
        if let Json::Object(body) = &mut *self.body {
            body.entry("code").or_insert_with(|| code_of(self.status).into());
            body.entry("message").or_insert(message);
            body.entry("details").or_insert(Json::Null);
        }
        let mut response = (self.status, axum::Json(*self.body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
