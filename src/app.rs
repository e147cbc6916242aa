//! What every handler can reach.

use std::sync::Arc;

use services::Services;

use crate::budgets::Budgets;
use crate::config::Config;
use crate::keys::Keys;
use crate::pace::Pace;
use crate::realtime::Sockets;
use crate::welcome::Welcome;

/// Shared by all handlers.
#[derive(Debug)]
pub struct Shared {
    /// What can be asked for.
    pub services: Services,
    /// What signs tokens.
    pub keys: Arc<Keys>,
    /// How we were started.
    pub config: Config,
    /// What requests share.
    pub budgets: Budgets,
    /// How often passwords were tried and mails sent.
    pub pace: Pace,
    /// Sockets that are open.
    pub sockets: Sockets,
    /// How the first administrator comes in.
    pub welcome: Welcome,
}

/// The state of the router.
pub type App = Arc<Shared>;
