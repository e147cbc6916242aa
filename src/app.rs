//! What every handler can reach.

use std::sync::Arc;

use actors::Actors;
use actors::conversation::chat::Chat;
use actors::render::Render;

use crate::bodies::Bodies;
use crate::config::Config;
use crate::keys::Keys;

/// Shared by all handlers.
#[derive(Debug)]
pub struct Shared {
    /// Who decides.
    pub actors: Actors,
    /// Who draws; absent when jobs wait for remote workers.
    pub render: Option<Render>,
    /// What signs tokens.
    pub keys: Keys,
    /// How we were started.
    pub config: Config,
    /// Replies that are being made.
    pub chat: Chat,
    /// Memory for the bodies of requests.
    pub bodies: Bodies,
}

/// The state of the router.
pub type App = Arc<Shared>;
