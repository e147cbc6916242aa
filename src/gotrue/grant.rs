//! `POST token?grant_type=`: a session for a password, a refresh token or a PKCE code.

use actors::user::one_time_token::{Proof, RedeemOneTimeToken, Redemption};
use actors::user::refresh_session::{RefreshSession, Refreshed};
use actors::user::start_session::RenewedPassword;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use models::value_words::shown_text;
use models::{Row, Value, schema};
use serde_json::Value as Document;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::gotrue::account::{
    column, find, hashed, not_banned, service, session_json, start_session, start_session_keeping,
};
use crate::gotrue::body::{Body, Client, Parameters};
use crate::gotrue::error::AuthError;
use crate::gotrue::password;

pub(crate) async fn token(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    match query.get("grant_type").unwrap_or_default().trim() {
        "password" => by_password(&app, from, &headers, &body).await,
        "refresh_token" => by_refresh_token(&app, &headers, &body).await,
        "pkce" => by_code(&app, &headers, &body).await,
        other => {
            let given = match other {
                "" => "grant_type is missing".to_string(),
                other => format!("grant_type {} is unknown", shown_text(other)),
            };
            let accepted = "grant_type is one of password, refresh_token, pkce, in the query string";
            Err(AuthError::new(
                400,
                "invalid_credentials",
                format!("unsupported_grant_type: {given}; {accepted}"),
            ))
        }
    }
    .map(Json)
}

async fn by_password(
    app: &App,
    Client(from): Client,
    headers: &HeaderMap,
    body: &Body,
) -> Result<Document, AuthError> {
    let (email, phone) = (body.email()?, body.phone()?);
    let user = match (&email, &phone) {
        (Some(email), None) => find(app, "email", Value::text(email))?,
        (None, Some(phone)) => find(app, "phone", Value::text(phone))?,
        _ => return Err(AuthError::invalid("missing email or phone")),
    };
    let given = body.needed("password")?;
    let stored = user.as_ref().and_then(|user| column(user, "encrypted_password").as_str());
    let account = email.as_deref().or(phone.as_deref()).unwrap_or_default();
    app.pace.may_try(&app.config, account, from)?;
    let place = password::Place::from(&app.budgets.passwords, account, from).await?;
    let has_imported = password::has_imported(app.services.actors.store(), &place).await?;
    if !password::fits_alike(given, stored, has_imported, &place).await? {
        app.pace.failed(&app.config, account, from);
        return Err(AuthError::credentials());
    }
    app.pace.fitted(account, from);
    let imported = stored.filter(|stored| password::is_imported(stored)).map(str::to_string);
    let user = user.ok_or_else(AuthError::credentials)?;
    not_banned(&user)?;
    if email.is_some() && column(&user, "email_confirmed_at").is_null() {
        return Err(AuthError::new(400, "email_not_confirmed", "Email not confirmed"));
    }
    if phone.is_some() && column(&user, "phone_confirmed_at").is_null() {
        return Err(AuthError::new(400, "phone_not_confirmed", "Phone not confirmed"));
    }
    let renewed = match imported {
        // It fits all the same: where it cannot be hashed now, the next sign-in does it.
        Some(kept_as) => renewed(kept_as, password::hash(given, &place).await),
        None => None,
    };
    start_session_keeping(app, headers, &user, "password", renewed).await
}

/// A password of an import in the way in which passwords are kept here, if it could be hashed.
fn renewed(kept_as: String, hashed: Result<String, AuthError>) -> Option<RenewedPassword> {
    match hashed {
        Ok(password_hash) => Some(RenewedPassword { kept_as, password_hash }),
        Err(error) => {
            tracing::warn!(error = error.message, "an imported password fits and could not be hashed anew");
            None
        }
    }
}

/// How many refreshes ahead a token may be found that races others.
const SUCCESSORS: usize = 16;

