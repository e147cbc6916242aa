//! Durable commits, fanned out to subscribers: realtime, progress streams, tests.

use std::sync::Arc;

use store::{Commit, Store};
use tokio::sync::broadcast;

/// Commits a slow listener may lag behind before it learns that it missed some.
const LAG_MAX: usize = 4096;

/// The fan-out.
#[derive(Clone, Debug)]
pub struct Events {
    sender: broadcast::Sender<Arc<Commit>>,
}

impl Events {
    pub(crate) fn follow(store: &Store) -> Events {
        let (sender, _) = broadcast::channel(LAG_MAX);
        let publish = sender.clone();
        store.on_commit(Box::new(move |commit| {
            // Having no subscriber is no failure.
            let _ = publish.send(commit);
        }));
        Events { sender }
    }

    /// Every commit from now on, each after its flush and in commit order.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.sender.subscribe()
    }
}
