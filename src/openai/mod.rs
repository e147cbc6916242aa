//! The dialect of OpenAI: models, pictures and chat under `/v1`.

mod authenticate;
mod chat_completions;
mod chat_engine;
mod chat_reply;
mod chat_request;
mod completions;
mod embeddings;
pub(crate) mod engine_reply;
mod error;
mod image_edits;
mod image_job;
mod image_request;
mod images;
mod models;
mod sent_picture;
mod token_limits;
mod tool_calls;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::app::App;
use error::OpenAiError;

/// Every route, relative to `/v1`.
pub fn routes() -> Router<App> {
    let edits = post(image_edits::create).layer(DefaultBodyLimit::max(image_edits::BODY_BYTES_MAX));
    Router::new()
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::read))
        .route("/chat/completions", post(chat_completions::create))
        .route("/completions", post(completions::create))
        .route("/embeddings", post(embeddings::create))
        .route("/images/generations", post(images::create))
        .route("/images/edits", edits)
        .method_not_allowed_fallback(async || {
            OpenAiError::new(405, "method_not_allowed", "Method not allowed")
        })
        .fallback(async || OpenAiError::new(404, "unknown_url", "Unknown request URL"))
}
