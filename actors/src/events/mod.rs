//! Durable commits, fanned out to subscribers: realtime, progress streams, tests.
//!
//! ```text
//! flush thread ─▶ Events ─▶ broadcast of whole commits          progress streams
//!                    └────▶ changes: interests, policies ─▶ Listener   one per channel
//!                           topics: broadcast, presence  ─▶ Listener
//! ```

pub mod changes;
mod index;
pub mod presence;
pub mod row_change;
pub mod topics;

use std::sync::Arc;

use store::{Commit, Store};
use tokio::sync::broadcast;

use changes::Changes;
use presence::PresenceDiff;
use row_change::RowChange;
use topics::Topics;

/// Commits a slow listener may lag behind before it learns that it missed some.
const LAG_MAX: usize = 4096;

/// A channel that hears of what happens. Its methods return at once: who calls them has others to call.
pub trait Listener: Send + Sync {
    /// A row changed in which it has these of its interests.
    fn changed(&self, change: &RowChange, ids: &[u64]);

    /// A channel of its topic said something.
    fn said(&self, message: &topics::Said);

    /// Who is in its topic changed.
    fn presence_changed(&self, diff: &Arc<PresenceDiff>);

    /// Whether its account may still ask. Asked when a commit concerns the account.
    fn is_admitted(&self) -> bool;

    /// Nothing more comes.
    fn ended(&self, why: Ending);
}

/// Why a channel ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its account may no longer ask.
    NotAdmitted,
    /// Commits were left out because there were more than could be looked at.
    Missed,
    /// One of its filters cannot be tried on a row.
    Filter(String),
}

/// The number of a channel, as long as the server runs.
pub type ListenerId = u64;

/// The fan-out.
#[derive(Clone, Debug)]
pub struct Events {
    sender: broadcast::Sender<Arc<Commit>>,
    changes: Arc<Changes>,
    topics: Arc<Topics>,
}

impl Events {
    pub(crate) fn follow(store: &Store) -> Events {
        let (sender, _) = broadcast::channel(LAG_MAX);
        let changes = Changes::start(store.clone(), LAG_MAX);
        let (publish, feed) = (sender.clone(), changes.clone());
        store.on_commit(Box::new(move |commit| {
            feed.feed(commit.clone());
            // Having no subscriber is no failure.
            let _ = publish.send(commit);
        }));
        Events { sender, changes, topics: Arc::new(Topics::default()) }
    }

    /// Every commit from now on, each after its flush and in commit order.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.sender.subscribe()
    }

    /// Changes of rows, each for those who may see it.
    pub fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// What channels say to each other.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }
}
