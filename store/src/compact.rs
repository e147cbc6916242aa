//! Writing the engine's files anew, so that they take little more than what is kept.
//!
//! The engine uses the places of replaced pages again but gives few of them back, and where rows come and go it may take
//! ten times what is kept. So all pairs of one moment are copied into a new engine (`build.rs`), while reads and writes go
//! on; all of it is read back and compared with what was committed; what changed meanwhile follows; and then, in a
//! moment in which nothing is decided, the new folder takes the place of the old one.
//!
//! The old folder stays until the new one is in its place, whole and synced. A crash before that leaves the old store,
//! one after it the new (`exchange.rs`).

use std::path::Path;
use std::sync::{Arc, TryLockError, Weak};
use std::time::{Duration, Instant};

use models::schema;
use tokio::sync::oneshot;

use crate::build::Builder;
use crate::core::Core;
use crate::digest::Audit;
use crate::engine::Live;
use crate::error::StoreError;
use crate::exchange::{COMPACTING, Exchange, REPLACED, follow, remove};
use crate::options::{OpenOptions, Opened};
use crate::progress::{Pairs, Progress, Step};
use crate::snapshot::Snapshot;
use crate::source::Pair;
use crate::usage::{Usage, used_bytes};
use crate::{Inner, Store, folder};

/// Fewer changed pairs than this may wait for the moment in which nothing is decided.
const CHANGES_LEFT: usize = 2_000;
/// How often changes are caught up with; who writes faster than that has to wait a little then.
const ROUNDS_MAX: usize = 20;
/// Memory for pages of the new engine, until it is opened for good.
const CACHE_BYTES: u64 = 16 << 20;
/// How often a store that serves looks whether it is time, and how long it rests after a compaction that failed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(600);
/// After one that was done it rests for so many times as long as that took.
const REST_FACTOR: u32 = 3;
/// Less than this is not worth the trouble.
const SLACK_BYTES: u64 = 48 << 20;

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Pairs copied.
    pub pairs: u64,
    /// What the engine's files took before.
    pub before_bytes: u64,
    /// What they take now.
    pub after_bytes: u64,
}

impl Usage {
    /// Whether more than two fifths of what the files take are of no use, beyond what is not worth the trouble. While it
    /// is written anew the folder holds what is kept twice: together less than three times that.
    pub fn is_wasteful(&self) -> bool {
        self.live_bytes.is_some_and(|live| self.used_bytes > live / 4 * 7 + SLACK_BYTES)
    }

    /// Whether it takes so much that a compaction is due also soon after the last one. Then what is copied is still less
    /// than what was written since.
    fn is_pressing(&self) -> bool {
        self.live_bytes.is_some_and(|live| self.used_bytes > live / 5 * 11 + SLACK_BYTES)
    }

    /// Whether a compaction is due; `rests` soon after the last one, which may have `failed`.
    fn is_due(&self, rests: bool, failed: bool) -> bool {
        self.is_wasteful() && (!rests || (self.is_pressing() && !failed))
    }
}

impl Store {
    /// Writes the engine's files anew, while reads and writes go on. One that fails changes nothing.
    ///
    /// It needs as much free space as is kept.
    pub fn compact(&self, report: &mut dyn FnMut(Progress)) -> Result<Compacted, StoreError> {
        let core = &self.inner.core;
        let _alone = match core.compacting.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Open("the store is being compacted already".into()));
            }
        };
        self.writable()?;
        let before_bytes = used_bytes(&core.data);
        if !core.free_space.is_left_after(core.tally.sum().map_or(before_bytes, |live| live + live / 4)) {
            return Err(StoreError::DiskFull);
        }
        let target = core.data.join(COMPACTING);
        remove(&target)?;
        let result = self.copy_and_exchange(&target, report);
        core.taps().stop_noting();
        let pairs = match result {
            Ok(pairs) => pairs,
            Err(error) => {
                let _ = remove(&target);
                return Err(error);
            }
        };
        crate::crash::point("compact_before_removal");
        remove(&core.data.join(REPLACED))?;
        Ok(Compacted { pairs, before_bytes, after_bytes: used_bytes(&core.data) })
    }

    fn copy_and_exchange(&self, target: &Path, report: &mut dyn FnMut(Progress)) -> Result<u64, StoreError> {
        let core = &self.inner.core;
        // Before the moment that is copied, so that no change falls between the two.
        core.taps().note_changes();
        let pairs = copy(core, target, report)?;
        crate::crash::point("compact_copied");
        let options = OpenOptions { cache_bytes: CACHE_BYTES, ..core.options.clone() };
        let new = Live::open(target, &options, &mut Opened::default())?;
        read_back(core, &new, pairs, report)?;
        for _ in 0..ROUNDS_MAX {
            let changed = core.taps().take_noted()?;
            let left = changed.len();
            follow(&*core.engine.get()?, &new, &changed)?;
            if left < CHANGES_LEFT {
                break;
            }
        }
        new.db.flush()?;
        let (done, answer) = oneshot::channel();
        self.inner.flusher.exchange(Exchange { new, done });
        answer.blocking_recv().map_err(|_| StoreError::ReadOnly("the store is shutting down".into()))??;
        Ok(pairs)
    }

    /// Compacts the store whenever that is worth the trouble, on a thread of its own, until the store is closed.
    pub fn compact_in_background(&self) {
        let store = Arc::downgrade(&self.inner);
        let started = std::thread::Builder::new().name("compact".into()).spawn(move || watch(&store));
        if let Err(error) = started {
            tracing::error!(%error, "nothing gives unused space back while the server runs");
        }
    }
}

