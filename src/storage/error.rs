//! Errors of the storage dialect: HTTP 400 with the true status in the body.

use actors::Refusal;
use actors::file::FileRefusal;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store::StoreError;

use crate::caller::{Bad, BadToken};

/// Why a request of the storage dialect was declined.
#[derive(Clone, Debug)]
pub(crate) struct StorageError {
    /// The true status.
    pub status: StatusCode,
    /// What older clients match on.
    error: &'static str,
    /// What newer clients match on.
    code: &'static str,
    message: String,
    /// Answer with the true status rather than with 400.
    is_plain: bool,
    retry_after_s: Option<u64>,
}

impl StorageError {
    pub fn new(
        status: u16,
        error: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> StorageError {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let is_plain = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        StorageError { status, error, code, message: message.into(), is_plain, retry_after_s: None }
    }

    pub fn invalid(message: impl Into<String>) -> StorageError {
        StorageError::new(400, "invalid_request", "InvalidRequest", message)
    }

    pub fn denied() -> StorageError {
        StorageError::new(403, "Unauthorized", "AccessDenied", "new row violates row-level security policy")
    }

    pub fn internal(what: impl std::fmt::Display) -> StorageError {
        tracing::error!("storage: {what}");
        StorageError::new(500, "internal", "InternalError", "Internal Server Error")
    }

    pub fn too_many() -> StorageError {
        let error = StorageError::new(429, "too_many_requests", "SlowDown", "Please try again later");
        StorageError { retry_after_s: Some(1), ..error }
    }

    /// The same, answered with its true status: resumable uploads and rendered pictures are.
    pub fn plain(self) -> StorageError {
        StorageError { is_plain: true, ..self }
    }
}

impl From<BadToken> for StorageError {
    fn from(bad: BadToken) -> StorageError {
        match bad.kind {
            Bad::Unknown => StorageError::new(503, "internal", "InternalError", bad.message),
            _ => StorageError::new(403, "Unauthorized", "InvalidJWT", bad.message),
        }
    }
}

impl From<FileRefusal> for StorageError {
    fn from(refusal: FileRefusal) -> StorageError {
        let message = refusal.to_string();
        let (status, error, code) = match refusal {
            FileRefusal::NoSuchBucket => (404, "Bucket not found", "NoSuchBucket"),
            FileRefusal::NoSuchKey => (404, "not_found", "NoSuchKey"),
            FileRefusal::BucketNotEmpty => (409, "InvalidRequest", "BucketNotEmpty"),
            FileRefusal::BucketName => (400, "Invalid Input", "InvalidBucketName"),
            FileRefusal::Key { .. } => (400, "InvalidKey", "InvalidKey"),
            FileRefusal::TooLarge { .. } => (413, "Payload too large", "EntityTooLarge"),
            FileRefusal::MimeType { .. } => (415, "invalid_mime_type", "InvalidMimeType"),
            FileRefusal::BlobGone => return StorageError::internal(message),
        };
        StorageError::new(status, error, code, message)
    }
}

impl From<StoreError> for StorageError {
    fn from(error: StoreError) -> StorageError {
        match &error {
            StoreError::Duplicate { table, .. } => {
                let code = if table == "buckets" { "BucketAlreadyExists" } else { "KeyAlreadyExists" };
                StorageError::new(409, "Duplicate", code, "The resource already exists")
            }
            StoreError::Policy { .. } | StoreError::GuardedColumn { .. } => StorageError::denied(),
            StoreError::Convert(_) | StoreError::NotNull { .. } | StoreError::Check { .. } => {
                StorageError::invalid(error.to_string())
            }
            StoreError::Limit { .. } => StorageError::invalid(error.to_string()),
            StoreError::Timeout => {
                StorageError::new(544, "database_timeout", "DatabaseTimeout", "the query took too long")
            }
            StoreError::Closed => StorageError::new(503, "internal", "InternalError", error.to_string()),
            StoreError::Shared { .. } => StorageError::too_many(),
            StoreError::DiskFull => StorageError::new(507, "disk_full", "DiskFull", error.to_string()),
            _ => StorageError::internal(error),
        }
    }
}

impl From<Refusal> for StorageError {
    fn from(refusal: Refusal) -> StorageError {
        match refusal {
            Refusal::File(refusal) => refusal.into(),
            Refusal::Store(error) if error.sqlstate() == "PT401" => {
                StorageError::new(403, "Unauthorized", "InvalidJWT", error.to_string())
            }
            Refusal::Store(error) => error.into(),
            Refusal::Busy { retry_after_s, .. } => {
                StorageError { retry_after_s: Some(retry_after_s), ..StorageError::too_many() }
            }
            Refusal::Restarting { .. } => StorageError::too_many(),
            other => StorageError::internal(other),
        }
    }
}

impl From<tokio::task::JoinError> for StorageError {
    fn from(error: tokio::task::JoinError) -> StorageError {
        StorageError::internal(error)
    }
}

impl IntoResponse for StorageError {
    fn into_response(self) -> Response {
        let body = json!({
            "statusCode": self.status.as_str(), "error": self.error, "message": self.message, "code": self.code,
        });
        let status = if self.is_plain { self.status } else { StatusCode::BAD_REQUEST };
        let mut response = (status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
