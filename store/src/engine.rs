//! The engine of a store, which can be closed and opened again under those who use it.
//!
//! After a failed write the engine refuses all writes until it is opened anew, and those reads for which it would have to
//! split or merge a page. So readers and writers take it from here each time, and the flush thread (`recover.rs`)
//! exchanges it once every reader has given it back.

use std::cell::{Cell, RefCell};
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::error::{StoreError, is_full};
use crate::options::{OpenOptions, Opened};

/// How long a locked folder is waited for, and how often it is looked at.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_LOOK: Duration = Duration::from_millis(20);
/// How long a read waits for an engine that is being opened again.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// An open engine.
pub(crate) struct Live {
    pub db: sled::Db,
    pub tree: sled::Tree,
    is_stuck: AtomicBool,
}

impl Live {
    /// Opens or creates the engine in `folder`.
    pub fn open(folder: &Path, options: &OpenOptions, opened: &mut Opened) -> Result<Live, StoreError> {
        let db = open_engine(folder, options, opened)?;
        let tree = db.open_tree("rows")?;
        Ok(Live { db, tree, is_stuck: AtomicBool::new(false) })
    }

    /// What the engine says of itself: after a failed write it accepts no other.
    pub fn state(&self) -> Result<(), sled::Error> {
        self.db.context.global_error()
    }

    /// Whether a write failed in a way that the engine did not notice: its flush and its end would wait for ever.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Acquire)
    }

    /// Takes note of an error on the way to its caller.
    ///
    /// A page that the engine could not write to a file of its own stays reserved in its log, and nothing else learns
    /// of it. Then the engine must neither be flushed nor dropped.
    pub fn noted(&self, error: sled::Error) -> StoreError {
        let found_no_room = matches!(&error, sled::Error::Io(source) if is_full(source));
        if found_no_room && self.state().is_ok() && !self.is_stuck.swap(true, Ordering::AcqRel) {
            std::mem::forget(self.db.clone());
        }
        error.into()
    }

    /// Lets the engine end what it puts off until a page is visited again: splitting and merging pages, which it would
    /// else do, and write, for the next reader.
    pub fn settle(&self, keys: &[sled::IVec]) -> Result<(), StoreError> {
        for key in keys {
            self.tree.contains_key(key).map_err(|error| self.noted(error))?;
        }
        Ok(())
    }
}

/// Where the engine is found while it is open.
#[derive(Default)]
pub(crate) struct Engine {
    live: RwLock<Option<Arc<Live>>>,
    /// Since when it is closed.
    closed: Mutex<Option<Instant>>,
    opened: Condvar,
}

impl Engine {
    pub fn new(live: Arc<Live>) -> Engine {
        Engine { live: RwLock::new(Some(live)), ..Engine::default() }
    }

