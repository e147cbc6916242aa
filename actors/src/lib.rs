//! Who decides: one supervised actor kind per aggregate, each on a thread of its own.
//!
//! ```text
//! Actors ── Keeper(user) ── AggregateActor        a folder is an aggregate, a file in it a message
//!        ├─ Keeper(character) …
//!        ├─ Keeper(job_scheduler), Keeper(catalog), Keeper(telemetry), Keeper(file) …
//!        └─ Events                                 durable commits, fanned out
//! ```
//!
//! Every write is a typed message ([`Decision`]) to the owner of the table; it is decided synchronously inside one
//! store transaction and answered after the flush. Reads do not pass through here.

mod adjust;
pub mod aggregate;
pub mod audit;
pub mod catalog;
pub mod character;
pub mod content_rules;
mod content_words;
pub mod conversation;
pub mod delete_in_use;
pub mod events;
pub mod file;
pub mod job_scheduler;
pub mod keeper;
pub mod language;
pub mod media;
pub mod migrations;
pub mod moderation;
pub mod own_references;
mod refusal;
pub mod render;
pub mod rows;
pub mod rpc;
pub mod script;
pub mod story;
pub mod storyboard;
pub mod telemetry;
mod triggers;
pub mod user;
pub mod write_rows;
pub mod write_together;

use std::sync::Arc;

use models::{Aggregate, Claims};
use store::Store;
use tracing::Instrument;

use job_scheduler::JobTally;
use user::standing::Accounts;

pub use aggregate::{Decision, Mailbox, Tried};
pub use keeper::Health;
pub use refusal::Refusal;

/// Every address. Clones share them.
#[derive(Clone)]
pub struct Actors {
    store: Store,
    keepers: Arc<Vec<keeper::Keeper>>,
    events: events::Events,
    accounts: Arc<Accounts>,
    jobs: Arc<JobTally>,
}

impl std::fmt::Debug for Actors {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Actors").field("health", &self.health()).finish_non_exhaustive()
    }
}

impl Actors {
    /// Starts one actor per aggregate over `store`. Call inside a running `actix::System`.
    pub fn start(store: Store, mailbox: Mailbox) -> Actors {
        store.set_triggers(Arc::new(triggers::RowTriggers));
        // First: whom a commit is shown to may ask how its account stands now.
        let accounts = Accounts::follow(&store);
        let jobs = JobTally::follow(&store);
        let events = events::Events::follow(&store);
        let keepers = Aggregate::ALL
            .iter()
            .map(|aggregate| keeper::Keeper::start(*aggregate, store.clone(), mailbox))
            .collect();
        Actors { store, keepers: Arc::new(keepers), events, accounts, jobs }
    }

    /// The store, for reads.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Durable commits as they happen.
    pub fn events(&self) -> &events::Events {
        &self.events
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> &JobTally {
        &self.jobs
    }

    /// Whether accounts still stand.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Sends a decision to the owner of its tables and returns its answer once it is durable.
    pub async fn ask<D: Decision>(&self, claims: &Claims, decision: D) -> Result<D::Answer, Refusal> {
        let owner = decision.owner();
        let keeper = &self.keepers[owner as usize];
        // Known to traces alone: nothing is logged of an ordinary decision.
        let span = tracing::debug_span!("decide", actor = owner.name(), message = std::any::type_name::<D>());
        let decided = async {
            let (answer, durable) = keeper.ask(claims, decision).await?;
            durable.wait().instrument(tracing::debug_span!("flush")).await?;
            Ok(answer)
        };
        decided.instrument(span).await
    }

    /// How each actor fares.
    pub fn health(&self) -> Vec<Health> {
        self.keepers.iter().map(keeper::Keeper::health).collect()
    }
}
