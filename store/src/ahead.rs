//! Commits on their way into the engine.
//!
//! A batch costs the engine two writes to its log, each with a sync, whatever is in it. So commits gather here and are
//! applied together (`apply.rs`): by the flush thread before it flushes, and by the writer when there are many, since all
//! reads wait while the engine takes a batch. Transactions look here before they look into the engine; all other reads find what is
//! applied. A commit is acknowledged after both.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use models::TableId;
use sled::IVec;
use tokio::sync::oneshot;

use crate::commit::Commit;
use crate::failure::Failure;

/// Writes to be; `None` marks a removal.
pub(crate) type Pending = BTreeMap<IVec, Option<IVec>>;

/// A commit that waits to be durable.
pub(crate) struct Waiting {
    pub commit: Arc<Commit>,
    pub acknowledge: oneshot::Sender<Result<(), Failure>>,
}

/// From so many pairs on they are applied at once.
const PAIRS_MAX: usize = 256;

/// See the module.
#[derive(Default)]
pub(crate) struct Ahead {
    state: Mutex<State>,
    /// Held while a layer is applied, so that each follows the one before.
    applying: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Takes commits.
    open: Arc<Layer>,
    /// Is being applied.
    closing: Option<Arc<Layer>>,
    /// Its commits, which wait.
    waiting: Vec<Waiting>,
    /// Commits that are applied, or failed, and wait to be durable.
    applied: Vec<Waiting>,
    /// What was written into the engine since the last flush.
    written: Vec<IVec>,
}

/// Pairs of several commits, as the last of them left each.
#[derive(Default)]
pub(crate) struct Layer(RwLock<Pairs>);

#[derive(Default)]
pub(crate) struct Pairs {
    pub pairs: Pending,
    /// The number of the last commit.
    pub number: u64,
    /// By how many bytes they make the rows and index entries of each table more.
    pub grown: BTreeMap<TableId, i64>,
}

/// A commit that is decided.
pub(crate) struct Decided {
    pub pairs: Pending,
    pub number: u64,
    pub grown: BTreeMap<TableId, i64>,
    pub waiting: Waiting,
}

impl Layer {
    /// The pairs.
    pub fn read(&self) -> RwLockReadGuard<'_, Pairs> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a key is to be, if it changes.
    pub fn get(&self, key: &[u8]) -> Option<Option<IVec>> {
        self.read().pairs.get(key).cloned()
    }

    /// Adds what changes within bounds.
    pub fn collect(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>), into: &mut Pending) {
        let layer = self.read();
        let within = layer.pairs.range::<[u8], _>(bounds);
        into.extend(within.map(|(key, value)| (key.clone(), value.clone())));
    }

    fn is_empty(&self) -> bool {
        self.read().pairs.is_empty()
    }
}

impl Ahead {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is not applied yet, newest first. Called under the commit lock: it stays as it is while that is held.
    pub fn layers(&self) -> Vec<Arc<Layer>> {
        let state = self.state();
        let open = (!state.open.is_empty()).then(|| state.open.clone());
        open.into_iter().chain(state.closing.clone()).collect()
    }

    /// Takes a commit; called under the commit lock, so in commit order. Answers with whether it is the first that waits,
    /// and whether there are many pairs now.
    pub fn add(&self, decided: Decided) -> (bool, bool) {
        let mut state = self.state();
        let is_first = state.waiting.is_empty();
        state.waiting.push(decided.waiting);
        let mut layer = state.open.0.write().unwrap_or_else(PoisonError::into_inner);
        if layer.pairs.is_empty() {
            layer.pairs = decided.pairs;
        } else {
            layer.pairs.extend(decided.pairs);
        }
        layer.number = decided.number;
        for (table, bytes) in decided.grown {
            *layer.grown.entry(table).or_default() += bytes;
        }
        (is_first, layer.pairs.len() >= PAIRS_MAX)
    }

    /// Holds the order in which layers are applied.
    pub fn in_order(&self) -> MutexGuard<'_, ()> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something to apply.
    pub fn is_open(&self) -> bool {
        !self.state().open.is_empty()
    }

    /// Takes what there is, with its commits; from now on others gather beside it.
    pub fn close(&self) -> (Arc<Layer>, Vec<Waiting>) {
        let mut state = self.state();
        let layer = std::mem::take(&mut state.open);
        state.closing = Some(layer.clone());
        (layer, std::mem::take(&mut state.waiting))
    }

    /// What was taken is in the engine, or never will be.
    pub fn closed(&self, layer: &Layer, waiting: Vec<Waiting>) {
        let mut state = self.state();
        state.closing = None;
        state.applied.extend(waiting);
        state.written.extend(layer.read().pairs.keys().cloned());
    }

    /// The commits that are applied and wait to be durable, and the keys that the engine took since this was asked last;
    /// with `all`, those too that are not applied.
    pub fn take(&self, all: bool) -> (Vec<Waiting>, Vec<IVec>) {
        let mut state = self.state();
        let mut commits = std::mem::take(&mut state.applied);
        if all {
            commits.append(&mut state.waiting);
        }
        (commits, std::mem::take(&mut state.written))
    }

    /// Drops everything that was not applied; answers with the commits that wait. Called under the commit lock.
    pub fn forget(&self) -> Vec<Waiting> {
        let mut state = self.state();
        let State { applied, waiting, .. } = std::mem::take(&mut *state);
        applied.into_iter().chain(waiting).collect()
    }
}
