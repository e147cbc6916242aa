//! How it is kept: the only crate that names sled and bincode.
//!
//! Reads go straight to the tree ([`Store::reads`], [`query`]); writes are decided inside [`Store::transact`], land in
//! one engine batch and are acknowledged after a shared flush. Row policies are evaluated in [`guard`] for both.

pub mod backup;
pub mod blob;
mod build;
mod catalog;
pub mod check;
mod codec;
mod commit;
pub mod compact;
mod constraint;
mod core;
pub mod crash;
mod digest;
mod encode;
mod engine;
mod error;
mod exchange;
mod flush;
pub mod folder;
mod free_space;
pub mod guard;
pub mod implied;
mod keys;
mod log_scan;
mod log_tail;
mod open;
mod options;
mod page_files;
pub mod progress;
pub mod query;
mod read;
mod recover;
mod renew;
mod reserve;
mod restore;
mod row_bytes;
pub mod salvage;
pub mod shares;
mod snapshot;
mod source;
mod survey;
mod tally;
mod transaction;
pub mod usage;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use models::{Claims, Command};
use tokio::sync::oneshot;

pub use commit::{Change, Commit, Durable};
pub use error::StoreError;
pub use flush::Listener;
pub use guard::Caller;
pub use options::{OpenOptions, Opened};
pub use read::{Reads, Removed};
pub use row_bytes::decodes;
pub use transaction::{Event, Transaction, Triggers};

/// The store of one data folder. Clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub core: Arc<core::Core>,
    pub ids: Arc<Vec<catalog::TableIds>>,
    pub blobs: blob::BlobStore,
    pub triggers: OnceLock<Arc<dyn Triggers>>,
    flusher: flush::Flusher,
    listeners: Arc<RwLock<Vec<Listener>>>,
    /// What the last check in the background found.
    integrity: Mutex<check::Integrity>,
}

/// Large values of a transaction wait in memory for its commit; dropped before the commit lock.
struct LargeValues<'s>(&'s blob::BlobStore);

impl Drop for LargeValues<'_> {
    fn drop(&mut self) {
        self.0.forget_waiting();
    }
}

impl Store {
    /// Installs the behaviour that belongs to rows. Later calls change nothing.
    pub fn set_triggers(&self, triggers: Arc<dyn Triggers>) {
        let _ = self.inner.triggers.set(triggers);
    }

    /// Calls `listener` for every durable commit, in order, on the flush thread.
    pub fn on_commit(&self, listener: Listener) {
        self.inner.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Reads of the store as it is.
    pub fn reads(&self) -> Reads<'_> {
        let source = source::Origin::Engine(self.inner.core.engine.live());
        Reads { ids: &self.inner.ids, blobs: &self.inner.blobs, source, removed: None }
    }

    /// The blobs.
    pub fn blobs(&self) -> &blob::BlobStore {
        &self.inner.blobs
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.inner.core.data
    }

    /// Commits so far; waits for no decision.
    pub fn commits(&self) -> u64 {
        self.inner.core.commits.load(Ordering::Relaxed)
    }

    /// Flushes so far, each shared by all commits that waited for it.
    pub fn flushes(&self) -> u64 {
        self.inner.flusher.flushes()
    }

    /// Time spent on them.
    pub fn flushing(&self) -> std::time::Duration {
        self.inner.flusher.flushing()
    }

    /// Syncs so far of large pages, which the engine keeps in files of their own; they precede the acknowledgement.
    pub fn page_files_synced(&self) -> u64 {
        self.inner.flusher.page_files_synced()
    }

    /// Whether writes are refused because one failed.
    pub fn is_read_only(&self) -> bool {
        self.trouble().is_some()
    }

    /// Why writes are refused, if one failed; asks the engine itself.
    pub fn trouble(&self) -> Option<String> {
        let core = &self.inner.core;
        if core.failure().is_none()
            && let Some(live) = core.engine.now()
        {
            core.look_at(&live);
        }
        core.failure().map(|failure| failure.reason)
    }

    /// Whether the disk has room for more.
    pub fn has_room(&self) -> bool {
        self.inner.core.free_space.is_left() && !self.inner.core.log.is_short()
    }

