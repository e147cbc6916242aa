//! Group commit: writers gather (`ahead.rs`) and share one flush.
//!
//! The engine's own flush is `sync_file_range` on its log, which survives a killed process but not a power cut, and it
//! leaves large pages in files of their own without a sync. So before it acknowledges a commit the thread also syncs
//! those files ([`PageFiles`]) and calls `sync_data` on its own handle of the log.
//!
//! A write that fails ends all writes. When it failed for want of room the thread opens the engine again as it is on disk
//! (`recover.rs`); otherwise until the process starts anew, because what is on disk is not known.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::ahead::Waiting;
use crate::commit::Commit;
use crate::core::{Core, Failure};
use crate::engine::Live;
use crate::error::StoreError;
use crate::exchange::{Exchange, exchange};
use crate::page_files::PageFiles;
use crate::recover::recover;
use crate::times::{Spread, Times};

/// How often the thread looks whether a failed engine can be opened again, and whether one that rests is well.
const RETRY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(5);
/// How long an engine that was just opened again stays closed to writes when it fails once more: opening reads its log.
const REST: Duration = Duration::from_secs(5);

/// Called with each commit once it is durable, in commit order.
pub type Listener = Box<dyn Fn(Arc<Commit>) + Send + Sync>;

/// What the thread is woken for.
enum Work {
    /// Commits wait (`ahead.rs`).
    Commit,
    /// A new engine takes the place of the old one.
    Exchange(Box<Exchange>),
    /// Something failed, or may work again.
    Look,
}

/// The thread that makes commits durable.
pub(crate) struct Flusher {
    sender: Option<Sender<Work>>,
    thread: Option<std::thread::JoinHandle<()>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    flushes: AtomicU64,
    flushing: Times,
    page_files_synced: AtomicU64,
}

/// What a flush makes durable.
pub(crate) struct Files {
    /// Absent while the engine is closed.
    pub engine: Option<(Arc<Live>, PageFiles)>,
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
        let file = file.map_err(StoreError::io(&path))?;
        let high_water = HighWater { file, path };
        // Takes its place on the disk now, so that no later write needs one.
        high_water.write(high_water.read()?).map_err(StoreError::io(&high_water.path))?;
        Ok(high_water)
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
    pub fn start(core: Arc<Core>, mut files: Files, listeners: Arc<RwLock<Vec<Listener>>>) -> Flusher {
        let (sender, receiver) = unbounded();
        let state = Arc::new(State::default());
        let thread = std::thread::Builder::new().name("flush".into()).spawn({
            let state = state.clone();
            move || run(&core, &mut files, &receiver, &listeners, &state)
        });
        Flusher { sender: Some(sender), thread: thread.ok(), state }
    }

    /// Wakes the thread for the first commit that waits.
    pub fn wake(&self) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(Work::Commit);
        }
    }

    /// Wakes the thread to look after a failure.
    pub fn look(&self) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(Work::Look);
        }
    }

    /// Lets a new engine take the place of the old one, between two flushes.
    pub fn exchange(&self, exchange: Exchange) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(Work::Exchange(Box::new(exchange)));
        }
    }

    /// Flushes so far.
    pub fn flushes(&self) -> u64 {
        self.state.flushes.load(Ordering::Relaxed)
    }

    /// How long each took.
    pub fn flushing(&self) -> Spread {
        self.state.flushing.spread()
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
    core: &Core,
    files: &mut Files,
    receiver: &Receiver<Work>,
    listeners: &RwLock<Vec<Listener>>,
    state: &State,
) {
    let mut rests_until = Instant::now();
    loop {
        let is_troubled = core.failure().is_some() || core.log.is_short();
        let first = match receiver.recv_timeout(if is_troubled { RETRY } else { LOOK }) {
            Ok(work) => Some(work),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let is_idle = first.is_none();
        let mut new = None;
        for work in first.into_iter().chain(receiver.try_iter()) {
            if let Work::Exchange(exchange) = work {
                new = Some(exchange);
            }
        }
        // After the channel: a wake that comes later has something to show.
        let (group, keys) = core.apply_and_take();
        if let Some((live, _)) = &files.engine {
            core.look_at(live);
        }
        if is_idle && !is_troubled {
            core.keep_ballast();
        }
        if !group.is_empty() {
            flush_group(core, files, group, &keys, listeners, state);
        }
        if let Some(new) = new {
            exchange(core, files, *new);
        }
        if core.failure().is_some_and(|failure| failure.may_recover) && Instant::now() >= rests_until {
            recover(core, files);
            if core.failure().is_none() {
                rests_until = Instant::now() + REST;
            }
        }
        core.log.flushed();
    }
}

fn flush_group(
    core: &Core,
    files: &mut Files,
    group: Vec<Waiting>,
    keys: &[sled::IVec],
    listeners: &RwLock<Vec<Listener>>,
    state: &State,
) {
    let last = group.iter().map(|waiting| waiting.commit.number).max().unwrap_or(0);
    let started = Instant::now();
    let result = match core.failure() {
        Some(failure) => Err(failure),
        None => flush(core, files, keys, last),
    };
    state.flushing.add(started.elapsed());
    if let Some((_, pages)) = &files.engine {
        state.page_files_synced.store(pages.synced(), Ordering::Relaxed);
    }
    state.flushes.fetch_add(1, Ordering::Relaxed);
    match &result {
        Err(failure) => core.fail(failure.clone()),
        Ok(()) => {
            let listeners = listeners.read().unwrap_or_else(PoisonError::into_inner);
            for waiting in &group {
                listeners.iter().for_each(|listener| listener(waiting.commit.clone()));
            }
        }
    }
    for waiting in group {
        let _ = waiting.acknowledge.send(result.clone());
    }
}

fn flush(core: &Core, files: &mut Files, keys: &[sled::IVec], last: u64) -> Result<(), Failure> {
    crate::crash::point("before_flush");
    let Files { engine: Some((live, pages)), high_water } = files else {
        return Err(Failure { is_full: false, may_recover: true, reason: "the engine is closed".into() });
    };
    let lost = |what: &'static str| move |error: std::io::Error| Failure::of_file(what, &error);
    live.settle(keys).map_err(|error| Failure::of_engine(live, &error))?;
    let mut flushed = Ok(());
    let synced = pages.sync_around(|| {
        flushed = live.db.flush().map(|_| ());
        if flushed.is_ok() { Ok(()) } else { Err(std::io::Error::other("the engine did not flush")) }
    });
    flushed.map_err(|error| Failure::of_engine(live, &error.into()))?;
    synced.map_err(lost("the engine's page files"))?;
    core.log.file().sync_data().map_err(lost("the engine's log"))?;
    high_water.write(last).map_err(lost(ACKNOWLEDGED))?;
    crate::crash::point("after_flush");
    Ok(())
}
