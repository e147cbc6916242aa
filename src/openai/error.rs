//! Failures in this dialect's words: `{"error": {message, type, param, code}}`.

use actors::Refusal;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use services::{Kind, ServiceError};
use store::StoreError;

use crate::receive::ReceiveError;
use crate::request_body::{BodyError, Notes, warn};

/// Why a request was not answered.
#[derive(Debug)]
pub struct OpenAiError {
    status: StatusCode,
    code: String,
    param: Option<String>,
    message: String,
    retry_after_s: Option<u64>,
    warnings: Vec<String>,
}

/// Models that a message names.
const MODELS_NAMED_MAX: usize = 20;

impl OpenAiError {
    /// A failure with a status, a code and a message.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> OpenAiError {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        OpenAiError {
            status,
            code: code.into(),
            param: None,
            message: message.into(),
            retry_after_s: None,
            warnings: Vec::new(),
        }
    }

    /// 400 about a field of the request.
    pub fn param(param: &str, message: impl Into<String>) -> OpenAiError {
        let error = OpenAiError::new(400, "invalid_value", format!("{param}: {}", message.into()));
        OpenAiError { param: Some(param.into()), ..error }
    }

    /// 404 for a model that is not there; names those that are.
    pub fn no_model(name: &str, known: &[String]) -> OpenAiError {
        let name: String = name.chars().take(100).collect();
        let mut message = format!("The model `{name}` does not exist or you do not have access to it.");
        if known.is_empty() {
            message.push_str(" GET /v1/models lists those that do.");
        }
        if !known.is_empty() {
            let shown = known.iter().take(MODELS_NAMED_MAX).map(String::as_str).collect::<Vec<_>>();
            message = format!("{message} Models: {}; GET /v1/models lists all.", shown.join(", "));
        }
        let error = OpenAiError::new(404, "model_not_found", message);
        OpenAiError { param: Some("model".into()), ..error }
    }

    /// Names fields as the client spelled them, and adds what was noted while its request was read.
    #[must_use]
    pub fn noting(mut self, notes: &mut Notes) -> OpenAiError {
        self.param = self.param.map(|param| notes.spelled(&param));
        self.message = notes.reword(&self.message);
        self.warnings = notes.reworded_warnings();
        self
    }

    /// 422: the content rules say no.
    pub fn content_refused(reason: impl Into<String>) -> OpenAiError {
        OpenAiError::new(422, "content_refused", reason)
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> OpenAiError {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The body.
    pub fn body(&self) -> Json {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            402 => "insufficient_quota",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let mut body =
            json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}});
        warn(&mut body, self.warnings.clone());
        body
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // The official clients would send what cannot succeed again and again.
        if matches!(self.code.as_str(), "timeout" | "no_chat_model" | "image_generation_failed") {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }
}

impl From<ServiceError> for OpenAiError {
    fn from(error: ServiceError) -> OpenAiError {
        let status: u16 = match error.kind() {
            Kind::Bad => 400,
            Kind::Unauthorized => 401,
            Kind::PaymentRequired => 402,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::TooLarge => 413,
            Kind::UnsupportedType => 415,
            Kind::ContentRefused => 422,
            Kind::Busy => 429,
            Kind::Internal => 500,
            Kind::Upstream => 502,
            Kind::Unavailable => 503,
            Kind::Timeout => 504,
        };
        let code = match (error.code(), status) {
            // What the store's own codes say the status says too.
            (Some(code), _) if !code.starts_with("PT") => code.to_ascii_lowercase(),
            (_, 401) => "invalid_api_key".into(),
            (_, 402) => "insufficient_quota".into(),
            (_, 404) => "not_found".into(),
            (_, 429) => "rate_limit_exceeded".into(),
            (_, 500..) => "server_error".into(),
            _ => "invalid_value".into(),
        };
        // Places inside a field have no name in this dialect: the field is named.
        let is_plain =
            |field: &&str| field.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        let field = error.field_name().filter(|_| error.kind() == Kind::Bad);
        let field = field.and_then(|field| field.split(['.', '[']).next()).filter(is_plain);
        let (param, retry_after_s) = (field.map(str::to_string), error.retry_after_s());
        OpenAiError { param, retry_after_s, ..OpenAiError::new(status, &code, error.to_string()) }
    }
}

impl From<ReceiveError> for OpenAiError {
    fn from(error: ReceiveError) -> OpenAiError {
        let (status, code) = match error {
            ReceiveError::TooLarge { .. } => (413, "too_large"),
            ReceiveError::TooSlow => (408, "invalid_value"),
            ReceiveError::Unreadable(_) | ReceiveError::KeyTooLong => (400, "invalid_value"),
        };
        OpenAiError::new(status, code, error.to_string())
    }
}

impl From<BodyError> for OpenAiError {
    fn from(error: BodyError) -> OpenAiError {
        match error {
            BodyError::Field { field, reason } => OpenAiError::param(&field, reason),
            BodyError::Unreadable(_) => OpenAiError::new(400, "invalid_json", error.to_string()),
        }
    }
}

impl From<Refusal> for OpenAiError {
    fn from(refusal: Refusal) -> OpenAiError {
        ServiceError::from(refusal).into()
    }
}

impl From<StoreError> for OpenAiError {
    fn from(error: StoreError) -> OpenAiError {
        ServiceError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_use_cases_name_the_field() {
        let error = OpenAiError::from(ServiceError::field("width, height", "give both"));
        assert_eq!(error.body()["error"]["param"], Json::Null);
        let error = OpenAiError::from(ServiceError::field("steps", "900 is not within 1 to 200"));
        assert_eq!(error.body()["error"]["param"], json!("steps"));
        assert_eq!(error.body()["error"]["type"], json!("invalid_request_error"));
        let full = Refusal::raised("PT429", "the queue is full; try again later");
        let error = OpenAiError::from(full);
        assert_eq!(error.body()["error"]["code"], json!("rate_limit_exceeded"));
        assert!(error.into_response().headers().contains_key(header::RETRY_AFTER));
        let error = OpenAiError::from(ServiceError::content_refused("no"));
        assert_eq!((error.status.as_u16(), &error.body()["error"]["code"]), (422, &json!("content_refused")));
    }
}