    /// The engine if it is open.
    pub fn now(&self) -> Option<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The engine; for one that is being opened again a short wait.
    pub fn live(&self) -> Option<Arc<Live>> {
        if let Some(live) = self.now() {
            return Some(live);
        }
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(live) = self.now() {
                return Some(live);
            }
            let left = closed.map_or(READ_PATIENCE, |since| READ_PATIENCE.saturating_sub(since.elapsed()));
            if left.is_zero() {
                return None;
            }
            closed = self.opened.wait_timeout(closed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The engine, or the error for those who cannot do without.
    pub fn get(&self) -> Result<Arc<Live>, StoreError> {
        self.live().ok_or(StoreError::Closed)
    }

    /// Takes the engine away from readers and writers; false, and nothing changes, if one still reads after `patience`.
    pub fn close(&self, patience: Duration) -> bool {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let Some(mut live) = self.live.write().unwrap_or_else(PoisonError::into_inner).take() else {
            return true;
        };
        let started = Instant::now();
        loop {
            match Arc::try_unwrap(live) {
                Ok(live) => {
                    drop(live);
                    return true;
                }
                Err(held) => live = held,
            }
            if started.elapsed() > patience {
                self.put(live);
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Gives readers and writers an engine.
    pub fn put(&self, live: Arc<Live>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live);
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.opened.notify_all();
    }
}

thread_local! {
    /// This thread is opening the engine, which panics over damaged files.
    static OPENING: Cell<bool> = const { Cell::new(false) };
}
static QUIET_PANICS: Once = Once::new();

/// Why an engine did not open.
#[derive(Debug)]
enum Refusal {
    Locked,
    Full(String),
    Other(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Locked => write!(formatter, "it is locked"),
            Refusal::Full(reason) | Refusal::Other(reason) => write!(formatter, "{reason}"),
        }
    }
}

fn open_engine(folder: &Path, options: &OpenOptions, opened: &mut Opened) -> Result<sled::Db, StoreError> {
    remove_unfinished(folder, opened)?;
    let started = Instant::now();
    let mut result = try_open(folder, options);
    // A process that just ended, or the engine's own threads after a close, hold the lock for a moment longer.
    while matches!(result, Err(Refusal::Locked)) && started.elapsed() < LOCK_PATIENCE {
        std::thread::sleep(LOCK_LOOK);
        result = try_open(folder, options);
    }
    if matches!(result, Err(Refusal::Other(_))) && set_aside_damaged_snapshots(folder, opened)? {
        // The log is the truth and a snapshot only a short cut: without it the engine reads the log again.
        result = try_open(folder, options);
    }
    let refusal = match result {
        Ok(db) => return Ok(db),
        Err(refusal) => refusal,
    };
    let at = folder.display();
    match refusal {
        Refusal::Locked => Err(in_use(folder)),
        Refusal::Full(reason) => {
            remove_unfinished(folder, opened)?;
            let bytes = opening_bytes(folder);
            Err(StoreError::Open(format!(
                "the disk of {at} is full ({reason}): opening the store writes up to {bytes} bytes; make so much room \
                 and start again, nothing is lost"
            )))
        }
        Refusal::Other(reason) if !options.salvage => Err(StoreError::Open(format!(
            "the engine cannot open {at}: {reason}. Restore a backup (`playhouse restore`), write what can be read \
             into a new folder (`playhouse salvage`), or start with --salvage to keep a copy of the folder and open \
             it without its snapshot"
        ))),
        Refusal::Other(reason) => open_without_snapshot(folder, options, opened, &reason),
    }
}

/// Keeps a copy and lets the engine read its log from the beginning; that may change its files.
fn open_without_snapshot(
    folder: &Path,
    options: &OpenOptions,
    opened: &mut Opened,
    reason: &str,
) -> Result<sled::Db, StoreError> {
    let copy = folder.with_extension("damaged");
    if let Err(error) = copy_folder(folder, &copy) {
        // Half a copy helps with nothing and takes the room that opening needs.
        let _ = fs::remove_dir_all(&copy);
        return Err(error);
    }
    opened.remarks.push(format!("the engine could not open ({reason}); a copy lies in {}", copy.display()));
    set_aside(folder, &|name| name.starts_with("snap."), opened)?;
    try_open(folder, options).map_err(|second| {
        StoreError::Open(format!(
            "the engine cannot open {}: {second}. A copy of the folder lies in {}; write what can be read into a new \
             folder with `playhouse salvage`",
            folder.display(),
            copy.display()
        ))
    })
}

/// The log of an engine that no process has open, locked against engines. An engine that was dropped is waited for: its own
/// threads hold its files for a moment longer, and may still write.
pub(crate) fn closed_log(folder: &Path) -> Result<fs::File, StoreError> {
    let path = folder.join("db");
    let log = fs::File::open(&path).map_err(StoreError::io(&path))?;
    let started = Instant::now();
    loop {
        match log.try_lock_shared() {
            Ok(()) => return Ok(log),
            Err(fs::TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_LOOK);
            }
            Err(fs::TryLockError::WouldBlock) => return Err(in_use(folder)),
            Err(fs::TryLockError::Error(error)) => return Err(StoreError::io(&path)(error)),
        }
    }
}

fn in_use(folder: &Path) -> StoreError {
    let at = folder.display();
    StoreError::Open(format!("another process has {at} open; stop it first, or talk to it instead"))
}

/// What opening the engine may write: the end of its last segment and a new snapshot beside the last one.
pub(crate) fn opening_bytes(folder: &Path) -> u64 {
    let sizes = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let is_snapshot = entry.file_name().to_string_lossy().starts_with("snap.");
        is_snapshot.then(|| entry.metadata().map_or(0, |metadata| metadata.len()))
    });
    (1 << 20) + 2 * sizes.max().unwrap_or(0)
}

