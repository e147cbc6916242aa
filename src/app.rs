//! What every handler can reach.

use std::sync::Arc;

use services::Services;

use crate::answers::Answers;
use crate::bodies::Bodies;
use crate::config::Config;
use crate::keys::Keys;

/// Shared by all handlers.
#[derive(Debug)]
pub struct Shared {
    /// What can be asked for.
    pub services: Services,
    /// What signs tokens.
    pub keys: Arc<Keys>,
    /// How we were started.
    pub config: Config,
    /// Memory for the bodies of requests.
    pub bodies: Bodies,
    /// Memory for answers.
    pub answers: Answers,
}

/// The state of the router.
pub type App = Arc<Shared>;
