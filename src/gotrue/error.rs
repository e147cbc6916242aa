//! Errors of the auth dialect, in both of its wordings.

use actors::Refusal;
use actors::user::delete_account::LAST_ADMINISTRATOR;
use actors::user::standing::Standing;
use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use store::StoreError;

use crate::caller::{Bad, BadToken};
use crate::pace::TooOften;

/// Names the wording that the client understands.
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-supabase-api-version");
/// The first version with error codes as text.
const VERSION: &str = "2024-01-01";

/// Why a request of the auth dialect was declined.
#[derive(Clone, Debug)]
pub(crate) struct AuthError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// Set on `weak_password`.
    pub reasons: Vec<&'static str>,
    pub retry_after_s: Option<u64>,
}

impl AuthError {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> AuthError {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        AuthError { status, code, message: message.into(), reasons: Vec::new(), retry_after_s: None }
    }

    pub fn invalid(message: impl Into<String>) -> AuthError {
        AuthError::new(400, "validation_failed", message)
    }

    pub fn credentials() -> AuthError {
        AuthError::new(400, "invalid_credentials", "Invalid login credentials")
    }

    pub fn no_bearer() -> AuthError {
        AuthError::new(401, "no_authorization", "This endpoint requires a valid Bearer token")
    }

    pub fn too_many() -> AuthError {
        let error = AuthError::new(429, "over_request_rate_limit", "Request rate limit reached");
        AuthError { retry_after_s: Some(1), ..error }
    }

    pub fn internal(what: impl std::fmt::Display) -> AuthError {
        tracing::error!("auth: {what}");
        AuthError::new(500, "unexpected_failure", "Unexpected failure, please check server logs")
    }

    fn body(&self, with_version: bool) -> Value {
        let mut body = if with_version {
            json!({ "code": self.code, "message": self.message })
        } else {
            json!({ "code": self.status.as_u16(), "error_code": self.code, "msg": self.message })
        };
        if !self.reasons.is_empty() {
            body["weak_password"] = json!({ "reasons": self.reasons });
        }
        body
    }
}

impl From<BadToken> for AuthError {
    fn from(bad: BadToken) -> AuthError {
        let (status, code) = match bad.kind {
            Bad::Ended(Standing::Banned) => (403, "user_banned"),
            Bad::Ended(Standing::SignedOut) => (403, "session_not_found"),
            Bad::Ended(_) => (403, "user_not_found"),
            Bad::Unknown => (503, "unexpected_failure"),
            Bad::Invalid | Bad::Time => {
                let message = format!("invalid JWT: unable to parse or verify signature, {}", bad.message);
                return AuthError::new(403, "bad_jwt", message);
            }
        };
        AuthError::new(status, code, bad.message)
    }
}

impl From<Refusal> for AuthError {
    fn from(refusal: Refusal) -> AuthError {
        match refusal {
            Refusal::Busy { retry_after_s, .. } => {
                AuthError { retry_after_s: Some(retry_after_s), ..AuthError::too_many() }
            }
            Refusal::Store(error) if error.sqlstate() == "PT401" => {
                AuthError::new(403, "user_not_found", error.to_string())
            }
            Refusal::Store(error) if error.sqlstate() == LAST_ADMINISTRATOR => {
                AuthError::new(409, "last_administrator", error.to_string())
            }
            Refusal::Store(error) => error.into(),
            other => AuthError::internal(other),
        }
    }
}

impl From<TooOften> for AuthError {
    fn from(refusal: TooOften) -> AuthError {
        match refusal {
            TooOften::Tries { retry_after_s } => {
                AuthError { retry_after_s: Some(retry_after_s), ..AuthError::too_many() }
            }
            TooOften::Mails { retry_after_s } => {
                let error = AuthError::new(429, "over_email_send_rate_limit", "email rate limit exceeded");
                AuthError { retry_after_s: Some(retry_after_s), ..error }
            }
        }
    }
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> AuthError {
        match &error {
            StoreError::Duplicate { constraint, .. } if constraint.contains("phone") => AuthError::new(
                422,
                "phone_exists",
                "A user with this phone number has already been registered",
            ),
            StoreError::Duplicate { .. } => AuthError::new(
                422,
                "email_exists",
                "A user with this email address has already been registered",
            ),
            StoreError::Raised { sqlstate: "PT422", message, .. } => {
                AuthError::new(422, "validation_failed", message.clone())
            }
            StoreError::Convert(error) => AuthError::invalid(error.to_string()),
            StoreError::Check { .. } | StoreError::NotNull { .. } | StoreError::Limit { .. } => {
                AuthError::invalid(error.to_string())
            }
            StoreError::Shared { .. } => AuthError::too_many(),
            StoreError::DiskFull | StoreError::Closed => {
                AuthError::new(503, "unexpected_failure", error.to_string())
            }
            _ => AuthError::internal(error),
        }
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body(false))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Words errors as the client's version wants them, and tells it so.
pub(crate) async fn in_version(request: Request, next: Next) -> Response {
    let given = request.headers().get(VERSION_HEADER).cloned();
    let response = next.run(request).await;
    let Some(given) = given.filter(|version| version.to_str().is_ok_and(|text| text >= VERSION)) else {
        return response;
    };
    let (mut parts, mut body) = response.into_parts();
    if let Some(error) = parts.extensions.get::<AuthError>() {
        body = axum::body::Body::from(error.body(true).to_string());
        parts.headers.remove("content-length");
    }
    parts.headers.insert(VERSION_HEADER, given);
    Response::from_parts(parts, body)
}