fn try_open(folder: &Path, options: &OpenOptions) -> Result<sled::Db, Refusal> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput);
    // Damaged files make the engine panic. That is an answer here, and no news for the log.
    QUIET_PANICS.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !OPENING.get() {
                report(panic);
            }
        }));
    });
    let slot = RefCell::new(Err(Refusal::Other("it panicked".to_string())));
    OPENING.set(true);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        *slot.borrow_mut() = config.open().map_err(|error| match &error {
            sled::Error::Io(source) if is_full(source) => Refusal::Full(error.to_string()),
            _ if is_locked(&error.to_string()) => Refusal::Locked,
            _ => Refusal::Other(error.to_string()),
        });
    }));
    OPENING.set(false);
    match outcome {
        Ok(()) => slot.into_inner(),
        Err(_) => Err(Refusal::Other("it panicked while reading its files".into())),
    }
}

fn is_locked(reason: &str) -> bool {
    reason.contains("lock") || reason.contains("WouldBlock")
}

/// Removes what a crash or a full disk left of a snapshot; nothing refers to it yet.
fn remove_unfinished(folder: &Path, opened: &mut Opened) -> Result<(), StoreError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().to_string();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path()).map_err(StoreError::io(&entry.path()))?;
            opened.remarks.push(format!("removed {name}, an unfinished snapshot"));
        }
    }
    Ok(())
}

/// Renames snapshots whose checksum does not fit, so that the engine does without; says whether there were any.
fn set_aside_damaged_snapshots(folder: &Path, opened: &mut Opened) -> Result<bool, StoreError> {
    let before = opened.remarks.len();
    let is_damaged = |name: &str| {
        name.starts_with("snap.") && fs::read(folder.join(name)).is_ok_and(|bytes| !is_whole_snapshot(&bytes))
    };
    set_aside(folder, &is_damaged, opened)?;
    Ok(opened.remarks.len() > before)
}

/// The engine ends a snapshot with its length, 8 bytes, and the CRC-32 of what stands before them.
fn is_whole_snapshot(bytes: &[u8]) -> bool {
    let Some((rest, checksum)) = bytes.split_last_chunk::<4>() else { return false };
    let Some((body, _)) = rest.split_last_chunk::<8>() else { return false };
    !body.is_empty() && crc32fast::hash(body) == u32::from_le_bytes(*checksum)
}

fn set_aside(folder: &Path, which: &dyn Fn(&str) -> bool, opened: &mut Opened) -> Result<(), StoreError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().to_string();
        if which(&name) {
            let aside = folder.join(format!("aside.{name}.{}", chrono::Utc::now().timestamp_micros()));
            fs::rename(entry.path(), &aside).map_err(StoreError::io(&aside))?;
            opened.remarks.push(format!("set {name} aside, which is damaged or not to be used"));
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(StoreError::io(to))?;
    for entry in fs::read_dir(from).map_err(StoreError::io(from))? {
        let entry = entry.map_err(StoreError::io(from))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(StoreError::io(&target))?;
        }
    }
    Ok(())
}
