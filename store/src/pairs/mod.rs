//! Ordered pairs above the engine, for less than the engine takes for them.
//!
//! The engine copies a page for each pair that it takes. So a batch of changes goes into it as a few values of some KiB:
//! the batch itself, in a log (`log.rs`). What the log has is also in memory (`memory.rs`), where reads find it. Once that
//! is some MiB it is written as a run (`run.rs`): blocks of entries in the order of their keys (`block.rs`), which never
//! change. Then the log up to there is removed. Runs are merged into larger ones in the background (`worker.rs`), so that
//! there are few; a manifest (`manifest.rs`) says which count. Where everything lies in the engine's tree: `places.rs`.
//!
//! A read looks into the memory, then the memory that is being written as a run, then the runs, newest first, and takes
//! the first that knows the key. A removal is an entry without a value, and is dropped once nothing lies below it. Pairs
//! that a version without this layer wrote are the base below all runs, until the worker has written them as a run too.
//!
//! The engine writes one log, so what it has after a crash is a beginning of what it was given. Therefore a run is given to
//! it before the manifest that names it, and what a manifest replaces is removed after that manifest is durable. Parts of
//! a run that no manifest names are removed after the next open.

mod block;
mod bottom;
mod cache;
mod choice;
mod clear;
mod filter;
mod found;
mod log;
mod manifest;
mod memory;
mod merged;
mod open;
mod places;
mod run;
mod sync;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use sled::IVec;

use crate::error::{StoreError, is_full};
pub use bottom::Bottom;
use cache::BlockCache;
pub use found::{Age, Found, Unpacker};
use memory::{Memory, MemoryCursor};
use merged::{Cursor, Merged};
pub use open::is_begun;
use run::{Garbage, Reading, Run, RunCursor};

/// A pair.
pub type Pair = (IVec, IVec);
/// Changes; `None` removes a key.
pub type Changes = BTreeMap<IVec, Option<IVec>>;
/// A key with its value, or with none where it is removed.
type Entry = (IVec, Option<IVec>);
/// Which keys are looked up by themselves, and so belong into filters.
#[derive(Clone, Copy)]
pub struct KeyKind {
    /// Raised when other keys are: filters of another version are not used, since they may miss keys.
    pub version: u8,
    /// Whether a key is.
    pub is_looked_up: fn(&[u8]) -> bool,
}

/// About how much memory takes what is in no run yet, in a store: some 8 MiB of pairs.
pub const MEMORY_BYTES: usize = 20 << 20;
/// How much larger than its limit the memory may grow while a run is written, and when no run can be.
const GROWTH_MAX: usize = 2;
const GROWTH_MAX_WITHOUT_RUNS: usize = 8;
/// The engine merges a page with fewer places into its neighbour.
const PLACES_PER_PAGE: usize = 4;
/// With more runs each batch waits a little for the worker.
const RUNS_MAX: usize = 32;
/// How long a batch waits before it looks again.
const WAIT: Duration = Duration::from_millis(10);

/// How pairs are kept.
pub struct Settings {
    /// The engine's folder.
    pub folder: PathBuf,
    /// About how much memory takes what is in no run yet.
    pub memory_bytes: usize,
    /// How much memory take blocks of runs that are read often.
    pub cache_bytes: usize,
    /// Which keys are looked up by themselves.
    pub key_kind: KeyKind,
    /// Whether the disk has room for so many bytes more.
    pub has_room: Box<dyn Fn(u64) -> bool + Send + Sync>,
    /// Pairs that are written for versions without this layer, so that they refuse the folder; where their pairs are, only
    /// the first.
    pub marks: &'static [(&'static [u8], &'static [u8])],
}

/// Ordered pairs. Clones share them.
#[derive(Clone)]
pub struct Tree {
    shared: Arc<Shared>,
    /// Ends with the last clone.
    _worker: Arc<worker::Worker>,
}

/// What readers, writers and the worker share.
struct Shared {
    db: sled::Db,
    tree: sled::Tree,
    settings: Settings,
    version: RwLock<Arc<Version>>,
    /// Held while a batch is written.
    log_end: Mutex<LogEnd>,
    next_run: AtomicU32,
    cache: Arc<BlockCache>,
    garbage: Arc<Garbage>,
    signal: Mutex<Signal>,
    changed: Condvar,
    /// Why the worker cannot write runs now.
    trouble: Mutex<Option<String>>,
    is_stuck: AtomicBool,
    /// Why a sync failed; held while the worker syncs.
    unsynced: Mutex<Option<String>>,
    #[cfg(test)]
    fails_to_sync: AtomicBool,
}

