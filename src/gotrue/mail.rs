//! `recover`, `otp`, `magiclink`, `resend`, `reauthenticate`: would send a link; the outbox keeps it.
//!
//! The answer is the same whether the account exists or not.

use actors::Refusal;
use actors::user::create_account::CreateAccount;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use models::Value;
use serde_json::{Value as Document, json};
use store::StoreError;
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::{column, current, find, service};
use crate::gotrue::body::{Body, Client, Parameters};
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox;
use crate::gotrue::signup::app_metadata;

type Answer = Result<Json<Document>, AuthError>;

/// Counts a mail to the address that is named, whether or not an account has it.
fn count(app: &App, body: &Body, Client(from): Client) -> Result<(), AuthError> {
    match body.email()? {
        Some(address) => Ok(app.pace.may_mail(&app.config, &address, from)?),
        None => Ok(()),
    }
}

pub(crate) async fn recover(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    count(&app, &body, from)?;
    send(&app, &headers, &query, &body, "recovery").await
}

pub(crate) async fn magiclink(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    count(&app, &body, from)?;
    send(&app, &headers, &query, &body, "magiclink").await
}

/// Signs in by a link alone; an unknown address gets an account first, unless the client does not want that.
pub(crate) async fn otp(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    if body.phone()?.is_some() {
        let message = "Unsupported phone provider: there is no way to send messages to a number";
        return Err(AuthError::new(400, "phone_provider_disabled", message));
    }
    let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
    count(&app, &body, from)?;
    let creates = body.flag_or("create_user", true)? && app.config.signup_enabled;
    if creates && find(&app, "email", Value::text(&address))?.is_none() {
        let decision = CreateAccount {
            user_id: Uuid::new_v4(),
            app_metadata: app_metadata(true, false),
            email: Some(address),
            phone: None,
            password_hash: None,
            user_metadata: Document::Object(body.object("data")?.unwrap_or_default()),
            email_confirmed: false,
            phone_confirmed: false,
            invited: false,
        };
        match app.services.actors.ask(&service(&headers, &app), decision).await {
            // Somebody else asked for the same address at the same moment.
            Ok(_) | Err(Refusal::Store(StoreError::Duplicate { .. })) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    send(&app, &headers, &query, &body, "magiclink").await
}

pub(crate) async fn resend(
    State(app): State<App>,
    query: Parameters,
    from: Client,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    count(&app, &body, from)?;
    match body.needed("type")? {
        "signup" => send(&app, &headers, &query, &body, "signup").await,
        "email_change" => change_again(&app, &headers, &query, &body).await,
        _ => Err(AuthError::invalid("Missing one of these types: signup, email_change")),
    }
}

pub(crate) async fn reauthenticate(
    State(app): State<App>,
    Client(from): Client,
    headers: HeaderMap,
) -> Answer {
    let (_, user) = current(&headers, &app)?;
    if let Some(address) = column(&user, "email").as_str() {
        app.pace.may_mail(&app.config, address, from)?;
        let link = outbox::make(&app, &headers, &user, "reauthentication", address, None, None).await?;
        outbox::keep(&app, &user, &link).await?;
    }
    Ok(Json(json!({})))
}

/// The link to an address that an account wants to have.
async fn change_again(app: &App, headers: &HeaderMap, query: &Parameters, body: &Body) -> Answer {
    let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
    // Known by the address that it has; the link goes to the one that it wants.
    if let Some(user) = find(app, "email", Value::text(&address))?
        && let Some(wanted) = column(&user, "new_email").as_str()
    {
        let (kind, redirect_to) = ("email_change", query.get("redirect_to"));
        let link = outbox::make(app, headers, &user, kind, wanted, redirect_to, body.challenge()?).await?;
        outbox::keep(app, &user, &link).await?;
    }
    Ok(Json(json!({})))
}

async fn send(app: &App, headers: &HeaderMap, query: &Parameters, body: &Body, kind: &'static str) -> Answer {
    let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
    let challenge = body.challenge()?;
    let user = find(app, "email", Value::text(&address))?;
    let user = user.filter(|user| kind != "signup" || column(user, "email_confirmed_at").is_null());
    if let Some(user) = user {
        let redirect_to = query.get("redirect_to");
        let link = outbox::make(app, headers, &user, kind, &address, redirect_to, challenge).await?;
        outbox::keep(app, &user, &link).await?;
    }
    Ok(Json(json!({})))
}
