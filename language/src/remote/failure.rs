//! Why does an attempt at a reply fail, and is another one worth it?

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::Endpoint;
use crate::error::LanguageError;

const ERROR_BODY_BYTES_MAX: usize = 2048;

/// Why an attempt failed, and what to do about it.
pub(super) struct Failure {
    pub(super) error: LanguageError,
    /// Whether the endpoint, rather than the request, is to blame.
    pub(super) endpoint_fault: bool,
    /// Whether another attempt makes sense, and how long the server asks us to wait.
    pub(super) retry_after: Option<Duration>,
    pub(super) retry: bool,
}

/// A failure of the server or the way to it, after which it is asked again.
pub(super) fn broken(endpoint: &Endpoint, detail: String) -> Failure {
    Failure {
        error: LanguageError::Remote { endpoint: endpoint.name.clone(), detail },
        endpoint_fault: true,
        retry_after: None,
        retry: true,
    }
}

/// Reads an error answer: rate limits and server errors are worth another attempt, refusals are not.
pub(super) async fn refusal(endpoint: &Endpoint, response: reqwest::Response) -> Failure {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(Ok(chunk)) = bytes.next().await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BODY_BYTES_MAX {
            body.truncate(ERROR_BODY_BYTES_MAX);
            break;
        }
    }
    let mut body = String::from_utf8_lossy(&body).into_owned();
    if let Some(key) = &endpoint.api_key
        && !key.0.is_empty()
    {
        // Some servers repeat a wrong key in their answer.
        body = body.replace(&key.0, "…");
    }
    let busy = status == StatusCode::TOO_MANY_REQUESTS;
    let retry = busy || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error();
    Failure {
        error: LanguageError::RemoteStatus { endpoint: endpoint.name.clone(), status: status.as_u16(), body },
        endpoint_fault: retry && !busy,
        retry_after,
        retry,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What went wrong, without the address, which may carry secrets.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "could not connect"
    } else {
        "the connection failed"
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::addr_eq(cause, error) { kind.to_string() } else { format!("{kind}: {cause}") }
}
