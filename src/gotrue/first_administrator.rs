//! `POST first-administrator`: an account that is an administrator, for the one who has the address from the log.

use actors::character::import_character::ImportCharacter;
use actors::character::starter_characters::starter_characters;
use actors::user::create_account::CreateAccount;
use actors::user::create_first_administrator::CreateFirstAdministrator;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use models::Claims;
use serde_json::Value as Document;
use uuid::Uuid;

use crate::app::App;
use crate::gotrue::account::start_session;
use crate::gotrue::body::{Body, Client};
use crate::gotrue::error::AuthError;
use crate::gotrue::password;
use crate::gotrue::signup::app_metadata;

/// Makes the account and signs it in, once.
pub(crate) async fn make(
    State(app): State<App>,
    Client(from): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Document>, AuthError> {
    let token = body.needed("token")?;
    let email = body.email()?.ok_or_else(|| AuthError::invalid("email is required"))?;
    let given = body.needed("password")?.to_string();
    let user_metadata = Document::Object(body.object("data")?.unwrap_or_default());
    if !app.welcome.fits(token) {
        let message =
            "This link is used up or from an earlier start; the log of the server has the current one";
        return Err(AuthError::new(403, "otp_expired", message));
    }
    password::acceptable(&given, &app.config)?;
    let place = password::Place::from(&app.budgets.passwords, &email, from).await?;
    let user_id = Uuid::new_v4();
    let account = CreateAccount {
        user_id,
        app_metadata: app_metadata(true, false),
        email: Some(email),
        phone: None,
        password_hash: Some(password::hash(&given, &place).await?),
        user_metadata,
        email_confirmed: true,
        phone_confirmed: false,
        invited: false,
    };
    let characters = if app.config.starter_characters { starters(&app, user_id).await } else { Vec::new() };
    let decision = CreateFirstAdministrator { account, characters };
    let made = app.services.actors.ask(&Claims::service(), decision).await?;
    app.welcome.close();
    let Some(user) = made else {
        return Err(AuthError::new(409, "conflict", "There is an administrator already: sign in"));
    };
    tracing::info!("the first administrator was made; the address from the log is used up");
    start_session(&app, &headers, &user, "password").await.map(Json)
}

/// The characters that the account finds there; without them it is made all the same.
async fn starters(app: &App, user: Uuid) -> Vec<ImportCharacter> {
    let store = app.services.actors.store().clone();
    let read = tokio::task::spawn_blocking(move || starter_characters(&store, user));
    let read = read.await.map_err(|error| error.to_string());
    match read.and_then(|read| read.map_err(|error| error.to_string())) {
        Ok(characters) => characters,
        Err(error) => {
            tracing::error!(error, "the first characters cannot be made");
            Vec::new()
        }
    }
}
