//! The account behind a request of a program: by a token that was made for programs, or by an access token of its own.
//! Keys alone are no account. Each dialect words the refusals.

use actors::user::api_tokens::{PREFIX, TokenRefusal, hash, look_up};
use actors::user::standing::Standing;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::{Claims, Value, schema};
use services::context::Context;
use store::StoreError;
use uuid::Uuid;

use crate::app::App;
use crate::caller::{Bad, claims_of, request_id};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The account behind a request.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Its rights.
    pub claims: Claims,
    /// Its id.
    pub user: Uuid,
}

/// Why a token opens nothing.
#[derive(Debug)]
pub(crate) enum Unadmitted {
    /// None came along.
    Missing,
    /// It is not known, or no longer; words, where there is more to say.
    Unknown(Option<String>),
    /// Its account is banned; words, where there is more to say.
    Banned(Option<String>),
    /// It is for something else.
    OutOfScope(String),
    /// It is a key, which stands for no account.
    NoAccount,
    /// Accounts cannot be looked up for now.
    Unavailable(String),
    /// The store declined.
    Store(StoreError),
}

impl Program {
    /// Who asks, and what they may reach.
    pub fn context(&self, app: &App) -> Context {
        Context::new(app.services.clone(), self.claims.clone())
    }
}

/// The account behind a token, if the token is for this.
pub(crate) fn admit(
    app: &App,
    headers: &HeaderMap,
    token: Option<&str>,
    scope: &str,
) -> Result<Program, Unadmitted> {
    let token = token.ok_or(Unadmitted::Missing)?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Unadmitted::Unknown(None));
    }
    let mut claims = match token.starts_with(PREFIX) {
        true => by_api_token(app, token, scope)?,
        false => claims_of(token, app).map_err(|bad| match bad.kind {
            Bad::Ended(Standing::Banned) => Unadmitted::Banned(Some(bad.message)),
            Bad::Unknown => Unadmitted::Unavailable(bad.message),
            _ => Unadmitted::Unknown(Some(bad.message)),
        })?,
    };
    claims.request_id = Some(request_id(headers));
    let user = claims.user_id.ok_or(Unadmitted::NoAccount)?;
    Ok(Program { claims, user })
}

/// The token of a request: a Bearer's, or the password of Basic, which is all that some programs can send.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, given) = value.split_once(' ')?;
    let given = given.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(given.to_string()).filter(|token| !token.is_empty());
    }
    if !scheme.eq_ignore_ascii_case("basic") || given.len() > 2 * TOKEN_BYTES_MAX {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(given).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    Some(password.trim().to_string()).filter(|token| !token.is_empty())
}

/// The account behind an API token, whatever it is for; of other tokens [`crate::caller`] knows.
pub(crate) fn account_of(app: &App, headers: &HeaderMap) -> Option<Uuid> {
    let token = token_of(headers)?;
    if !token.starts_with(PREFIX) || token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let tokens = schema().known("auth.api_tokens");
    let reads = app.services.actors.store().reads();
    let found = reads.referring(tokens, tokens.at("token_hash"), &Value::Text(hash(&token))).ok()?;
    let row = found.into_iter().next().filter(|row| row[tokens.at("revoked_at")].is_null())?;
    row[tokens.at("user_id")].as_uuid()
}

fn by_api_token(app: &App, token: &str, scope: &str) -> Result<Claims, Unadmitted> {
    let actors = app.services.actors.clone();
    let known = look_up(actors.store(), token, scope).map_err(|refusal| match refusal {
        TokenRefusal::Unknown => Unadmitted::Unknown(None),
        TokenRefusal::Banned => Unadmitted::Banned(None),
        TokenRefusal::OutOfScope { scope } => Unadmitted::OutOfScope(scope),
        TokenRefusal::Store(error) => Unadmitted::Store(error),
    })?;
    if let Some(note) = known.use_to_note {
        // The request does not wait for the note.
        let claims = known.claims.clone();
        tokio::spawn(async move {
            if let Err(error) = actors.ask(&claims, note).await {
                tracing::warn!(%error, "the use of a token could not be noted");
            }
        });
    }
    Ok(known.claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_a_bearers_or_as_a_password() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (given, token) in [
            ("Bearer ph_x".to_string(), Some("ph_x")),
            (basic("ada:ph_x"), Some("ph_x")),
            (basic(":ph_x"), Some("ph_x")),
            (basic("ada:ph:x"), Some("ph:x")),
            (basic("ada:"), None),
            (basic("ada"), None),
            ("Basic %%%".into(), None),
            ("Digest ph_x".into(), None),
            ("Bearer ".into(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, given.parse().expect("a header"));
            assert_eq!(token_of(&headers).as_deref(), token, "{given}");
        }
    }
}
