//! Access tokens: which claims they carry, and whether one is ours.

use actors::user::standing::Standing;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header, encode};
use models::{Claims, Role};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::Config;
use crate::keys::Keys;

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What an access token or API key says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct TokenClaims {
    /// The database role.
    #[serde(default)]
    role: Option<String>,
    /// The account.
    #[serde(default)]
    sub: Option<String>,
    /// The session.
    #[serde(default)]
    session_id: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(default)]
    exp: Option<u64>,
}

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadToken {
    /// What is wrong with it.
    pub message: String,
    /// What kind of thing that is.
    pub kind: Bad,
}

/// What kind of thing is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is none, or none of ours.
    Invalid,
    /// Only its time is wrong: over, or not yet come.
    Time,
    /// Its account does not stand any more, or its session has ended.
    Ended(Standing),
    /// How its account stands cannot be said at the moment.
    Unknown,
}

impl BadToken {
    pub(crate) fn new(message: impl Into<String>) -> BadToken {
        BadToken { message: message.into(), kind: Bad::Invalid }
    }
}

/// Whom an access token is for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The account.
    pub user_id: Uuid,
    /// Its session.
    pub session_id: Uuid,
    /// Its address, or empty.
    pub email: String,
    /// Its number, or empty.
    pub phone: String,
    /// What only operators may change.
    pub app_metadata: Value,
    /// What the account says of itself.
    pub user_metadata: Value,
    /// Whether it has no address.
    pub is_anonymous: bool,
    /// How the caller proved who they are.
    pub method: String,
}

/// Signs an access token; answers with it and when it ends, in seconds since 1970.
pub fn sign(keys: &Keys, config: &Config, subject: &Subject) -> Result<(String, i64), BadToken> {
    let now = chrono::Utc::now().timestamp();
    let expires = now.saturating_add(i64::try_from(config.access_token_s).unwrap_or(i64::MAX));
    let claims = json!({
        "iss": format!("{}/auth/v1", config.url()),
        "sub": subject.user_id,
        "aud": "authenticated",
        "exp": expires,
        "iat": now,
        "email": subject.email,
        "phone": subject.phone,
        "app_metadata": subject.app_metadata,
        "user_metadata": subject.user_metadata,
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{ "method": subject.method, "timestamp": now }],
        "session_id": subject.session_id,
        "is_anonymous": subject.is_anonymous,
    });
    let (header, key) = keys.signer();
    let token = encode(&header, &claims, key).map_err(|error| BadToken::new(error.to_string()))?;
    Ok((token, expires))
}

fn claims_of(said: &TokenClaims) -> Result<Claims, BadToken> {
    let uuid = |text: &Option<String>| text.as_deref().and_then(|text| Uuid::parse_str(text).ok());
    match said.role.as_deref().and_then(Role::parse) {
        None => Err(BadToken::new("the token names no known role")),
        Some(Role::Anon) => Ok(Claims::anonymous()),
        Some(Role::Service) => Ok(Claims::service()),
        Some(Role::Authenticated) => match uuid(&said.sub) {
            Some(user) => Ok(Claims { session_id: uuid(&said.session_id), ..Claims::user(user) }),
            None => Err(BadToken::new("invalid claim: missing sub claim")),
        },
    }
}

/// Verifies a token that we signed, access token or API key; answers with whom it stands for. Whether that account still
/// stands is [`crate::caller`]'s to ask.
pub fn verify(keys: &Keys, token: &str) -> Result<Claims, BadToken> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(BadToken::new("the token is too long"));
    }
    if let Some(claims) = keys.token_cache().get(token) {
        return Ok(claims);
    }
    let header = decode_header(token)
        .map_err(|_| BadToken::new("token is malformed: expected three base64url parts"))?;
    let Some(key) = keys.verifier(header.alg) else {
        return Err(BadToken::new(format!("signing method {:?} is invalid", header.alg)));
    };
    let mut validation = Validation::new(header.alg);
    validation.leeway = 0;
    // API keys have no audience.
    validation.validate_aud = false;
    validation.validate_nbf = true;
    // Holders of the secret may make tokens that do not end.
    validation.required_spec_claims.clear();
    match decode::<TokenClaims>(token, key, &validation) {
        Ok(data) => {
            let claims = claims_of(&data.claims)?;
            // One without an end is not remembered, for it would never be forgotten.
            if let Some(ends) = data.claims.exp {
                keys.token_cache().add(token, &claims, ends);
            }
            Ok(claims)
        }
        Err(error) => Err(match error.kind() {
            ErrorKind::ExpiredSignature => BadToken { message: "JWT expired".into(), kind: Bad::Time },
            ErrorKind::ImmatureSignature => BadToken { message: "JWT not yet valid".into(), kind: Bad::Time },
            ErrorKind::InvalidSignature => BadToken::new("signature is invalid"),
            _ => BadToken::new("token is malformed"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};

    use super::*;

    #[test]
    fn a_token_counts_from_its_beginning_to_its_end_if_it_has_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Keys::load_or_create(folder.path(), &Config::default()).expect("keys");
        let secret = EncodingKey::from_secret(keys.jwt_secret().as_bytes());
        let verified = |claims: Value| {
            let token = encode(&Header::default(), &claims, &secret).expect("a token");
            // Twice: what was checked before is remembered.
            let first = verify(&keys, &token).map(|said| said.role);
            assert_eq!(verify(&keys, &token).map(|said| said.role), first);
            first
        };
        let now = chrono::Utc::now().timestamp();
        assert_eq!(verified(json!({"role": "anon"})), Ok(Role::Anon));
        assert_eq!(verified(json!({"role": "anon", "nbf": now - 9, "exp": now + 99})), Ok(Role::Anon));
        for (claims, message) in [
            (json!({"role": "anon", "exp": now - 1}), "JWT expired"),
            (json!({"role": "anon", "nbf": now + 99, "exp": now + 999}), "JWT not yet valid"),
        ] {
            assert_eq!(verified(claims), Err(BadToken { message: message.into(), kind: Bad::Time }));
        }
    }
}
