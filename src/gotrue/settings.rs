//! `GET settings`, `GET health`, `GET .well-known/jwks.json`: what every client may know of the server.

use axum::Json;
use axum::extract::State;
use serde_json::{Value as Document, json};

use crate::app::App;
use crate::sign_up;

/// Ways of signing in that clients ask about, whether or not they are configured.
const EXTERNAL: [&str; 8] =
    ["apple", "azure", "discord", "facebook", "github", "gitlab", "google", "twitter"];

pub(crate) async fn settings(State(app): State<App>) -> Json<Document> {
    let config = &app.config;
    let mut external = json!({
        "anonymous_users": config.anonymous_enabled, "email": true, "phone": config.autoconfirm,
    });
    for provider in EXTERNAL {
        external[provider] = Document::Bool(false);
    }
    for provider in config.oauth_providers.keys() {
        external[provider] = Document::Bool(true);
    }
    Json(json!({
        "external": external,
        "disable_signup": !sign_up::is_open(&app),
        "mailer_autoconfirm": config.autoconfirm,
        "phone_autoconfirm": config.autoconfirm,
        "sms_provider": "",
        "saml_enabled": false,
    }))
}

pub(crate) async fn health() -> Json<Document> {
    Json(json!({
        "version": concat!("v", env!("CARGO_PKG_VERSION")),
        "name": "GoTrue",
        "description": "GoTrue is a user registration and authentication API",
    }))
}

pub(crate) async fn jwks(State(app): State<App>) -> Json<Document> {
    Json(app.keys.jwks())
}
