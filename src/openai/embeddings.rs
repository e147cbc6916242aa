//! `POST embeddings`: there is no model for them yet, and that is what is answered.

use axum::extract::{Request, State};

use super::authenticate::authenticate_with_body;
use super::error::OpenAiError;
use crate::app::App;

/// `POST embeddings`
pub(super) async fn create(State(app): State<App>, request: Request) -> OpenAiError {
    let (parts, body) = request.into_parts();
    match authenticate_with_body(&app, &parts, "chat", body).await {
        Err(error) => error,
        Ok(_) => OpenAiError::new(
            501,
            "not_implemented",
            "No embeddings are made here: models of this machine make words and pictures only, and requests for embeddings \
             are not passed on to other servers. Ask a server that makes them.",
        ),
    }
}
