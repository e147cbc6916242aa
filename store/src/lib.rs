//! How it is kept: the only crate that names sled and bincode.
//!
//! Reads go straight to the tree ([`Store::reads`], [`query`]); writes are decided inside [`Store::transact`], land in
//! one engine batch and are acknowledged after a shared flush. Row policies are evaluated in [`guard`] for both.

pub mod backup;
pub mod blob;
mod catalog;
pub mod check;
mod codec;
mod commit;
mod constraint;
pub mod crash;
mod encode;
mod error;
mod flush;
pub mod folder;
mod free_space;
pub mod guard;
mod keys;
mod open;
mod page_files;
pub mod query;
mod read;
mod restore;
mod source;
mod transaction;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use models::{Claims, Command};
use tokio::sync::oneshot;

pub use codec::decodes;
pub use commit::{Change, Commit, Durable};
pub use error::StoreError;
pub use flush::Listener;
pub use guard::Caller;
pub use open::{OpenOptions, Opened};
pub use read::Reads;
pub use transaction::{Event, Transaction, Triggers};

/// The store of one data folder. Clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub tree: sled::Tree,
    pub db: sled::Db,
    pub ids: Vec<catalog::TableIds>,
    pub blobs: blob::BlobStore,
    pub free_space: Arc<free_space::FreeSpace>,
    pub triggers: OnceLock<Arc<dyn Triggers>>,
    pub folder: PathBuf,
    flusher: flush::Flusher,
    listeners: Arc<RwLock<Vec<Listener>>>,
    /// Number of the last commit; held while a transaction decides, so that what it reads stays true.
    last: Mutex<u64>,
    /// The same number, for those who only want to tell it.
    commits: AtomicU64,
    /// Keeps the old values of pairs that a running backup has not copied yet.
    pub tap: Mutex<Option<backup::Tap>>,
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
        Reads { inner: &self.inner, source: &self.inner.tree }
    }

    /// The blobs.
    pub fn blobs(&self) -> &blob::BlobStore {
        &self.inner.blobs
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Commits so far; asks nobody who is deciding.
    pub fn commits(&self) -> u64 {
        self.inner.commits.load(Ordering::Relaxed)
    }

    /// Flushes so far, each shared by all commits that waited for it.
    pub fn flushes(&self) -> u64 {
        self.inner.flusher.flushes()
    }

    /// Syncs so far of large pages, which the engine keeps in files of their own; they precede the acknowledgement.
    pub fn page_files_synced(&self) -> u64 {
        self.inner.flusher.page_files_synced()
    }

    /// Whether writes are refused because a flush failed.
    pub fn is_read_only(&self) -> bool {
        self.inner.flusher.failed()
    }

    /// Whether the disk has room for more.
    pub fn has_room(&self) -> bool {
        self.inner.free_space.is_left()
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // A panic in a decision leaves the number as it was, and its overlay is dropped with it.
        self.inner.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a decision and commits what it wrote as one batch; an error writes nothing.
    ///
    /// The commit is applied when this returns, and durable once the returned [`Durable`] was waited for.
    pub fn transact<T, E: From<StoreError>>(
        &self,
        claims: &Claims,
        decide: impl FnOnce(&Transaction) -> Result<T, E>,
    ) -> Result<(T, Durable), E> {
        if self.is_read_only() {
            return Err(StoreError::ReadOnly("an earlier flush failed".into()).into());
        }
        let mut last = self.lock();
        let transaction = Transaction {
            inner: &self.inner,
            overlay: source::Overlay { tree: self.inner.tree.clone(), pending: RefCell::default() },
            changes: RefCell::default(),
            constraints: RefCell::default(),
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
        // Whoever deletes may make room again.
        if !self.has_room() && !changes.iter().any(|change| change.command == Command::Delete) {
            return Err(StoreError::DiskFull.into());
        }
        let overlay = &transaction.overlay;
        self.inner.blobs.write_waiting(|hash| overlay.puts_any(keys::blob_uses(hash)))?;
        let number = *last + 1;
        transaction.overlay.put(keys::COUNTER.to_vec(), number.to_be_bytes().to_vec());
        if let Err(error) = self.apply(transaction.overlay.pending.take()) {
            // What the engine made of the batch nobody knows.
            self.inner.flusher.fail(&error);
            return Err(error.into());
        }
        *last = number;
        self.inner.commits.store(number, Ordering::Relaxed);
        let (acknowledge, receiver) = oneshot::channel();
        let commit = Arc::new(Commit {
            number,
            at_micros: chrono::Utc::now().timestamp_micros(),
            changes,
            request_id: claims.request_id.clone(),
        });
        self.inner.flusher.push(flush::Waiting { commit, acknowledge });
        Ok((answer, Durable::waiting(receiver)))
    }

    fn apply(&self, pending: std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Result<(), StoreError> {
        if let Some(tap) = self.inner.tap.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            tap.keep_old(&self.inner.tree, pending.keys())?;
        }
        let mut batch = sled::Batch::default();
        for (key, value) in pending {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        crash::point("before_apply");
        self.inner.tree.apply_batch(batch)?;
        crash::point("after_apply");
        Ok(())
    }
}