fn watch(store: &Weak<Inner>) {
    let (mut rests_until, mut failed) = (Instant::now(), false);
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(inner) = store.upgrade() else { return };
        let store = Store { inner };
        let usage = store.usage();
        if !usage.is_due(Instant::now() < rests_until, failed) {
            continue;
        }
        let started = Instant::now();
        let result = store.compact(&mut |_| {});
        failed = result.is_err();
        match result {
            Ok(done) => {
                rests_until = Instant::now() + started.elapsed() * REST_FACTOR;
                tracing::info!(
                    before_bytes = done.before_bytes,
                    after_bytes = done.after_bytes,
                    pairs = done.pairs,
                    seconds = started.elapsed().as_secs_f32(),
                    "wrote the store anew; unused space went back to the disk"
                );
            }
            Err(error) => {
                rests_until = Instant::now() + REST;
                tracing::warn!(
                    %error,
                    used_bytes = usage.used_bytes,
                    live_bytes = usage.live_bytes,
                    "the store takes more space than it needs and could not be written anew; it is tried again in \
                     ten minutes, and `playhouse compact` does it while no server runs"
                );
            }
        }
    }
}

/// Copies all pairs of one moment, and says how many they are.
fn copy(core: &Core, target: &Path, report: &mut dyn FnMut(Progress)) -> Result<u64, StoreError> {
    folder::create_private(target)?;
    let mut builder = Builder::create(target)?;
    let mut copied = Pairs::new(Step::Copy, core.pairs_expected()?, report);
    Snapshot::begin(core)?.each(&mut |(key, value): Pair| {
        copied.add(&key, &value);
        builder.add(key.to_vec(), value.to_vec())
    })?;
    builder.finish()?;
    Ok(copied.done())
}

/// Reads the copy and compares it with what was committed up to its moment, which it holds too.
fn read_back(
    core: &Core,
    new: &Live,
    pairs: u64,
    report: &mut dyn FnMut(Progress),
) -> Result<(), StoreError> {
    let (mut audit, mut read) = (Audit::new(&core.ids), Pairs::new(Step::ReadBack, Some(pairs), report));
    for pair in new.tree.iter() {
        let (key, value) = pair?;
        audit.see(&key, &value)?;
        read.add(&key, &value);
    }
    let read = read.done();
    let mut faults = audit.differences(schema());
    if read != pairs {
        faults.push(format!("{pairs} pairs were copied and {read} are there"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("it is not compacted: {}", faults.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_grows_fast_is_not_left_to_grow_while_a_compaction_rests() {
        let live = 500 << 20;
        let usage = |used_bytes: u64| Usage { used_bytes, live_bytes: Some(live) };
        let due =
            |used: u64| [(false, false), (true, false), (true, true)].map(|(r, f)| usage(used).is_due(r, f));
        assert_eq!(due(live * 3 / 2), [false, false, false]);
        assert_eq!(due(live * 2), [true, false, false]);
        assert_eq!(due(live * 5 / 2), [true, true, false]);
        // What is kept is not known before everything was read once.
        assert!(!Usage { used_bytes: live * 9, live_bytes: None }.is_due(false, false));
    }
}
