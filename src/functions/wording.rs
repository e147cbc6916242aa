//! Failures of use cases in this dialect's words: the status, and a JSON object with `error` and the details.

use actors::Refusal;
use actors::conversation::chat::TurnError;
use actors::language::NoEngine;
use axum::http::StatusCode;
use language::LanguageError;
use services::{Kind, ServiceError};
use store::StoreError;

use super::error::FunctionError;
use crate::receive::ReceiveError;
use crate::request_body::BodyError;

impl From<ServiceError> for FunctionError {
    fn from(error: ServiceError) -> FunctionError {
        let status = match error.kind() {
            Kind::Bad => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::ContentRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Upstream => StatusCode::BAD_GATEWAY,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        };
        let mut answer = FunctionError::new(status, error.to_string());
        if let Some(field) = error.field_name() {
            answer = answer.of_field(field);
        }
        for (name, value) in error.details() {
            if matches!(name.as_str(), "accepted" | "limits" | "missing" | "missing_one_of") {
                answer.body["details"][name] = value.clone();
            }
            answer = answer.with(name, value.clone());
        }
        answer.retry_after_s = error.retry_after_s();
        answer
    }
}

/// What an actor or a model declines is worded like what a use case declines.
macro_rules! worded_by_services {
    ($($error:ty),*) => {$(
        impl From<$error> for FunctionError {
            fn from(error: $error) -> FunctionError {
                ServiceError::from(error).into()
            }
        }
    )*};
}

worded_by_services!(Refusal, StoreError, TurnError, LanguageError, NoEngine);

impl From<BodyError> for FunctionError {
    fn from(error: BodyError) -> FunctionError {
        let answer = FunctionError::bad(error.to_string());
        match error {
            BodyError::Field { field, .. } => answer.of_field(&field),
            BodyError::Unreadable(_) => answer,
        }
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
