//! Failures in this dialect's words: `{error, detail, body, errors}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use services::{Kind, ServiceError};
use store::StoreError;

use crate::receive::ReceiveError;
use crate::request_body::{BodyError, Notes, warn};

/// Why a request was not answered.
#[derive(Debug)]
pub struct SdError {
    status: StatusCode,
    error: String,
    field: Option<String>,
    message: String,
    retry_after_s: Option<u64>,
    warnings: Vec<String>,
}

impl SdError {
    /// A failure with a status, a name for programs and a message.
    pub fn new(status: u16, error: &str, message: impl Into<String>) -> SdError {
        SdError {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error: error.into(),
            field: None,
            message: message.into(),
            retry_after_s: None,
            warnings: Vec::new(),
        }
    }

    /// 422 about a field of the request.
    pub fn field(field: &str, reason: impl std::fmt::Display) -> SdError {
        let error = SdError::new(422, "ValidationError", format!("{field}: {reason}"));
        SdError { field: Some(field.into()), ..error }
    }

    /// Adds what was noted while the request was read.
    #[must_use]
    pub fn noting(mut self, notes: &mut Notes) -> SdError {
        self.message = notes.reword(&self.message);
        self.field = self.field.map(|field| notes.spelled(&field));
        self
    }

    fn body(&self) -> Json {
        let mut body = json!({
            "error": self.error, "detail": self.message, "body": self.field, "errors": self.message,
        });
        warn(&mut body, self.warnings.clone());
        body
    }
}

impl IntoResponse for SdError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        }
        response
    }
}

/// What this dialect calls a field of a job.
fn own_field(field: &str) -> &str {
    match field {
        "metadata.contentType" => "content_rating",
        "guidance_scale" => "cfg_scale",
        "denoise_strength" => "denoising_strength",
        "image_count" => "batch_size",
        "scheduler" => "sampler_name",
        "model" => "override_settings.sd_model_checkpoint",
        "vae" => "override_settings.sd_vae",
        "refiner" => "refiner_checkpoint",
        "reference_image_url" => "init_images",
        "mask_image_url" => "mask",
        other => other,
    }
}

/// A warning about a job in the dialect's own fields.
pub(super) fn in_own_words(warning: &str) -> String {
    match warning.split_once(": ") {
        Some((field, rest)) => format!("{}: {rest}", own_field(field)),
        None => warning.to_string(),
    }
}

impl From<ServiceError> for SdError {
    fn from(error: ServiceError) -> SdError {
        let status: u16 = match error.kind() {
            Kind::Bad | Kind::ContentRefused => 422,
            Kind::Unauthorized => 401,
            Kind::PaymentRequired => 402,
            Kind::Forbidden => 403,
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::TooLarge => 413,
            Kind::UnsupportedType => 415,
            Kind::Busy => 429,
            Kind::Internal => 500,
            Kind::Upstream => 502,
            Kind::Unavailable => 503,
            Kind::Timeout => 504,
        };
        let name = match (error.code(), status) {
            (Some(code), _) if !code.starts_with("PT") => code.to_string(),
            (_, 422) => "ValidationError".into(),
            (_, 429) => "TooManyRequests".into(),
            (_, 504) => "Timeout".into(),
            _ => "Exception".into(),
        };
        let retry_after_s = error.retry_after_s();
        let field = error.field_name().map(|field| own_field(field).to_string());
        let error = match &field {
            Some(field) => error.of_field(field.clone()),
            None => error,
        };
        SdError { field, retry_after_s, ..SdError::new(status, &name, error.to_string()) }
    }
}

impl From<StoreError> for SdError {
    fn from(error: StoreError) -> SdError {
        ServiceError::from(error).into()
    }
}

impl From<BodyError> for SdError {
    fn from(error: BodyError) -> SdError {
        match error {
            BodyError::Field { field, reason } => SdError::field(&field, reason),
            BodyError::Unreadable(_) => SdError::new(422, "JSONDecodeError", error.to_string()),
        }
    }
}

impl From<ReceiveError> for SdError {
    fn from(error: ReceiveError) -> SdError {
        let status = match error {
            ReceiveError::Unreadable(_) | ReceiveError::KeyTooLong => 400,
            ReceiveError::TooLarge { .. } => 413,
            ReceiveError::TooSlow => 408,
        };
        SdError::new(status, "Exception", error.to_string())
    }
}

impl std::fmt::Display for SdError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}