async fn by_refresh_token(app: &App, headers: &HeaderMap, body: &Body) -> Result<Document, AuthError> {
    let given = body.needed("refresh_token")?;
    let successors = app.keys.refresh_tokens_after(given, SUCCESSORS);
    let successor_hashes = successors.iter().map(|token| hashed(token)).collect();
    let reuse_s = app.config.refresh_token_reuse_s;
    let decision = RefreshSession { token_hash: hashed(given), successor_hashes, reuse_s };
    match app.services.actors.ask(&service(headers, app), decision).await? {
        Refreshed::Renewed { successor, user, session_id, method } => {
            let token = successors.get(successor).ok_or_else(|| AuthError::internal("no such successor"))?;
            session_json(app, &user, session_id, &method, token)
        }
        Refreshed::Unknown => Err(AuthError::new(
            400,
            "refresh_token_not_found",
            "Invalid Refresh Token: Refresh Token Not Found",
        )),
        Refreshed::AlreadyUsed => {
            Err(AuthError::new(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used"))
        }
        Refreshed::Banned => Err(AuthError::new(400, "user_banned", "Invalid Refresh Token: User Banned")),
    }
}

async fn by_code(app: &App, headers: &HeaderMap, body: &Body) -> Result<Document, AuthError> {
    body.require(&["auth_code", "code_verifier"])?;
    let (code, verifier) = (body.needed("auth_code")?, body.needed("code_verifier")?);
    let missing =
        || AuthError::new(404, "flow_state_not_found", "invalid flow state, no valid flow state found");
    // A wrong verifier leaves the code to the client that has the right one.
    let challenge = challenge_of(app, code)?.ok_or_else(missing)?;
    if challenge.is_over {
        let message = "invalid flow state, flow state has expired";
        return Err(AuthError::new(403, "flow_state_expired", message));
    }
    if !challenge.fits(verifier) {
        let message = "code challenge does not match previously saved code verifier";
        return Err(AuthError::new(400, "bad_code_verifier", message));
    }
    let decision =
        RedeemOneTimeToken { proof: Proof::Link(hashed(code)), kinds: vec!["pkce".into()], asks_both: false };
    let redeemed = match app.services.actors.ask(&service(headers, app), decision).await? {
        Redemption::Done(redeemed) => *redeemed,
        Redemption::Banned => return Err(AuthError::new(400, "user_banned", "User is banned")),
        Redemption::Unknown | Redemption::HalfDone { .. } => return Err(missing()),
    };
    let mut session = start_session(app, headers, &redeemed.user, "otp").await?;
    for (name, token) in redeemed.provider_tokens.as_ref().and_then(Document::as_object).into_iter().flatten()
    {
        session[name] = token.clone();
    }
    Ok(session)
}

/// What the verifier of a code must fit.
struct Challenge {
    challenge: String,
    method: String,
    /// Whether its code is too old.
    is_over: bool,
}

impl Challenge {
    fn fits(&self, verifier: &str) -> bool {
        match self.method.eq_ignore_ascii_case("s256") {
            true => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == self.challenge,
            false => verifier == self.challenge,
        }
    }
}

/// The challenge of a code that has not been redeemed.
fn challenge_of(app: &App, code: &str) -> Result<Option<Challenge>, AuthError> {
    let tokens = schema().known("auth.one_time_tokens");
    let reads = app.services.actors.store().reads();
    let found = reads.referring(tokens, tokens.at("token_hash"), &Value::Text(hashed(code)))?;
    let text = |row: &Row, name: &str| row[tokens.at(name)].as_str().map(str::to_string);
    let row = found.into_iter().find(|row| text(row, "kind").as_deref() == Some("pkce"));
    let now = chrono::Utc::now().timestamp_micros();
    Ok(row.map(|row| Challenge {
        is_over: row[tokens.at("expires_at")].as_micros().is_none_or(|ends| ends <= now),
        challenge: text(&row, "code_challenge").unwrap_or_default(),
        method: text(&row, "code_challenge_method").unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_cannot_be_hashed_anew_stays_as_it_is() {
        let hashed = renewed("$2a$10$x".into(), Ok("$argon2id$y".into())).expect("a renewed password");
        assert_eq!((hashed.kept_as.as_str(), hashed.password_hash.as_str()), ("$2a$10$x", "$argon2id$y"));
        assert!(renewed("$2a$10$x".into(), Err(AuthError::too_many())).is_none());
    }
}
