//! Who asks, read from the headers of a request.

use axum::http::{HeaderMap, HeaderName, header};
use models::Claims;
use uuid::Uuid;

use crate::app::Shared;
use crate::keys::Keys;
use crate::token;

pub use crate::token::{Bad, BadToken};

const APIKEY: HeaderName = HeaderName::from_static("apikey");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request name, in characters.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// The Bearer's role; else that of the key in `apikey`; with neither, anonymous where that is allowed.
pub fn claims_from(headers: &HeaderMap, app: &Shared) -> Result<Claims, BadToken> {
    let token = match bearer(headers)? {
        Some(token) => Some(token),
        None => text(headers, APIKEY)?.filter(|key| !key.is_empty()),
    };
    let mut claims = match token {
        Some(token) => claims_of(token, app)?,
        None if app.config.keyless_anon => Claims::anonymous(),
        None => return Err(BadToken::new("No API key found in request")),
    };
    claims.request_id = Some(request_id(headers));
    Ok(claims)
}

/// Whom one token or key stands for, while the account and the session behind it stand.
pub fn claims_of(token: &str, app: &Shared) -> Result<Claims, BadToken> {
    let claims = signed_claims_of(token, &app.keys)?;
    let Some(user) = claims.user_id else { return Ok(claims) };
    match app.services.actors.accounts().standing(user, claims.session_id) {
        Ok(standing) => match standing.refusal() {
            None => Ok(claims),
            Some(reason) => Err(BadToken { message: reason.into(), kind: Bad::Ended(standing) }),
        },
        Err(error) => {
            tracing::error!(%error, "an account cannot be looked up");
            Err(BadToken { message: "the account cannot be looked up".into(), kind: Bad::Unknown })
        }
    }
}

/// Whom one token or key stands for by its signature alone.
fn signed_claims_of(token: &str, keys: &Keys) -> Result<Claims, BadToken> {
    if token.starts_with("sb_") {
        return if same(token, keys.publishable_key()) {
            Ok(Claims::anonymous())
        } else if same(token, keys.secret_key()) {
            Ok(Claims::service())
        } else {
            Err(BadToken::new("Invalid API key"))
        };
    }
    token::verify(keys, token)
}

/// The token of `Authorization: Bearer`; other schemes count as none.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, BadToken> {
    let Some(value) = text(headers, header::AUTHORIZATION)? else { return Ok(None) };
    let Some((scheme, token)) = value.trim().split_once(' ') else { return Ok(None) };
    let token = token.trim();
    Ok((scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, BadToken> {
    headers
        .get(&name)
        .map(|value| value.to_str().map_err(|_| BadToken::new(format!("{name} is not plain text"))))
        .transpose()
}

/// Hashes are compared, so that the time taken tells nothing about the key.
fn same(given: &str, ours: &str) -> bool {
    blake3::hash(given.as_bytes()) == blake3::hash(ours.as_bytes())
}

pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named: String = given.chars().take(REQUEST_ID_CHARS_MAX).collect();
    if named.is_empty() { Uuid::new_v4().to_string() } else { named }
}
