//! What transactions, the flush thread and backups share: the engine, the commit lock and how writing fares.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ahead::Ahead;
use crate::catalog::TableIds;
use crate::counts::Counts;
use crate::digest::{self, Digest};
use crate::engine::{Engine, Live, opening_bytes};
use crate::error::StoreError;
pub(crate) use crate::failure::Failure;
use crate::free_space::FreeSpace;
use crate::keys;
use crate::options::OpenOptions;
use crate::reserve::{Ballast, LogSpace, PAGES_BYTES};
use crate::snapshot::Taps;
use crate::tally::Tally;

/// What the last commit left; held while a transaction decides, so that what it reads stays true.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The commit's number.
    pub number: u64,
    /// How many rows each table has, and which, by its position in the schema.
    pub digests: Vec<Digest>,
}

impl Head {
    /// What the last commit left.
    pub fn read(tree: &sled::Tree, ids: &[TableIds]) -> Result<Head, StoreError> {
        let digests = digest::read(tree, ids)?.unwrap_or_default();
        Ok(Head { number: Head::number_in(tree)?, digests })
    }

    /// The number of the last commit.
    pub fn number_in(tree: &sled::Tree) -> Result<u64, StoreError> {
        let Some(bytes) = tree.get(keys::COUNTER)? else { return Ok(0) };
        let bytes =
            bytes.as_ref().try_into().map_err(|_| StoreError::Corrupt("the commit counter".into()))?;
        Ok(u64::from_be_bytes(bytes))
    }
}

/// See the module.
pub(crate) struct Core {
    pub engine: Engine,
    pub head: Mutex<Head>,
    /// Commits that the engine has not taken yet.
    pub ahead: Ahead,
    /// The number of the last commit, for those who only want to say it.
    pub commits: AtomicU64,
    /// Those who read the store as it was at one moment.
    pub taps: Mutex<Taps>,
    pub ids: Arc<Vec<TableIds>>,
    pub free_space: Arc<FreeSpace>,
    pub log: LogSpace,
    pub ballast: Ballast,
    pub data: PathBuf,
    pub options: OpenOptions,
    /// How much is kept.
    pub tally: Tally,
    /// How many entries ranges of indexes have.
    pub counts: Counts,
    /// Held while the store is compacted.
    pub compacting: Mutex<()>,
    failure: Mutex<Option<Failure>>,
}

impl Core {
    pub fn new(
        data: &Path,
        options: &OpenOptions,
        free_space: Arc<FreeSpace>,
        ids: Arc<Vec<TableIds>>,
        live: Arc<Live>,
        head: Head,
    ) -> Result<Core, StoreError> {
        let core = Core {
            engine: Engine::new(live),
            commits: AtomicU64::new(head.number),
            head: Mutex::new(head),
            ahead: Ahead::default(),
            taps: Mutex::default(),
            ids,
            free_space,
            log: LogSpace::open(&tree_folder(data).join("db"))?,
            ballast: Ballast::new(data),
            data: data.to_path_buf(),
            options: options.clone(),
            tally: Tally::default(),
            counts: Counts::new(),
            compacting: Mutex::default(),
            failure: Mutex::default(),
        };
        Ok(core)
    }

    /// Takes ballast for opening the engine on a full disk, or for deleting rows there.
    pub fn keep_ballast(&self) {
        self.ballast.keep(opening_bytes(&tree_folder(&self.data)) + PAGES_BYTES, &self.free_space);
    }

    /// About how many rows and index entries there are: not every row has one entry in each index. Waits for no decision.
    pub fn pairs_expected(&self) -> Result<Option<u64>, StoreError> {
        let entries = |ids: &TableIds| (ids.indexes.len() - ids.unfilled.len()) as u64;
        let digests = digest::read(&self.engine.get()?.tree, &self.ids)?;
        let pairs = |(ids, digest): (&TableIds, &Digest)| digest.rows.saturating_mul(1 + entries(ids));
        Ok(digests.map(|digests| self.ids.iter().zip(&digests).map(pairs).sum()))
    }

    /// The commit lock.
    pub fn lock(&self) -> MutexGuard<'_, Head> {
        // A panic in a decision leaves the head as it was, and its overlay is dropped with it.
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn taps(&self) -> MutexGuard<'_, Taps> {
        self.taps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is written, if so.
    pub fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends all writes. The first reason stays.
    pub fn fail(&self, failure: Failure) {
        let mut slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let until =
                if failure.may_recover { "until there is room" } else { "until the server starts again" };
            tracing::error!(
                reason = failure.reason,
                "a write failed; the store accepts no more writes {until}"
            );
            *slot = Some(failure);
        }
    }

    /// Asks the engine how it fares: a read may have found it failing.
    pub fn look_at(&self, live: &Live) {
        let error = match live.state() {
            Err(error) => error.into(),
            Ok(()) if live.is_stuck() => StoreError::ReadOnly("the engine could not write a page".into()),
            Ok(()) => return,
        };
        self.fail(Failure::of_engine(live, &error));
    }

    /// Goes on with an engine that was opened again, as its last commit left it. Called under the commit lock.
    pub fn resume(&self, live: Arc<Live>, head: &mut MutexGuard<'_, Head>, new: Head) {
        self.commits.store(new.number, Ordering::Relaxed);
        **head = new;
        self.counts.forget();
        self.engine.put(live);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Where the engine lies in a data folder.
pub(crate) fn tree_folder(data: &Path) -> PathBuf {
    data.join("tree")
}
