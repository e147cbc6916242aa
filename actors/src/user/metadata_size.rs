//! How much an account's metadata may hold: all of it is in every access token, and a token that is too long opens nothing.

use models::Value;
use store::StoreError;

use crate::refusal::Refusal;

/// What an account and its operators may say of it, as JSON, in bytes. In base64 and beside the other claims it leaves room
/// within the 16 KiB that are read of a token.
pub const METADATA_BYTES_MAX: usize = 10 << 10;

/// Refuses metadata with which no token could be used any more. What grew too large before may become smaller.
pub fn check(user_metadata: &Value, app_metadata: &Value, before: usize) -> Result<(), Refusal> {
    let bytes = bytes(user_metadata, app_metadata);
    if bytes <= METADATA_BYTES_MAX || bytes < before {
        return Ok(());
    }
    let message = format!(
        "user_metadata and app_metadata have {bytes} bytes together; at most {METADATA_BYTES_MAX} fit into an access token"
    );
    Err(StoreError::raised("PT422", message).into())
}

/// Bytes of both.
pub fn bytes(user_metadata: &Value, app_metadata: &Value) -> usize {
    [user_metadata, app_metadata]
        .iter()
        .map(|value| models::convert::to_text(value).map_or(0, |text| text.len()))
        .sum()
}