    /// Whether the disk has room for so many bytes more, and the reserve.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.has_room() && self.inner.core.free_space.is_left_after(bytes)
    }

    fn lock(&self) -> MutexGuard<'_, core::Head> {
        self.inner.core.lock()
    }

    /// Refuses writes after one that failed.
    fn writable(&self) -> Result<(), StoreError> {
        self.inner.core.failure().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Runs a decision and commits what it wrote as one batch; an error writes nothing.
    ///
    /// The commit is applied when this returns, and durable once the returned [`Durable`] was waited for.
    pub fn transact<T, E: From<StoreError>>(
        &self,
        claims: &Claims,
        decide: impl FnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<(T, Durable), E> {
        self.writable()?;
        let mut head = self.lock();
        // It may have failed while others decided.
        self.writable()?;
        let transaction = Transaction {
            inner: &self.inner,
            overlay: source::Overlay { live: self.inner.core.engine.get()?, pending: RefCell::default() },
            changes: RefCell::default(),
            constraints: RefCell::default(),
            digests: RefCell::default(),
            grown: RefCell::default(),
            purging: Cell::new(false),
            undone: Cell::new(false),
            claims,
        };
        let _values = LargeValues(&self.inner.blobs);
        let answer = decide(&transaction)?;
        if transaction.is_empty() {
            return Ok((answer, Durable::nothing_written()));
        }
        let deferred = transaction.constraints.take();
        deferred.check(&transaction.reads())?;
        if transaction.undone.get() {
            return Ok((answer, Durable::nothing_written()));
        }
        let changes = transaction.changes.take();
        let (number, digests) = self.number(&head, &transaction);
        let grown = transaction.grown.take();
        let Transaction { overlay, .. } = transaction;
        // Those who delete may make room again.
        let deletes = changes.iter().any(|change| change.command == Command::Delete);
        let core = &self.inner.core;
        if !reserve::admits(&core.free_space, &core.log, &core.ballast, overlay.bytes(), deletes) {
            return Err(StoreError::DiskFull.into());
        }
        self.inner.blobs.write_waiting(|hash| overlay.puts_any(keys::blob_uses(hash)))?;
        let pending = overlay.pending.take();
        let keys = pending.keys().cloned().collect();
        if let Err(error) = self.apply(&overlay.live, pending, number, grown) {
            // What the engine made of the batch is not known.
            let failure = core::Failure::of_engine(&overlay.live, &error);
            core.fail(failure.clone());
            self.inner.flusher.look();
            return Err(StoreError::from(failure).into());
        }
        head.number = number;
        for (table, digest) in digests {
            head.digests[table] = digest;
        }
        let (acknowledge, receiver) = oneshot::channel();
        let commit = Arc::new(Commit {
            number,
            at_micros: chrono::Utc::now().timestamp_micros(),
            changes,
            request_id: claims.request_id.clone(),
        });
        self.inner.flusher.push(flush::Waiting { commit, keys, acknowledge });
        Ok((answer, Durable::waiting(receiver)))
    }

    /// Adds to a transaction what every commit notes: its number, and the digests of the tables that it changes.
    fn number(
        &self,
        head: &core::Head,
        transaction: &Transaction,
    ) -> (u64, Vec<(models::TableId, digest::Digest)>) {
        let number = head.number + 1;
        transaction.overlay.put(keys::COUNTER.to_vec(), number.to_be_bytes().to_vec());
        let changed = transaction.digests.take().into_iter();
        let digests = changed.map(|(table, change)| {
            let digest = head.digests[table].plus(change);
            transaction.overlay.put(keys::digest(self.inner.ids[table].id), digest.to_bytes());
            (table, digest)
        });
        (number, digests.collect())
    }

    fn apply(
        &self,
        live: &engine::Live,
        pending: source::Pending,
        number: u64,
        grown: BTreeMap<models::TableId, i64>,
    ) -> Result<(), StoreError> {
        let mut taps = self.inner.core.taps();
        taps.keep_old(&live.tree, pending.keys())?;
        let mut batch = sled::Batch::default();
        for (key, value) in pending {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        crash::point("before_apply");
        live.tree.apply_batch(batch).map_err(|error| live.noted(error))?;
        self.inner.core.commits.store(number, Ordering::Relaxed);
        self.inner.core.tally.add(grown);
        crash::point("after_apply");
        Ok(())
    }
}
