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
mod refusal;
mod session;
mod socket;
mod sockets;

use axum::Router;
use axum::routing::{any, post};

use crate::app::App;
pub use sockets::Sockets;

/// Every route, relative to `/realtime/v1`.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/websocket", any(connect::connect))
        .route("/api/broadcast", post(broadcast::several))
        .route("/api/broadcast/{topic}/events/{event}", post(broadcast::one))
}
