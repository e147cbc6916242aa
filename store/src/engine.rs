//! The engine of a store, which can be closed and opened again under those who use it.
//!
//! After a failed write the engine refuses all writes until it is opened anew, and those reads for which it would have to
//! split or merge a page. So readers and writers take it from here each time, and the flush thread (`recover.rs`)
//! exchanges it once every reader has given it back.

use std::cell::{Cell, RefCell};
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::error::{StoreError, is_full};
use crate::free_space::FreeSpace;
use crate::options::{OpenOptions, Opened};
use crate::{keys, pairs};

/// How long a locked folder is waited for, and how often it is looked at.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_LOOK: Duration = Duration::from_millis(20);
/// How long a read waits for an engine that is being opened again.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// An open engine.
pub(crate) struct Live {
    pub db: sled::Db,
    /// What is kept.
    pub tree: pairs::Tree,
}

/// The engine's tree.
pub(crate) const ROWS: &str = "rows";

impl Live {
    /// Opens or creates the engine in `folder`.
    pub fn open(folder: &Path, options: &OpenOptions, opened: &mut Opened) -> Result<Live, StoreError> {
        let db = open_engine(folder, options, opened)?;
        let engine = db.open_tree(ROWS)?;
        refuse_other_layouts(&engine)?;
        let free_space = FreeSpace::new(folder, options.disk_reserve_bytes);
        let settings = pairs::Settings {
            folder: folder.to_path_buf(),
            memory_bytes: options.memory_bytes,
            cache_bytes: usize::try_from(options.cache_bytes / 2).unwrap_or(usize::MAX),
            key_kind: keys::LOOKED_UP,
            has_room: Box::new(move |bytes| free_space.is_left_after(bytes)),
            marks: keys::MARKS,
        };
        let begun = quietly(|| pairs::Tree::open(&db, &engine, settings));
        let (tree, remarks) = begun.unwrap_or_else(|| Err(unreadable(folder)))?;
        opened.remarks.extend(remarks);
        if options.accept_data_loss {
            tree.accept_loss();
        }
        if let Some(reason) = tree.lost() {
            return Err(StoreError::Open(reason));
        }
        Ok(Live { db, tree })
    }

    /// What the engine says of itself: after a failed write it accepts no other.
    pub fn state(&self) -> Result<(), sled::Error> {
        self.db.context.global_error()
    }

    /// Whether a write failed in a way that the engine did not notice: its flush and its end would wait for ever.
    pub fn is_stuck(&self) -> bool {
        self.tree.is_stuck()
    }
}

fn unreadable(folder: &Path) -> StoreError {
    StoreError::Open(format!(
        "the engine panicked while reading {}: a page is damaged. Restore a backup (`playhouse restore`), or write what \
         can be read into a new folder (`playhouse salvage`)",
        folder.display()
    ))
}

/// Refuses the pairs of a version that wrote keys differently.
fn refuse_other_layouts(engine: &sled::Tree) -> Result<(), StoreError> {
    if pairs::is_begun(engine)? || engine.get(keys::CATALOG)?.is_none() {
        return Ok(());
    }
    match engine.get(keys::LAYOUT)?.and_then(|bytes| bytes.first().copied()).unwrap_or(1) {
        // Its own without a list of runs is what is left of a beginning that failed.
        layout if layout == keys::LAYOUT_NUMBER || keys::EARLIER_LAYOUTS.contains(&layout) => Ok(()),
        layout => Err(other_layout(layout)),
    }
}

/// Why a store is refused.
pub(crate) fn other_layout(layout: u8) -> StoreError {
    StoreError::Open(format!(
        "the store has key layout {layout}, this version reads {}; use the version that wrote it",
        keys::LAYOUT_NUMBER
    ))
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

/// The engine alone.
pub(crate) fn open_engine(
    folder: &Path,
    options: &OpenOptions,
    opened: &mut Opened,
) -> Result<sled::Db, StoreError> {
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
    let slot = RefCell::new(Err(Refusal::Other("it panicked".to_string())));
    let outcome = quietly(|| {
        *slot.borrow_mut() = config.open().map_err(|error| match &error {
            sled::Error::Io(source) if is_full(source) => Refusal::Full(error.to_string()),
            _ if is_locked(&error.to_string()) => Refusal::Locked,
            _ => Refusal::Other(error.to_string()),
        });
    });
    match outcome {
        Some(()) => slot.into_inner(),
        None => Err(Refusal::Other("it panicked while reading its files".into())),
    }
}

/// Runs what makes the engine panic over damaged files; `None` if it did. That is an answer, and no news for the log.
fn quietly<T>(read: impl FnOnce() -> T) -> Option<T> {
    QUIET_PANICS.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !OPENING.get() {
                report(panic);
            }
        }));
    });
    OPENING.set(true);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(read));
    OPENING.set(false);
    outcome.ok()
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

#[cfg(test)]
mod tests {
    use models::{Claims, Value, schema};

