//! Durable commits, fanned out to subscribers: realtime, progress streams, tests.
//!
//! ```text
//! flush thread ─▶ Events ─▶ broadcast of whole commits          progress streams
//!                    └────▶ changes: interests, policies ─▶ Listener   one per channel
//!                           topics: broadcast, presence  ─▶ Listener
//! ```

pub mod changes;
mod index;
mod listener;
pub mod presence;
pub mod row_change;
pub mod topics;

use std::sync::Arc;

use store::{Commit, Store};
use tokio::sync::broadcast;

use changes::Changes;
pub use listener::{Ending, Listener, ListenerId, Said};
use topics::Topics;

/// Commits a slow listener may lag behind before it learns that it missed some.
const LAG_MAX: usize = 4096;

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
