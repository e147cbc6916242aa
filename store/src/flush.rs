//! Group commit: writers apply first and share one flush.
//!
//! The engine's own flush is `sync_file_range` on its log, which survives a killed process but not a power cut, and it
//! leaves large pages in files of their own that nobody synced. So before it acknowledges anybody the thread also syncs
//! those files ([`PageFiles`]) and calls `sync_data` on its own handle of the log.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

use crate::commit::Commit;
use crate::error::StoreError;
use crate::page_files::PageFiles;

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
    page_files_synced: AtomicU64,
}

/// What a flush makes durable.
pub(crate) struct Files {
    pub db: sled::Db,
    /// Our own handle of the engine's log.
    pub log: File,
    pub pages: PageFiles,
    pub high_water: HighWater,
}

/// The file of [`HighWater`] in the data folder.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";

/// The number of the last commit that was acknowledged, kept beside the tree to notice a lost tail at open.
pub(crate) struct HighWater {
    path: PathBuf,
    file: File,
}

impl HighWater {
    pub fn open(folder: &Path) -> Result<HighWater, StoreError> {
        let path = folder.join(ACKNOWLEDGED);
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
    pub fn start(mut files: Files, listener: Arc<std::sync::RwLock<Vec<Listener>>>) -> Flusher {
        let (sender, receiver) = unbounded();
        let state = Arc::new(State::default());
        let thread = std::thread::Builder::new().name("flush".into()).spawn({
            let state = state.clone();
            move || run(&mut files, &receiver, &listener, &state)
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

    /// Syncs of the engine's page files so far.
    pub fn page_files_synced(&self) -> u64 {
        self.state.page_files_synced.load(Ordering::Relaxed)
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
    files: &mut Files,
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
            flush(files, last).map_err(|error| error.to_string())
        };
        state.page_files_synced.store(files.pages.synced(), Ordering::Relaxed);
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

fn flush(files: &mut Files, last: u64) -> Result<(), StoreError> {
    crate::crash::point("before_flush");
    let Files { db, log, pages, high_water } = files;
    let io = |what: &'static str| move |source| StoreError::Io { path: what.into(), source };
    pages
        .sync_around(|| db.flush().map(|_| ()).map_err(std::io::Error::from))
        .map_err(io("the engine's log or its page files"))?;
    log.sync_data().map_err(io("the engine's log"))?;
    high_water.write(last).map_err(io("acknowledged"))?;
    crate::crash::point("after_flush");
    Ok(())
}