    use super::*;
    use crate::{Caller, Store};

    fn open(folder: &Path, accept_data_loss: bool) -> Result<(Store, Opened), StoreError> {
        Store::open(folder, schema(), &OpenOptions { accept_data_loss, ..OpenOptions::default() })
    }

    fn keep(store: &Store, id: i64) {
        let claims = Claims::service();
        let table = schema().known("system_config");
        let ((), durable) = store
            .transact(&claims, |transaction| {
                let mut row = table.default_row();
                row[table.at("id")] = Value::Int(id);
                row[table.at("config")] = Value::json(&serde_json::json!({ "id": id }));
                transaction.insert(&Caller::new(&claims), table, row)?;
                Ok::<_, StoreError>(())
            })
            .expect("the row fits");
        durable.wait_blocking().expect("durable");
    }

    fn has(store: &Store, id: i64) -> bool {
        let table = schema().known("system_config");
        store.reads().get(table, &[Value::Int(id)]).expect("a read").is_some()
    }

    /// The engine's own pairs in the folder of a store that is closed.
    fn stored(folder: &Path, change: impl FnOnce(&sled::Tree)) -> Vec<(sled::IVec, sled::IVec)> {
        let folder = crate::core::tree_folder(folder);
        let db = open_engine(&folder, &OpenOptions::default(), &mut Opened::default()).expect("an engine");
        let tree = db.open_tree(ROWS).expect("a tree");
        change(&tree);
        db.flush().expect("a flush");
        tree.iter().map(|pair| pair.expect("a pair")).collect()
    }

    #[test]
    fn a_batch_lost_in_the_middle_is_refused_until_the_loss_is_accepted() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (store, _) = open(folder, false).expect("a store");
        (1..=4).for_each(|id| keep(&store, id));
        drop(store);
        let damaged = stored(folder, |tree| {
            // The last batches are those of the rows.
            let places: Vec<_> =
                tree.scan_prefix(b"\xff\xfdl").keys().map(|key| key.expect("a key")).collect();
            let batch = |place: &sled::IVec| place[..11].to_vec();
            let mut batches: Vec<_> = places.iter().map(batch).collect();
            batches.dedup();
            let lost = &batches[batches.len() - 3];
            places.iter().filter(|place| place.starts_with(lost)).for_each(|place| {
                tree.remove(place).expect("damage");
            });
        });
        let refused = open(folder, false).map(drop).expect_err("a batch is missing").to_string();
        assert!(refused.contains("--accept-data-loss") && refused.contains("missing"), "{refused}");
        assert_eq!(stored(folder, |_| {}), damaged, "the folder stays as it was");
        let (store, opened) = open(folder, true).expect("the loss is accepted");
        assert!(opened.remarks.iter().any(|remark| remark.contains("missing in the log")), "{opened:?}");
        assert_eq!([1, 2, 3, 4].map(|id| has(&store, id)), [true, false, true, true]);
        keep(&store, 5);
        drop(store);
        let (store, _) = open(folder, false).expect("once and for all");
        assert!(has(&store, 5) && !has(&store, 2));
    }

    #[test]
    fn a_folder_of_an_earlier_version_is_marked_once_it_is_accepted() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        let (store, _) = open(data, false).expect("a store");
        (1..=20).for_each(|id| keep(&store, id));
        let live = store.inner.core.engine.get().expect("an engine");
        let pairs: Vec<_> = live.tree.iter().map(|pair| pair.expect("a pair")).collect();
        drop((live, store));
        // As a version without runs wrote it.
        let before = stored(data, |tree| {
            tree.clear().expect("an empty tree");
            pairs.iter().for_each(|(key, value)| drop(tree.insert(key, value).expect("a write")));
            tree.insert(keys::LAYOUT, &[3]).expect("a write");
        });
        // It is refused: more was acknowledged than it has.
        let acknowledged = data.join(crate::flush::ACKNOWLEDGED);
        let number = std::fs::read(&acknowledged).expect("a number");
        std::fs::write(&acknowledged, 1000u64.to_be_bytes()).expect("a number");
        assert!(open(data, false).is_err());
        assert_eq!(stored(data, |_| {}), before, "the folder stays as it was");
        std::fs::write(&acknowledged, number).expect("a number");
        for _ in 0..2 {
            let (store, opened) = open(data, false).expect("a store");
            assert_eq!(opened.remarks, Vec::<String>::new());
            assert!((1..=20).all(|id| has(&store, id)));
            store.inner.core.engine.get().expect("an engine").tree.settle();
            let report = store.check().expect("a report");
            assert_eq!((report.faults, report.listed), (0, Vec::new()));
        }
        let layout = |pairs: &[(sled::IVec, sled::IVec)]| {
            pairs.iter().find(|(key, _)| key == keys::LAYOUT).map(|(_, value)| value.to_vec())
        };
        assert_eq!(layout(&stored(data, |_| {})), Some(vec![keys::LAYOUT_NUMBER]));
    }
}
