//! What every dialect takes of a request: its whole body within a limit, and the key that makes it idempotent.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use futures_util::StreamExt;

use crate::storage::drain;

/// Time for a body to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(300);
/// Longest Idempotency-Key, in characters.
const KEY_CHARS_MAX: usize = 200;

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The connection broke off, or its framing is wrong.
    #[error("the body cannot be read: {0}")]
    Unreadable(String),
    /// The body is too large.
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The body paused too long.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The key is too long.
    #[error("Idempotency-Key: longer than {KEY_CHARS_MAX} characters")]
    KeyTooLong,
}

/// The whole body; one that is too large is read on for a while, so that the sender hears why it was refused.
pub(crate) async fn receive(body: Body, bytes_max: usize) -> Result<Bytes, ReceiveError> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let gathered = async {
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| ReceiveError::Unreadable(error.to_string()))?;
            if bytes.len() + piece.len() > bytes_max {
                return Err(ReceiveError::TooLarge { bytes_max });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(())
    };
    let gathered = tokio::time::timeout(BODY_TIME_MAX, gathered).await;
    match gathered.unwrap_or(Err(ReceiveError::TooSlow)) {
        Ok(()) => Ok(Bytes::from(bytes)),
        Err(error) => {
            drain(&mut stream).await;
            Err(error)
        }
    }
}

/// The key that a client gave its request; an empty one counts as none.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ReceiveError> {
    let given = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    match given.filter(|key| !key.is_empty()) {
        Some(key) if key.chars().count() > KEY_CHARS_MAX => Err(ReceiveError::KeyTooLong),
        key => Ok(key.map(str::to_string)),
    }
}
