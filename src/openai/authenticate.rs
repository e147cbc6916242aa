//! Who sends a request: a token of an account's program, or an account's own access token. Keys alone are no account.

use actors::user::api_tokens::{PREFIX, TokenRefusal, hash, look_up};
use actors::user::standing::Standing;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use models::{Claims, Value, schema};
use services::context::Context;
use store::shares::{Held, Owner};
use uuid::Uuid;

use super::error::OpenAiError;
use crate::app::App;
use crate::caller::{Bad, bearer, claims_of, request_id};
use crate::receive::receive;
use crate::storage::drain;

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
        false => claims_of(token, app).map_err(|bad| match bad.kind {
            Bad::Ended(Standing::Banned) => OpenAiError::new(403, "account_banned", bad.message),
            Bad::Unknown => OpenAiError::new(503, "server_error", bad.message),
            _ => refused(&bad.message),
        })?,
    };
    claims.request_id = Some(request_id(headers));
    let user = claims.user_id.ok_or_else(|| {
        refused("This key stands for no account: use a token of create-api-token or an access token.")
    })?;
    Ok(Requester { claims, user })
}

/// A body, and the turn to take it apart, to be held until that is done.
#[derive(Debug)]
pub(super) struct Received {
    pub bytes: Bytes,
    pub turn: Held,
}

/// The same with the body of the request, which is kept only if its sender may send it.
pub(super) async fn authenticate_with_body(
    app: &App,
    parts: &Parts,
    scope: &str,
    body: Body,
) -> Result<(Requester, Received), OpenAiError> {
    match authenticate(app, &parts.headers, scope) {
        Ok(requester) => {
            let bytes = receive(body, app.config.body_bytes_max).await?;
            let owner = parts.extensions.get::<Owner>().copied().unwrap_or(Owner::Account(requester.user));
            let turn = app.budgets.begin_parse(owner, bytes.len()).await?;
            Ok((requester, Received { bytes, turn }))
        }
        Err(error) => {
            drain(&mut body.into_data_stream()).await;
            Err(error)
        }
    }
}

/// The account behind an API token, whatever it is for; of other tokens [`crate::caller`] knows.
pub(crate) fn account_of(app: &App, headers: &HeaderMap) -> Option<Uuid> {
    let token = bearer(headers).ok()??;
    if !token.starts_with(PREFIX) || token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let tokens = schema().known("auth.api_tokens");
    let reads = app.services.actors.store().reads();
    let found = reads.referring(tokens, tokens.at("token_hash"), &Value::Text(hash(token))).ok()?;
    let row = found.into_iter().next().filter(|row| row[tokens.at("revoked_at")].is_null())?;
    row[tokens.at("user_id")].as_uuid()
}

impl Requester {
    /// Who asks, and what they may reach.
    pub fn context(&self, app: &App) -> Context {
        Context::new(app.services.clone(), self.claims.clone())
    }
}

fn by_api_token(app: &App, token: &str, scope: &str) -> Result<Claims, OpenAiError> {
    let actors = app.services.actors.clone();
    let known = look_up(actors.store(), token, scope).map_err(|refusal| match refusal {
        TokenRefusal::Unknown => OpenAiError::new(401, "invalid_api_key", "Incorrect API key provided."),
        TokenRefusal::Banned => OpenAiError::new(403, "account_banned", "The account of this key is banned."),
        TokenRefusal::OutOfScope { scope } => {
            let message = format!("This key is not for {scope}: make one with that scope.");
            OpenAiError::new(403, "insufficient_scope", message)
        }
        TokenRefusal::Store(error) => error.into(),
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
