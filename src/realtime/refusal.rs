//! Answers to requests that open no socket and broadcast nothing.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer that is not the one asked for.
pub(super) fn refuse(status: StatusCode, message: impl Into<String>) -> Response {
    let body = json!({"code": status.as_u16().to_string(), "message": message.into()});
    (status, axum::Json(body)).into_response()
}
