//! How it is kept: the only crate that names sled and bincode.
//!
//! Reads go straight to the tree ([`Store::reads`], [`query`]); writes are decided inside [`Store::transact`], land in
//! one engine batch and are acknowledged after a shared flush. Row policies are evaluated in [`guard`] for both.

mod ahead;
mod apply;
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
mod counts;
pub mod crash;
mod digest;
mod encode;
mod engine;
mod error;
mod exchange;
mod failure;
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
mod row_texts;
pub mod salvage;
pub mod shares;
mod snapshot;
mod source;
mod survey;
mod tally;
pub mod times;
mod transaction;
pub mod usage;
mod words;

use std::cell::{Cell, RefCell};
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
    pub texts: row_texts::RowTexts,
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
        let Inner { core, ids, blobs, texts, .. } = &*self.inner;
        Reads { ids, blobs, texts, counts: Some(&core.counts), source, removed: None }
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

    /// How long each took.
    pub fn flushing(&self) -> times::Spread {
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

    /// The commit lock, for those who look into the engine under it: all that was decided is applied there.
    fn lock(&self) -> MutexGuard<'_, core::Head> {
        let head = self.inner.core.lock();
        if self.inner.core.apply().is_err() {
            self.inner.flusher.look();
        }
        head
    }

    /// Refuses writes after one that failed.
    fn writable(&self) -> Result<(), StoreError> {
        self.inner.core.failure().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Runs a decision and commits what it wrote as one batch; an error writes nothing.
    ///
    /// The commit is decided when this returns, and applied and durable once the returned [`Durable`] was waited for.
    pub fn transact<T, E: From<StoreError>>(
        &self,
        claims: &Claims,
        decide: impl FnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<(T, Durable), E> {
        self.writable()?;
        let core = &self.inner.core;
        let mut head = core.lock();
        // It may have failed while others decided.
        self.writable()?;
        let transaction = Transaction {
            inner: &self.inner,
            overlay: source::Overlay {
                base: source::Base { layers: core.ahead.layers(), live: core.engine.get()? },
                pending: RefCell::default(),
            },
            changes: RefCell::default(),
            constraints: RefCell::default(),
            digests: RefCell::default(),
            grown: RefCell::default(),
            purging: Cell::new(false),
            undone: Cell::new(false),
            claims,
        };
        let _values = LargeValues(&self.inner.blobs);
        let decided = decide(&transaction).and_then(|answer| {
            let deferred = transaction.constraints.take();
            deferred.check(&transaction.reads())?;
            Ok(answer)
        });
        let writes = decided.is_ok() && !transaction.is_empty() && !transaction.undone.get();
        if !writes {
            // What it answers may stand on commits that others do not see yet.
            if !transaction.overlay.base.layers.is_empty() && core.apply().is_err() {
                self.inner.flusher.look();
            }
            return decided.map(|answer| (answer, Durable::nothing_written()));
        }
        let answer = decided?;
        let changes = transaction.changes.take();
        let (number, digests) = self.number(&head, &transaction);
        let grown = transaction.grown.take();
        let Transaction { overlay, .. } = transaction;
        // Those who delete may make room again.
        let deletes = changes.iter().any(|change| change.command == Command::Delete);
        if !reserve::admits(&core.free_space, &core.log, &core.ballast, overlay.bytes(), deletes) {
            return Err(StoreError::DiskFull.into());
        }
        self.inner.blobs.write_waiting(|hash| overlay.puts_any(&keys::blob_uses(hash)))?;
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
        let waiting = ahead::Waiting { commit, acknowledge };
        let pairs = overlay.pending.take();
        let (is_first, are_many) = core.ahead.add(ahead::Decided { pairs, number, grown, waiting });
        if is_first {
            self.inner.flusher.wake();
        }
        if are_many && let Err(failure) = core.apply() {
            self.inner.flusher.look();
            return Err(StoreError::from(failure).into());
        }
        Ok((answer, Durable::waiting(receiver)))
    }

    /// Adds to a transaction what every commit notes: its number, and the digests of the tables that it changes.
    fn number(
        &self,
        head: &core::Head,
        transaction: &Transaction,
    ) -> (u64, Vec<(models::TableId, digest::Digest)>) {
        let number = head.number + 1;
        transaction.overlay.put(keys::COUNTER, &number.to_be_bytes());
        let changed = transaction.digests.take().into_iter();
        let digests = changed.map(|(table, change)| {
            let digest = head.digests[table].plus(change);
            transaction.overlay.put(keys::digest(self.inner.ids[table].id), digest.to_bytes());
            (table, digest)
        });
        (number, digests.collect())
    }
}
