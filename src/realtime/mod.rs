//! The dialect of Supabase Realtime: sockets that hear of changed rows, broadcasts and who is there, `/realtime/v1`.
//!
//! ```text
//! connect ─▶ socket ─▶ session ─▶ join (what a channel asks for) ─▶ channel ◀─ actors::events
//!               ▲                                                      │
//!               └────────────────────── outbox ◀───────────────────────┘
//! ```

mod admission;
mod broadcast;
mod change_text;
mod channel;
mod connect;
mod frames;
mod join;
mod joining;
mod limits;
mod outbox;
mod pace;
mod session;
mod socket;
mod sockets;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde_json::json;

use crate::app::App;
pub use sockets::Sockets;

/// Every route, relative to `/realtime/v1`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/websocket", any(connect::connect))
        .route("/api/broadcast", post(broadcast::several))
        .route("/api/broadcast/{topic}/events/{event}", post(broadcast::one))
}

/// An answer that is not the one asked for.
fn refuse(status: StatusCode, message: impl Into<String>) -> Response {
    let body = json!({"code": status.as_u16().to_string(), "message": message.into()});
    (status, axum::Json(body)).into_response()
}
