//! Tokens inside signed URLs: they open one file for a while, to their holders.

use std::collections::BTreeMap;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::StorageError;
use crate::keys::Keys;

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Longest life of a token, in seconds: ten years.
const LIFE_S_MAX: u64 = 10 * 365 * 24 * 3600;

/// What a token opens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub(crate) enum Opens {
    /// Reading a file.
    Download {
        /// Parameters of the picture to make of it; absent for the file itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transform: Option<BTreeMap<String, String>>,
        /// The hash of the bytes that it opens; absent for whatever the file holds when it is read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blob: Option<String>,
    },
    /// Writing a file, with the rights of the account that signed.
    Upload {
        /// The account; absent for the service.
        owner: Option<Uuid>,
        /// Whether a file that is there may be replaced.
        upsert: bool,
    },
}

#[derive(Deserialize, Serialize)]
struct Claims {
    /// `bucket/key`.
    url: String,
    #[serde(flatten)]
    opens: Opens,
    iat: i64,
    exp: i64,
}

/// Signs a token for `bucket/key`.
pub(crate) fn sign(keys: &Keys, url: &str, opens: Opens, expires_in_s: u64) -> Result<String, StorageError> {
    let now = chrono::Utc::now().timestamp();
    let exp = now + i64::try_from(expires_in_s.min(LIFE_S_MAX)).unwrap_or(0);
    let claims = Claims { url: url.to_string(), opens, iat: now, exp };
    let key = EncodingKey::from_secret(&secret(keys));
    encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(StorageError::internal)
}

/// What a token opens, if it is ours, still counts, and is for `bucket/key`.
pub(crate) fn open(keys: &Keys, token: Option<&str>, url: &str) -> Result<Opens, StorageError> {
    let (found, opens) = open_any(keys, token)?;
    if found != url {
        return Err(StorageError::new(
            400,
            "InvalidSignature",
            "InvalidSignature",
            "The token is for another file",
        ));
    }
    Ok(opens)
}

/// The file, `bucket/key`, and what a token opens there, if it is ours and still counts.
pub(crate) fn open_any(keys: &Keys, token: Option<&str>) -> Result<(String, Opens), StorageError> {
    let bad = |message: &str| StorageError::new(400, "InvalidJWT", "InvalidJWT", message);
    let token = token.filter(|token| !token.is_empty() && token.len() <= TOKEN_BYTES_MAX);
    let token = token.ok_or_else(|| bad("querystring must have required property 'token'"))?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    let key = DecodingKey::from_secret(&secret(keys));
    let claims = decode::<Claims>(token, &key, &validation).map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => bad("\"exp\" claim timestamp check failed"),
        ErrorKind::InvalidSignature => bad("signature verification failed"),
        _ => bad("invalid token"),
    })?;
    Ok((claims.claims.url, claims.claims.opens))
}

/// A key of its own, so that no access token passes for one of these, nor the reverse.
fn secret(keys: &Keys) -> [u8; 32] {
    blake3::derive_key("playhouse storage v1 signed urls", keys.jwt_secret().as_bytes())
}
