//! `GET user`, `PUT user`: the account that is signed in.

use actors::user::change_account::ChangeAccount;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use models::{Claims, Value};
use serde_json::Value as Document;
use store::shares::Owner;

use crate::app::App;
use crate::gotrue::account::{column, current, find, id, user_json};
use crate::gotrue::body::{Body, Client, Parameters};
use crate::gotrue::error::AuthError;
use crate::gotrue::mail::confirm_change;
use crate::gotrue::password;

pub(crate) async fn read(State(app): State<App>, headers: HeaderMap) -> Result<Json<Document>, AuthError> {
    let (_, user) = current(&headers, &app)?;
    Ok(Json(user_json(&app, &user)?))
}

pub(crate) async fn change(
    State(app): State<App>,
    query: Parameters,
    Client(from): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let (claims, user) = current(&headers, &app)?;
    if body.get("app_metadata").is_some_and(|given| !given.is_null()) {
        let message = "Updating app_metadata requires admin privileges";
        return Err(AuthError::new(403, "not_admin", message));
    }
    let differs =
        |name: &str, given: Option<String>| given.filter(|text| column(&user, name).as_str() != Some(text));
    let mut change =
        ChangeAccount { user_id: id(&user), user_metadata: body.object("data")?, ..ChangeAccount::default() };
    let (email, phone) = (differs("email", body.email()?), differs("phone", body.phone()?));
    if let Some(given) = body.text("password")?.filter(|given| !given.is_empty()) {
        let is_anonymous = column(&user, "is_anonymous").as_bool().unwrap_or(false);
        if is_anonymous && email.is_none() && phone.is_none() {
            let message = "Updating password of an anonymous user without an email or phone is not allowed";
            return Err(AuthError::new(422, "validation_failed", message));
        }
        password::acceptable(given, &app.config)?;
        let place = password::Place::of(&app.budgets.passwords, Owner::Account(id(&user))).await?;
        let stored = column(&user, "encrypted_password").as_str();
        if stored.is_some() && password::fits(given, stored, &place).await? {
            let message = "New password should be different from the old password.";
            return Err(AuthError::new(422, "same_password", message));
        }
        change.password_hash = Some(password::hash(given, &place).await?);
        change.end_sessions_but = Some(claims.session_id);
    }
    if app.config.autoconfirm {
        change.confirm_email = email.is_some();
        change.confirm_phone = phone.is_some();
        (change.email, change.phone) = (email, phone);
    } else {
        if phone.is_some() {
            let message = "A number cannot be confirmed: there is no way to send messages to it";
            return Err(AuthError::new(400, "phone_provider_disabled", message));
        }
        if let Some(address) = &email
            && find(&app, "email", Value::text(address))?.is_some()
        {
            let message = "A user with this email address has already been registered";
            return Err(AuthError::new(422, "email_exists", message));
        }
        if email.is_some() {
            // Counted for the account that asks: the address may be another person's.
            app.pace.may_mail(&app.config, &id(&user).to_string(), from)?;
        }
        change.new_email = email;
    }
    let changes_address = change.new_email.is_some();
    let challenge = body.challenge()?;
    let service = Claims::elevated(&claims);
    let user = app.services.actors.ask(&service, change).await?;
    let mut user = user.ok_or_else(|| AuthError::new(404, "user_not_found", "User not found"))?;
    if changes_address {
        user = confirm_change(&app, &headers, user, query.get("redirect_to"), challenge).await?;
    }
    Ok(Json(user_json(&app, &user)?))
}
