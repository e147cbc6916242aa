//! Who sends a request: an API token that is for pictures, as the password of Basic or as a Bearer's.

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use store::shares::{Held, Owner};

use super::error::SdError;
use crate::app::App;
use crate::programs::{Program, Unadmitted, admit, token_of};
use crate::receive::receive;
use crate::storage::drain;

/// Largest body, in bytes: pictures come as text in it.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The account behind a request.
pub(super) fn authenticate(app: &App, headers: &HeaderMap) -> Result<Program, SdError> {
    let refused = |message: &str| SdError::new(401, "Unauthorized", message);
    let token = token_of(headers);
    admit(app, headers, token.as_deref(), "images").map_err(|unadmitted| match unadmitted {
        Unadmitted::Missing => {
            refused("Not authenticated: send an API token as the password of Basic, with any user name")
        }
        Unadmitted::Unknown(said) => refused(said.as_deref().unwrap_or("Incorrect username or password")),
        Unadmitted::Banned(said) => {
            let message = said.unwrap_or_else(|| "The account of this token is banned".into());
            SdError::new(403, "Forbidden", message)
        }
        Unadmitted::OutOfScope(scope) => {
            SdError::new(403, "Forbidden", format!("This token is not for {scope}: make one with that scope"))
        }
        Unadmitted::NoAccount => refused("This key stands for no account: use a token of create-api-token"),
        Unadmitted::Unavailable(message) => SdError::new(503, "Unavailable", message),
        Unadmitted::Store(error) => error.into(),
    })
}

/// The same with the body of the request, which is kept only if its sender may send it. The turn to take it apart is held
/// until that is done.
pub(super) async fn authenticate_with_body(
    app: &App,
    parts: &Parts,
    body: Body,
) -> Result<(Program, Bytes, Held), SdError> {
    match authenticate(app, &parts.headers) {
        Ok(program) => {
            let bytes = receive(body, BODY_BYTES_MAX.max(app.config.body_bytes_max)).await?;
            let owner = parts.extensions.get::<Owner>().copied().unwrap_or(Owner::Account(program.user));
            let turn = app.budgets.begin_parse(owner, bytes.len()).await?;
            Ok((program, bytes, turn))
        }
        Err(error) => {
            drain(&mut body.into_data_stream()).await;
            Err(error)
        }
    }
}
