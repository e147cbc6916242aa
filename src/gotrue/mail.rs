//! `recover`, `otp`, `magiclink`, `resend`, `reauthenticate`: would send a link; the outbox keeps it.
//!
//! The answer is the same whether the account exists or not.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use models::Value;
use serde_json::{Value as Document, json};

use crate::app::App;
use crate::gotrue::account::{column, current, find};
use crate::gotrue::body::Body;
use crate::gotrue::error::AuthError;
use crate::gotrue::outbox;

type Answer = Result<Json<Document>, AuthError>;
type Parameters = Query<HashMap<String, String>>;

pub(crate) async fn recover(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    send(&app, &headers, &query, &body, "recovery").await
}

pub(crate) async fn magiclink(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    send(&app, &headers, &query, &body, "magiclink").await
}

pub(crate) async fn resend(
    State(app): State<App>,
    query: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    match body.needed("type")? {
        "signup" => send(&app, &headers, &query, &body, "signup").await,
        _ => Err(AuthError::invalid("Missing one of these types: signup")),
    }
}

pub(crate) async fn reauthenticate(State(app): State<App>, headers: HeaderMap) -> Answer {
    let (_, user) = current(&headers, &app)?;
    if let Some(address) = column(&user, "email").as_str() {
        let link = outbox::make(&app, &headers, &user, "reauthentication", address, None, None).await?;
        outbox::keep(&app, &user, &link).await?;
    }
    Ok(Json(json!({})))
}

async fn send(
    app: &App,
    headers: &HeaderMap,
    query: &HashMap<String, String>,
    body: &Body,
    kind: &'static str,
) -> Answer {
    let address = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
    let method = body.text("code_challenge_method")?.unwrap_or("plain").to_string();
    let challenge = body.text("code_challenge")?.filter(|text| !text.is_empty());
    let challenge = challenge.map(|challenge| (challenge.to_string(), method));
    let user = find(app, "email", Value::text(&address))?;
    let user = user.filter(|user| kind != "signup" || column(user, "email_confirmed_at").is_null());
    if let Some(user) = user {
        let redirect_to = query.get("redirect_to").map(String::as_str);
        let link = outbox::make(app, headers, &user, kind, &address, redirect_to, challenge).await?;
        outbox::keep(app, &user, &link).await?;
    }
    Ok(Json(json!({})))
}
