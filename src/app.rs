//! What every handler can reach.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use services::Services;
use services::files::thumbnails::Thumbnails;

use crate::budgets::Budgets;
use crate::config::Config;
use crate::data_imports::DataImports;
use crate::devices::Devices;
use crate::gotrue::oidc::provider::Providers;
use crate::keys::Keys;
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::rates::Rates;
use crate::realtime::Sockets;
use crate::scheduled_backups::Backups;
use crate::store_checks::StoreChecks;
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
    /// What models of this machine run on.
    pub devices: Devices,
    /// What requests share.
    pub budgets: Budgets,
    /// How often passwords were tried and mails sent.
    pub pace: Pace,
    /// Providers of accounts.
    pub(crate) providers: Providers,
    /// What sends mail, where there is a mail server.
    pub(crate) mailer: Option<Arc<Mailer>>,
    /// How many requests may still come.
    pub rates: Rates,
    /// Backups that are written by themselves.
    pub backups: Option<Arc<Backups>>,
    /// Thumbnails on disk.
    pub thumbnails: Arc<Thumbnails>,
    /// What is counted as it happens.
    pub metrics: Arc<Metrics>,
    /// Data of other programs that comes in for accounts.
    pub(crate) data_imports: DataImports,
    /// Looking the store over.
    pub(crate) store_checks: StoreChecks,
    /// Sockets that are open.
    pub sockets: Sockets,
    /// How the first administrator comes in.
    pub welcome: Welcome,
    /// Set once nothing is answered any more: work that goes on looks at it and ends.
    pub stopped: AtomicBool,
}

/// The state of the router.
pub type App = Arc<Shared>;
