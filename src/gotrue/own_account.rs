//! `DELETE user`: an account deletes itself, with everything that is its own. Not part of supabase/auth, where only the
//! service may delete accounts.

use actors::user::one_time_token::{Proof, RedeemOneTimeToken, Redemption};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use models::{Claims, Row, Value, schema};
use serde_json::{Value as Document, json};
use store::shares::Owner;

use crate::app::App;
use crate::gotrue::account::{column, current, id, service};
use crate::gotrue::admin;
use crate::gotrue::body::{Body, Client};
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox::code_hash;
use crate::gotrue::password::{self, Place};

/// Deletes the account that is signed in. One with a password names it; another one has just signed in or names the code
/// that `reauthenticate` sent, so that a session that was left open deletes nothing.
pub(crate) async fn delete(
    State(app): State<App>,
    Client(from): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let (claims, user) = current(&headers, &app)?;
    if let Some(stored) = column(&user, "encrypted_password").as_str() {
        let (given, account) = (body.needed("password")?, id(&user).to_string());
        app.pace.may_try(&app.config, &account, from)?;
        let place = Place::of(&app.budgets.passwords, Owner::Account(id(&user))).await?;
        if !password::fits(given, Some(stored), &place).await? {
            app.pace.failed(&app.config, &account, from);
            return Err(AuthError::new(403, "invalid_credentials", "The password is wrong"));
        }
        app.pace.fitted(&account, from);
    } else {
        proved_again(&app, &headers, &claims, &user, body.text("nonce")?).await?;
    }
    admin::remove(&app, claims, &user).await?;
    Ok(Json(json!({})))
}

/// Refuses an account without a password that has proved nothing for a while. One without an address too has its session
/// alone.
async fn proved_again(
    app: &App,
    headers: &HeaderMap,
    claims: &Claims,
    user: &Row,
    nonce: Option<&str>,
) -> Result<(), AuthError> {
    let Some(address) = column(user, "email").as_str() else { return Ok(()) };
    if let Some(nonce) = nonce.filter(|nonce| !nonce.is_empty()) {
        let proof = Proof::Code(address.to_string(), code_hash(address, nonce));
        let decision = RedeemOneTimeToken { proof, kinds: vec!["reauthentication".into()], asks_both: false };
        return match app.services.actors.ask(&service(headers, app), decision).await? {
            Redemption::Done(redeemed) if id(&redeemed.user) == id(user) => Ok(()),
            _ => Err(AuthError::new(422, "reauthentication_not_valid", "Nonce has expired or is invalid")),
        };
    }
    let sessions = schema().known("auth.sessions");
    let session = claims.session_id.map(Value::Uuid);
    let session = match &session {
        Some(key) => app.services.actors.store().reads().get(sessions, std::slice::from_ref(key))?,
        None => None,
    };
    let began = session.and_then(|session| session[sessions.at("created_at")].as_micros());
    let now = chrono::Utc::now().timestamp_micros();
    let fresh = i64::try_from(app.config.fresh_session_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    if began.is_some_and(|began| now.saturating_sub(began) < fresh) {
        return Ok(());
    }
    let message =
        "This account has no password: sign in again, or send as nonce the code of GET reauthenticate";
    Err(AuthError::new(400, "reauthentication_needed", message))
}
