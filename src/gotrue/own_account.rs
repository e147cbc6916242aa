//! `DELETE user`: an account deletes itself, with everything that is its own. Not part of supabase/auth, where only the
//! service may delete accounts.

use actors::user::create_first_administrator::is_last_administrator;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value as Document, json};
use store::shares::Owner;

use crate::app::App;
use crate::gotrue::account::{column, current, id};
use crate::gotrue::admin;
use crate::gotrue::body::{Body, Client};
use crate::gotrue::error::AuthError;
use crate::gotrue::password::{self, Place};

/// Deletes the account that is signed in. One with a password names it, so that a session that was left open deletes nothing.
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
    }
    let is_last = is_last_administrator(app.services.actors.store().reads(), id(&user));
    if is_last.map_err(AuthError::internal)? {
        let message = "This is the last administrator: make another account one first";
        return Err(AuthError::new(409, "last_administrator", message));
    }
    admin::remove(&app, claims, &user).await?;
    Ok(Json(json!({})))
}
