//! Group commit: writers apply first and share one flush.
//!
//! The engine's own flush is `sync_file_range`, which survives a killed process but not a power cut; so the thread
//! also calls `sync_data` on its own handle of the database file before it acknowledges anybody.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

use crate::commit::Commit;
use crate::error::StoreError;

/// Told of each commit once it is durable, in commit order.
pub type Listener = Box<dyn Fn(Arc<Commit>) + Send + Sync>;

/// A write that is applied and waits to be durable.
pub(crate) struct Waiting {
    pub commit: Arc<Commit>,
    pub acknowledge: oneshot::Sender<Result<(), String>>,
}

/// The thread that makes commits durable.
pub(crate) struct Flusher {
    sender: Option<Sender<Waiting>>,
    thread: Option<std::thread::JoinHandle<()>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    failed: AtomicBool,
    flushes: AtomicU64,
}

/// The number of the last commit that was acknowledged, kept beside the tree to notice a lost tail at open.
pub(crate) struct HighWater {
    path: PathBuf,
    file: File,
}

impl HighWater {
    pub fn open(folder: &Path) -> Result<HighWater, StoreError> {
        let path = folder.join("acknowledged");
        let file = File::options().create(true).read(true).write(true).truncate(false).open(&path);
        Ok(HighWater { file: file.map_err(StoreError::io(&path))?, path })
    }

    pub fn read(&self) -> Result<u64, StoreError> {
        let mut bytes = [0; 8];
        match self.file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(StoreError::io(&self.path)(error)),
            Ok(()) => Ok(u64::from_be_bytes(bytes)),
        }
    }

    /// Not synced: a killed process leaves it to the kernel, and after a power cut an older number only notices less.
    pub fn write(&self, number: u64) -> std::io::Result<()> {
        self.file.write_all_at(&number.to_be_bytes(), 0)
    }
}

impl Flusher {
    pub fn start(
        db: sled::Db,
        database_file: File,
        high_water: HighWater,
        listener: Arc<std::sync::RwLock<Vec<Listener>>>,
    ) -> Flusher {
        let (sender, receiver) = unbounded();
        let state = Arc::new(State::default());
        let thread = std::thread::Builder::new().name("flush".into()).spawn({
            let state = state.clone();
            move || run(&db, &database_file, &high_water, &receiver, &listener, &state)
        });
        Flusher { sender: Some(sender), thread: thread.ok(), state }
    }

    /// Queues a commit; called under the commit lock, so in commit order.
    pub fn push(&self, waiting: Waiting) {
        if let Some(sender) = &self.sender {
            // A closed channel drops `acknowledge`, which the waiter sees as an error.
            let _ = sender.send(waiting);
        }
    }

    /// Whether a flush has failed: nothing can be promised any more.
    pub fn failed(&self) -> bool {
        self.state.failed.load(Ordering::Acquire)
    }

    /// Refuses writes from now on, because one could not be applied.
    pub fn fail(&self, error: &StoreError) {
        if !self.state.failed.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "a commit failed in the engine; the store accepts no more writes");
        }
    }

    /// Flushes so far.
    pub fn flushes(&self) -> u64 {
        self.state.flushes.load(Ordering::Relaxed)
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    db: &sled::Db,
    database_file: &File,
    high_water: &HighWater,
    receiver: &Receiver<Waiting>,
    listeners: &std::sync::RwLock<Vec<Listener>>,
    state: &State,
) {
    while let Ok(first) = receiver.recv() {
        let mut group = vec![first];
        group.extend(receiver.try_iter());
        let result = if state.failed.load(Ordering::Acquire) {
            Err("an earlier flush failed".to_string())
        } else {
            let last = group.iter().map(|waiting| waiting.commit.number).max().unwrap_or(0);
            flush(db, database_file, high_water, last).map_err(|error| error.to_string())
        };
        state.flushes.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = &result
            && !state.failed.swap(true, Ordering::AcqRel)
        {
            tracing::error!(%error, "a flush failed; the store accepts no more writes");
        }
        if result.is_ok()
            && let Ok(listeners) = listeners.read()
        {
            for waiting in &group {
                listeners.iter().for_each(|listener| listener(waiting.commit.clone()));
            }
        }
        for waiting in group {
            let _ = waiting.acknowledge.send(result.clone());
        }
    }
}

fn flush(db: &sled::Db, database_file: &File, high_water: &HighWater, last: u64) -> Result<(), StoreError> {
    crate::crash::point("before_flush");
    db.flush()?;
    let io = |source| StoreError::Io { path: "database file".into(), source };
    database_file.sync_data().map_err(io)?;
    high_water.write(last).map_err(io)?;
    crate::crash::point("after_flush");
    Ok(())
}