/// Where the log goes on.
struct LogEnd {
    /// The number of the next batch.
    next: u64,
    /// What opening leaves to be written: with the first batch, or before the worker begins.
    first: Vec<Entry>,
    /// What the log misses, and what is to be written if it is to go on without.
    lost: Option<(String, Vec<Entry>)>,
    /// Set while a batch is written. If it stays so, what the engine made of that batch is not known, and none may follow.
    is_open: bool,
}

#[derive(Default)]
struct Signal {
    /// Whether the worker may write.
    begins: bool,
    ends: bool,
    has_work: bool,
}

/// What there is to read at one moment.
#[derive(Clone)]
struct Version {
    memory: Arc<Memory>,
    /// Is being written as a run, with the newest batch in it.
    frozen: Option<(Arc<Memory>, u64)>,
    /// Newest first.
    runs: Vec<Arc<Run>>,
    /// There while pairs of a version without this layer count. Those who read them hold it, and they stay until it is gone.
    base: Option<Arc<()>>,
    /// Batches before this one are in runs.
    log_from: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tree {
    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<IVec>, StoreError> {
        self.shared.get(key.as_ref())
    }

    /// Whether a key has a value.
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        Ok(self.get(key)?.is_some())
    }

    /// Pairs with `from ≤ key < to`, ascending or descending; no upper end when `to` is `None`.
    pub fn range(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        descending: bool,
    ) -> impl Iterator<Item = Result<Pair, StoreError>> + use<> {
        let shared = self.shared.clone();
        let merged = Merged::new(shared.version().cursors(&shared.tree, from, to, descending), descending);
        merged.filter_map(move |entry| match entry {
            Ok((key, Some(value))) => Some(Ok((key, value))),
            Ok((_, None)) => None,
            Err(error) => Some(Err(shared.noted(error))),
        })
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = Result<Pair, StoreError>> + use<> {
        self.range(&[], None, false)
    }

    /// Pairs whose keys begin with `prefix`.
    pub fn scan_prefix<P: AsRef<[u8]>>(
        &self,
        prefix: P,
    ) -> impl Iterator<Item = Result<Pair, StoreError>> + use<P> {
        let prefix = prefix.as_ref();
        self.range(prefix, crate::encode::after_prefix(prefix).as_deref(), false)
    }

    /// Writes changes, all or none. They are durable after a flush of the engine. Readers see them together.
    ///
    /// Waits while the worker is far behind.
    pub fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        self.shared.apply(changes)
    }

    /// Writes one pair.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl Into<IVec>) -> Result<(), StoreError> {
        self.apply(&Changes::from([(key.as_ref().into(), Some(value.into()))]))
    }

    /// Removes a key; answers with its value.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<Option<IVec>, StoreError> {
        let before = self.get(&key)?;
        self.apply(&Changes::from([(key.as_ref().into(), None)]))?;
        Ok(before)
    }

    /// Lets the worker begin. Until then nothing is written but what is applied, so that a folder that is refused stays as
    /// it was.
    ///
    /// Refuses while changes are lost and that was not accepted.
    pub fn begin(&self) -> Result<(), StoreError> {
        if locked(&self.shared.signal).begins {
            return Ok(());
        }
        let mut log_end = locked(&self.shared.log_end);
        self.shared.may_write(&log_end)?;
        if !log_end.first.is_empty() {
            self.shared.write_batch(&mut log_end, Vec::new())?;
        }
        self.shared.begin();
        Ok(())
    }

    /// What the log misses that it once had, in words. Nothing is written while there is such a loss.
    pub fn lost(&self) -> Option<String> {
        locked(&self.shared.log_end).lost.as_ref().map(|(reason, _)| reason.clone())
    }

    /// Goes on without what is lost.
    pub fn accept_loss(&self) {
        let mut log_end = locked(&self.shared.log_end);
        if let Some((_, changes)) = log_end.lost.take() {
            log_end.first.extend(changes);
        }
    }

    /// Whether a write failed in a way that the engine did not notice: its flush and its end would wait for ever.
    pub fn is_stuck(&self) -> bool {
        self.shared.is_stuck.load(Ordering::Acquire)
    }

    /// Why writes should be refused: the worker cannot write runs, and half of the memory is taken that changes may take
    /// until it can. Beyond that [`Tree::apply`] fails.
    pub fn refusal(&self) -> Option<String> {
        let bytes = self.shared.version().memory.bytes();
        if bytes < self.shared.settings.memory_bytes * GROWTH_MAX_WITHOUT_RUNS / 2 {
            return None;
        }
        locked(&self.shared.trouble).as_deref().map(cannot_be_put_away)
    }

    /// Waits until the worker has nothing to do, or cannot do it; for tests and measurements.
    pub fn settle(&self) {
        loop {
            let is_behind = locked(&self.shared.signal).has_work;
            if !is_behind || locked(&self.shared.trouble).is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.shared.version().runs.len()
    }
}

