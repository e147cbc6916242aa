//! Failures in this dialect's words: `{detail}`, with `request_id` beside it where the server or a rule is the cause.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use services::{Kind, ServiceError};
use store::StoreError;

use crate::programs::Unadmitted;
use crate::receive::ReceiveError;
use crate::request_body::{BodyError, Notes};

/// Why a call was not answered.
#[derive(Debug)]
pub(super) struct DetailError {
    status: StatusCode,
    detail: Json,
    retry_after_s: Option<u64>,
}

impl DetailError {
    /// A failure with a status and a message.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> DetailError {
        DetailError { status, detail: Json::from(detail.into()), retry_after_s: None }
    }

    /// 422: a value of the request is not of its type or beyond its limits; `place` is `body`, `path` or `query`.
    pub fn invalid(place: &str, field: &str, reason: impl Into<String>) -> DetailError {
        let mut location = vec![Json::from(place)];
        location.extend(field.split('.').filter(|part| !part.is_empty()).map(Json::from));
        let problem = json!({"loc": location, "msg": reason.into(), "type": "value_error"});
        DetailError { detail: json!([problem]), ..DetailError::new(StatusCode::UNPROCESSABLE_ENTITY, "") }
    }

    /// The whole answer. Rules and failing servers name the request, by which its audit entries are found.
    pub fn respond(mut self, request_id: &str, notes: &Notes) -> Response {
        if let Json::String(text) = &mut self.detail {
            *text = notes.reword(text);
        }
        let mut body = json!({"detail": self.detail});
        if self.status == StatusCode::BAD_REQUEST || self.status.is_server_error() {
            body["request_id"] = request_id.into();
        }
        let mut response = (self.status, axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<ServiceError> for DetailError {
    fn from(error: ServiceError) -> DetailError {
        let status = match error.kind() {
            // A field that is not of its kind is a validation error; what a rule declines is a value error.
            Kind::Bad if error.field_name().is_some() => {
                let (field, message) = (error.field_name().unwrap_or_default(), error.to_string());
                let reason = message.strip_prefix(&format!("{field}: ")).unwrap_or(&message);
                return DetailError::invalid("body", field, reason);
            }
            Kind::Bad | Kind::Conflict => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::ContentRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            // No model, or none that answers as it must.
            Kind::Upstream | Kind::Unavailable => StatusCode::BAD_GATEWAY,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        };
        let retry_after_s = error.retry_after_s();
        DetailError { retry_after_s, ..DetailError::new(status, error.to_string()) }
    }
}

impl From<StoreError> for DetailError {
    fn from(error: StoreError) -> DetailError {
        ServiceError::from(error).into()
    }
}

impl From<BodyError> for DetailError {
    fn from(error: BodyError) -> DetailError {
        match error {
            BodyError::Field { field, reason } => DetailError::invalid("body", &field, reason),
            BodyError::Unreadable(_) => DetailError::invalid("body", "", error.to_string()),
        }
    }
}

impl From<ReceiveError> for DetailError {
    fn from(error: ReceiveError) -> DetailError {
        let status = match error {
            ReceiveError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ReceiveError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            ReceiveError::Unreadable(_) | ReceiveError::KeyTooLong => StatusCode::BAD_REQUEST,
        };
        DetailError::new(status, error.to_string())
    }
}

impl From<Unadmitted> for DetailError {
    fn from(unadmitted: Unadmitted) -> DetailError {
        let refused = |message: &str| DetailError::new(StatusCode::UNAUTHORIZED, message);
        match unadmitted {
            Unadmitted::Missing => refused("Not authenticated: send a token as a Bearer token"),
            Unadmitted::Unknown(said) => refused(said.as_deref().unwrap_or("The token is not known")),
            Unadmitted::NoAccount => {
                refused("A key stands for no account: use a token of create-api-token or an access token")
            }
            Unadmitted::Banned(said) => {
                let message = said.unwrap_or_else(|| "The account of this token is banned".into());
                DetailError::new(StatusCode::FORBIDDEN, message)
            }
            Unadmitted::OutOfScope(scope) => {
                let message = format!("This token is not for {scope}: make one with that scope");
                DetailError::new(StatusCode::FORBIDDEN, message)
            }
            Unadmitted::Unavailable(message) => DetailError::new(StatusCode::SERVICE_UNAVAILABLE, message),
            Unadmitted::Store(error) => error.into(),
        }
    }
}
