//! What every handler can reach, and every route on one screen.

use std::sync::Arc;

use actors::Actors;

use crate::config::Config;
use crate::keys::Keys;

/// Shared by all handlers.
#[derive(Debug)]
pub struct Shared {
    /// Who decides.
    pub actors: Actors,
    /// What signs tokens.
    pub keys: Keys,
    /// How we were started.
    pub config: Config,
}

/// The state of the router.
pub type App = Arc<Shared>;