fn cannot_be_put_away(reason: &str) -> String {
    format!("what is new cannot be put away: {reason}")
}

impl Version {
    /// Everything that may have entries of a range, newest first.
    fn cursors(&self, tree: &sled::Tree, from: &[u8], to: Option<&[u8]>, descending: bool) -> Vec<Cursor> {
        let memory =
            |memory: &Arc<Memory>| Cursor::Memory(MemoryCursor::new(memory.clone(), from, to, descending));
        let mut cursors = vec![memory(&self.memory)];
        cursors.extend(self.frozen.as_ref().map(|(frozen, _)| memory(frozen)));
        cursors.extend(self.runs.iter().map(|run| {
            Cursor::Run(Box::new(RunCursor::new(run.clone(), from, to, descending, Reading::Short)))
        }));
        if let Some(held) = &self.base {
            cursors.push(Cursor::Base(base(tree, from, to, descending), held.clone()));
        }
        cursors
    }
}

/// Pairs that a version without this layer wrote: all of the tree but our own.
fn base(
    tree: &sled::Tree,
    from: &[u8],
    to: Option<&[u8]>,
    descending: bool,
) -> Box<dyn Iterator<Item = Result<Pair, sled::Error>>> {
    let part = |low: &[u8], high: Option<&[u8]>| match high {
        Some(high) if high <= low => None,
        Some(high) => Some(tree.range(low..high)),
        None => Some(tree.range(low..)),
    };
    let first = part(from, Some(to.map_or(&places::OWN[..], |to| to.min(&places::OWN))));
    let second = part(from.max(&places::OWN_END), to);
    let both = first.into_iter().flatten().chain(second.into_iter().flatten());
    if descending { Box::new(both.rev()) } else { Box::new(both) }
}

impl Shared {
    fn version(&self) -> Arc<Version> {
        self.version.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a changed version in the place of the current one.
    fn change(&self, change: impl FnOnce(&mut Version)) {
        let mut version = self.version.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Version::clone(&version);
        change(&mut new);
        *version = Arc::new(new);
    }

    /// Takes note of an error on the way to its caller.
    ///
    /// A page that the engine could not write to a file of its own stays reserved in its log, and nothing else learns
    /// of it. Then the engine must neither be flushed nor dropped.
    fn noted(&self, error: StoreError) -> StoreError {
        let found_no_room = matches!(&error, StoreError::Engine(sled::Error::Io(source)) if is_full(source));
        if found_no_room
            && self.db.context.global_error().is_ok()
            && !self.is_stuck.swap(true, Ordering::AcqRel)
        {
            std::mem::forget(self.db.clone());
        }
        error
    }

    fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.look_up(key).map_err(|error| self.noted(error))
    }

    fn look_up(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let version = self.version();
        let hash = (self.settings.key_kind.is_looked_up)(key).then(|| filter::hash(key));
        if let Some(found) = version.memory.get(key, hash) {
            return Ok(found);
        }
        if let Some(found) = version.frozen.as_ref().and_then(|(frozen, _)| frozen.get(key, hash)) {
            return Ok(found);
        }
        for run in &version.runs {
            if let Some(found) = run.get(key, hash)? {
                return Ok(found);
            }
        }
        if version.base.is_some() && !key.starts_with(&places::OWN) {
            Ok(self.tree.get(key)?)
        } else {
            Ok(None)
        }
    }

    fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut log_end = locked(&self.log_end);
        self.may_write(&log_end)?;
        self.wait_for_worker(&log_end)?;
        let too_large = || StoreError::Limit { what: "bytes of one batch", max: 256 << 20 };
        let number = log_end.next;
        let pieces = log::pieces(number, changes.iter()).ok_or_else(too_large)?;
        crate::crash::point("before_log");
        self.write_batch(&mut log_end, pieces)?;
        crate::crash::point("after_log");
        log_end.next += 1;
        let version = self.version();
        let entries = changes.iter().map(|(key, value)| (key.clone(), value.clone()));
        version.memory.add(entries, self.settings.key_kind);
        self.freeze(&version, number);
        Ok(())
    }

    fn may_write(&self, log_end: &LogEnd) -> Result<(), StoreError> {
        if let Some((reason, _)) = &log_end.lost {
            return Err(StoreError::Open(reason.clone()));
        }
        if log_end.is_open {
            return Err(StoreError::ReadOnly("a batch of changes could not be written".into()));
        }
        Ok(())
    }

    /// Writes pieces of a batch, with what opening left to be written.
    fn write_batch(&self, log_end: &mut LogEnd, pieces: Vec<([u8; 15], Vec<u8>)>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (place, value) in &log_end.first {
            match value {
                Some(value) => batch.insert(place, value),
                None => batch.remove(place),
            }
        }
        let places: Vec<_> = pieces.iter().map(|(place, _)| *place).collect();
        pieces.into_iter().for_each(|(place, piece)| batch.insert(&place, piece));
        log_end.is_open = true;
        self.tree.apply_batch(batch).map_err(|error| self.noted(error.into()))?;
        let visited = self.visit(log_end.first.iter().map(|(place, _)| place));
        visited.and_then(|()| self.visit_neighbours(&places)).map_err(|error| self.noted(error))?;
        (log_end.is_open, log_end.first) = (false, Vec::new());
        Ok(())
    }

    fn begin(&self) {
        locked(&self.signal).begins = true;
        self.changed.notify_all();
    }

    /// Lets the engine end what it puts off until a page is visited again: splitting and merging pages, which it would
    /// else do, and write, for a later reader.
    fn visit<P: AsRef<[u8]>>(&self, mut places: impl Iterator<Item = P>) -> Result<(), StoreError> {
        places.try_for_each(|place| Ok(self.tree.contains_key(place).map(drop)?))
    }

    /// The same for all places between two, which were written or removed together.
    fn visit_neighbours<P: AsRef<[u8]>>(&self, places: &[P]) -> Result<(), StoreError> {
        // Every page between the first and the last has at least so many of them.
        self.visit(places.iter().step_by(PLACES_PER_PAGE).chain(places.last()))
    }

    /// Hands a full memory to the worker, unless that has one already. Called by the one who writes batches.
    fn freeze(&self, version: &Version, through: u64) {
        if version.frozen.is_some() || version.memory.bytes() < self.settings.memory_bytes {
            return;
        }
        self.change(|version| {
            let full = std::mem::take(&mut version.memory);
            version.frozen = Some((full, through));
        });
        self.wake();
    }

    fn wake(&self) {
        locked(&self.signal).has_work = true;
        self.changed.notify_all();
    }

    /// Waits while the worker is far behind, if it gets on at all. The memory stays bounded in any case.
    fn wait_for_worker(&self, log_end: &LogEnd) -> Result<(), StoreError> {
        loop {
            let version = self.version();
            let limit = self.settings.memory_bytes;
            let bytes = version.memory.bytes();
            let has_begun = locked(&self.signal).begins;
            let trouble = locked(&self.trouble).clone();
            match trouble {
                None if !has_begun => {
                    // A caller that applies so much has accepted the folder.
                    if bytes >= limit * GROWTH_MAX && log_end.first.is_empty() {
                        self.begin();
                    }
                    return Ok(());
                }
                None if version.frozen.is_some() && bytes >= limit * GROWTH_MAX => {
                    std::thread::sleep(WAIT);
                }
                None => {
                    if version.runs.len() > RUNS_MAX {
                        std::thread::sleep(WAIT);
                    }
                    return Ok(());
                }
                Some(reason) if bytes >= limit * GROWTH_MAX_WITHOUT_RUNS => {
                    return Err(StoreError::ReadOnly(cannot_be_put_away(&reason)));
                }
                Some(_) => return Ok(()),
            }
        }
    }
}
