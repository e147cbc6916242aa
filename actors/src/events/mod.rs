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
pub mod pace;
pub mod presence;
mod registry;
pub mod row_change;
pub mod topics;

use std::sync::Arc;

use store::{Commit, Store};
use tokio::sync::broadcast;

use changes::Changes;
pub use listener::{Ending, Listener, ListenerId, TopicMessage};
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
        let (changes, feed) = Changes::start(store.clone(), LAG_MAX);
        let publish = sender.clone();
        store.on_commit(Box::new(move |commit| {
            feed.take(commit.clone());
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

#[cfg(test)]
mod tests {
    use store::OpenOptions;

    use super::*;

    #[test]
    fn a_store_that_was_followed_can_be_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for _ in 0..2 {
            let opened = Store::open(folder.path(), models::schema(), &OpenOptions::default());
            let (store, _) = opened.expect("none holds it any more");
            let events = Events::follow(&store);
            assert_eq!(events.changes().listeners(), 0);
        }
    }
}
