//! A picture behind a URL, fetched with care.

use std::time::Duration;

use futures_util::StreamExt;

use super::open_address::open_address;

/// Largest picture that is fetched, in bytes.
const FETCHED_BYTES_MAX: usize = 20 << 20;
const FETCH_TIME_MAX: Duration = Duration::from_secs(15);

/// The picture behind a URL, every hop checked before it is asked, all within a time.
pub async fn download(given: &str, private_allowed: bool) -> Result<(Vec<u8>, String), String> {
    let fetched = tokio::time::timeout(FETCH_TIME_MAX, fetch_from(given, private_allowed)).await;
    fetched.unwrap_or_else(|_| Err("it took too long".into()))
}

async fn fetch_from(given: &str, private_allowed: bool) -> Result<(Vec<u8>, String), String> {
    let response = open_address(given, private_allowed).await?;
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !matches!(kind.as_str(), "image/png" | "image/jpeg" | "image/webp" | "image/gif") {
        return Err(format!("{kind:?} is not a picture"));
    }
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| "the connection broke off".to_string())?);
        if bytes.len() > FETCHED_BYTES_MAX {
            return Err(format!("more than {FETCHED_BYTES_MAX} bytes"));
        }
    }
    Ok((bytes, kind))
}
