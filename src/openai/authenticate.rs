//! Who sends a request: a token of an account's program, or an account's own access token. Keys alone are no account.

use actors::user::api_tokens::NoteTokenUse;
use axum::http::HeaderMap;
use models::{Claims, Row, Value, schema};
use uuid::Uuid;

use super::error::OpenAiError;
use crate::app::App;
use crate::caller::{bearer, claims_of, request_id};
use crate::functions::operators::api_tokens::{PREFIX, hash};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The account behind a request.
#[derive(Clone, Debug)]
pub(super) struct Requester {
    pub claims: Claims,
    pub user: Uuid,
}

/// The account behind a request, if its token is for this.
pub(super) fn authenticate(app: &App, headers: &HeaderMap, scope: &str) -> Result<Requester, OpenAiError> {
    let refused = |message: &str| OpenAiError::new(401, "invalid_api_key", message);
    let token = bearer(headers).map_err(|error| refused(&error.message))?;
    let token = token.ok_or_else(|| refused("No API key provided: send it as a Bearer token."))?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(refused("Incorrect API key provided."));
    }
    let mut claims = match token.starts_with(PREFIX) {
        true => by_api_token(app, token, scope)?,
        false => claims_of(token, &app.keys).map_err(|error| refused(&error.message))?,
    };
    claims.request_id = Some(request_id(headers));
    let user = claims.user_id.ok_or_else(|| {
        refused("This key stands for no account: use a token of create-api-token or an access token.")
    })?;
    Ok(Requester { claims, user })
}

fn by_api_token(app: &App, token: &str, scope: &str) -> Result<Claims, OpenAiError> {
    let refused = || OpenAiError::new(401, "invalid_api_key", "Incorrect API key provided.");
    let tokens = schema().known("auth.api_tokens");
    let reads = app.actors.store().reads();
    let found = reads.referring(tokens, tokens.at("token_hash"), &Value::Text(hash(token)))?;
    let row = found.into_iter().next().filter(|row| row[tokens.at("revoked_at")].is_null());
    let row: Row = row.ok_or_else(refused)?;
    let users = schema().known("auth.users");
    let account = reads.get(users, std::slice::from_ref(&row[tokens.at("user_id")]))?.ok_or_else(refused)?;
    let now = chrono::Utc::now().timestamp_micros();
    let banned = account[users.at("banned_until")].as_micros().is_some_and(|until| until > now);
    if banned || !account[users.at("deleted_at")].is_null() {
        return Err(OpenAiError::new(403, "account_banned", "The account of this key is banned."));
    }
    let has_scope = match &row[tokens.at("scopes")] {
        Value::TextArray(scopes) => scopes.iter().flatten().any(|known| known == scope),
        _ => false,
    };
    if !has_scope {
        let message = format!("This key is not for {scope}: make one with that scope.");
        return Err(OpenAiError::new(403, "insufficient_scope", message));
    }
    let (Some(id), Some(user)) = (row[tokens.at("id")].as_uuid(), row[tokens.at("user_id")].as_uuid()) else {
        return Err(refused());
    };
    let claims = Claims::user(user);
    if NoteTokenUse::is_due(&row) {
        // The request does not wait for the note.
        let (app, claims) = (app.clone(), claims.clone());
        tokio::spawn(async move {
            if let Err(error) = app.actors.ask(&claims, NoteTokenUse { id }).await {
                tracing::warn!(%error, "the use of a token could not be noted");
            }
        });
    }
    Ok(claims)
}
