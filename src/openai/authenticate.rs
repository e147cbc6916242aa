//! Who sends a request: a token of an account's program, or an account's own access token. Keys alone are no account.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use store::shares::{Held, Owner};

use super::error::OpenAiError;
use crate::app::App;
use crate::caller::bearer;
use crate::programs::{Unadmitted, admit};
use crate::receive::receive;
use crate::storage::drain;

pub(super) use crate::programs::Program as Requester;

/// The account behind a request, if its token is for this.
pub(super) fn authenticate(app: &App, headers: &HeaderMap, scope: &str) -> Result<Requester, OpenAiError> {
    let refused = |message: &str| OpenAiError::new(401, "invalid_api_key", message);
    let token = bearer(headers).map_err(|error| refused(&error.message))?;
    admit(app, headers, token, scope).map_err(|unadmitted| match unadmitted {
        Unadmitted::Missing => refused("No API key provided: send it as a Bearer token."),
        Unadmitted::Unknown(said) => refused(said.as_deref().unwrap_or("Incorrect API key provided.")),
        Unadmitted::Banned(said) => {
            let message = said.unwrap_or_else(|| "The account of this key is banned.".into());
            OpenAiError::new(403, "account_banned", message)
        }
        Unadmitted::OutOfScope(scope) => {
            let message = format!("This key is not for {scope}: make one with that scope.");
            OpenAiError::new(403, "insufficient_scope", message)
        }
        Unadmitted::NoAccount => {
            refused("This key stands for no account: use a token of create-api-token or an access token.")
        }
        Unadmitted::Unavailable(message) => OpenAiError::new(503, "server_error", message),
        Unadmitted::Store(error) => error.into(),
    })
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
