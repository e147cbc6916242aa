//! Refusals in PostgREST's words: `{code, message, details, hint}` with its status.

use actors::Refusal;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::{Claims, schema};
use serde_json::{Value as Json, json};
use store::StoreError;
use syntax::{NotAcceptable, RangeError, SyntaxError};

use super::policy_hint;

/// An answer that is not the one hoped for.
#[derive(Debug)]
pub struct PostgrestError {
    /// HTTP status.
    pub status: StatusCode,
    /// `PGRST…` or an SQLSTATE.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// More about it.
    pub details: Box<Json>,
    /// What to do about it.
    pub hint: Box<Json>,
    /// Seconds after which to try again.
    pub retry_after_s: Option<u64>,
}

impl PostgrestError {
    /// An error without details.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> PostgrestError {
        let message = message.into();
        PostgrestError {
            status,
            code: code.into(),
            message,
            details: Box::new(Json::Null),
            hint: Box::new(Json::Null),
            retry_after_s: None,
        }
    }

    /// 400.
    pub fn bad(code: &str, message: impl Into<String>) -> PostgrestError {
        PostgrestError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Adds details.
    #[must_use]
    pub fn details(mut self, details: impl Into<Json>) -> PostgrestError {
        self.details = Box::new(details.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Json>) -> PostgrestError {
        self.hint = Box::new(hint.into());
        self
    }

    /// No such table.
    pub fn unknown_table(name: &str) -> PostgrestError {
        let message = format!("Could not find the table 'public.{name}' in the schema cache");
        PostgrestError::new(StatusCode::NOT_FOUND, "PGRST205", message)
    }

    /// No such column.
    pub fn unknown_column(table: &str, column: &str) -> PostgrestError {
        PostgrestError::bad("42703", format!("column {table}.{column} does not exist"))
    }

    /// Zero or several rows where one was wanted.
    pub fn not_singular(count: u64) -> PostgrestError {
        let message = "Cannot coerce the result to a single JSON object";
        let error = PostgrestError::new(StatusCode::NOT_ACCEPTABLE, "PGRST116", message);
        error.details(format!("The result contains {count} rows"))
    }

    /// What an actor refused.
    pub fn from_refusal(refusal: Refusal, claims: &Claims) -> PostgrestError {
        match refusal {
            Refusal::Store(error) => PostgrestError::from_store(error, claims),
            Refusal::Busy { retry_after_s, .. } => {
                let mut error =
                    PostgrestError::new(StatusCode::TOO_MANY_REQUESTS, "53400", refusal.to_string());
                error.retry_after_s = Some(retry_after_s);
                error
            }
            Refusal::Panicked { .. } => {
                PostgrestError::new(StatusCode::INTERNAL_SERVER_ERROR, "XX000", refusal.to_string())
            }
            Refusal::Restarting { .. } => {
                let mut error =
                    PostgrestError::new(StatusCode::TOO_MANY_REQUESTS, "57P03", refusal.to_string());
                error.retry_after_s = Some(1);
                error
            }
            Refusal::NotSingular { count } => PostgrestError::not_singular(count),
            Refusal::TooManyAffected { count } => {
                let error = PostgrestError::bad("PGRST124", refusal.to_string());
                error.details(format!("The query affects {count} rows"))
            }
            Refusal::File(_) => PostgrestError::bad("P0001", refusal.to_string()),
            Refusal::ContentRefused { reason } => {
                PostgrestError::new(StatusCode::UNPROCESSABLE_ENTITY, "CONTENT_REFUSED", reason)
            }
        }
    }

    /// What the store refused.
    pub fn from_store(error: StoreError, claims: &Claims) -> PostgrestError {
        let sqlstate = error.sqlstate();
        let status = match (sqlstate, claims.user_id.is_some() || claims.is_service()) {
            ("23505" | "23503", _) => StatusCode::CONFLICT,
            ("42501", false) => StatusCode::UNAUTHORIZED,
            ("42501", true) => StatusCode::FORBIDDEN,
            ("42883" | "42P01", _) => StatusCode::NOT_FOUND,
            ("53100" | "57P03", _) => StatusCode::SERVICE_UNAVAILABLE,
            ("53400", _) => StatusCode::TOO_MANY_REQUESTS,
            ("40001" | "57014" | "XX000" | "58030" | "25006", _) => StatusCode::INTERNAL_SERVER_ERROR,
            (other, _) => match other.strip_prefix("PT").and_then(|status| status.parse().ok()) {
                Some(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
                None => StatusCode::BAD_REQUEST,
            },
        };
        if status.is_server_error() {
            tracing::error!(%error, "a request failed");
        }
        let mut base = PostgrestError::new(status, sqlstate, error.to_string());
        base.retry_after_s = matches!(error, StoreError::Shared { .. }).then_some(1);
        match error {
            StoreError::Duplicate { key, .. } => base.details(format!("Key {key} already exists.")),
            StoreError::ReferenceMissing { column, value, target, .. } => {
                base.details(format!("Key ({column})=({value}) is not present in table \"{target}\"."))
            }
            StoreError::ReferenceInUse { referrer, value, .. } => {
                base.details(format!("Key (id)=({value}) is still referenced from table \"{referrer}\"."))
            }
            StoreError::Convert(error) => base.hint(error.hint()),
            StoreError::Policy { table, command } => base.hint(policy_hint::hint(&table, command, claims)),
            StoreError::NotNull { row, .. } => base.details(failing(&row)),
            StoreError::Check { table, constraint, row } => {
                let accepted = accepted_by(&table, &constraint);
                base.details(failing(&row)).hint(accepted)
            }
            StoreError::Raised { details: Some(code), .. } if code == "CONTENT_REFUSED" => {
                PostgrestError { code, ..base }
            }
            StoreError::Raised { details, hint, .. } => base.details(details).hint(hint),
            // Paths and engine messages are for the log, not for clients.
            StoreError::Engine(_) | StoreError::Io { .. } | StoreError::Corrupt(_) | StoreError::Open(_) => {
                PostgrestError { message: "the server could not read or write its data".into(), ..base }
            }
            _ => base,
        }
    }
}

fn failing(row: &str) -> Option<String> {
    (!row.is_empty()).then(|| format!("Failing row contains {row}."))
}

/// What a check takes, as the table declares it.
fn accepted_by(table: &str, constraint: &str) -> Option<String> {
    let check = schema().table(table)?.table.checks.iter().find(|check| check.name == constraint)?;
    Some(format!("accepted: {}", check.expression))
}

impl From<SyntaxError> for PostgrestError {
    fn from(error: SyntaxError) -> PostgrestError {
        PostgrestError::bad(SyntaxError::CODE, error.to_string()).details(error.details)
    }
}

impl From<NotAcceptable> for PostgrestError {
    fn from(error: NotAcceptable) -> PostgrestError {
        PostgrestError::new(StatusCode::NOT_ACCEPTABLE, "PGRST107", error.to_string())
    }
}

impl From<RangeError> for PostgrestError {
    fn from(error: RangeError) -> PostgrestError {
        let base =
            PostgrestError::new(StatusCode::RANGE_NOT_SATISFIABLE, RangeError::CODE, RangeError::MESSAGE);
        base.details(error.to_string())
    }
}

impl IntoResponse for PostgrestError {
    fn into_response(self) -> Response {
        let body =
            json!({"code": self.code, "message": self.message, "details": self.details, "hint": self.hint});
        let mut response = (self.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        if let Ok(status) = HeaderValue::from_str(&format!("PostgREST; error={}", self.code)) {
            headers.insert("proxy-status", status);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
