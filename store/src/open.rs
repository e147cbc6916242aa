//! Opening a data folder, guarded against what a crash leaves behind.

use std::cell::{Cell, RefCell};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, Once, OnceLock, RwLock};
use std::time::{Duration, Instant};

use models::Schema;

use crate::error::StoreError;
use crate::flush::{Flusher, HighWater};
use crate::room::Room;
use crate::{Inner, Store, blob, catalog, codec, encode, keys};

/// How long a locked folder is waited for, and how often it is looked at.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// How to open.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Bytes of pages that the engine keeps in memory.
    pub cache_bytes: u64,
    /// Open although acknowledged commits are missing.
    pub accept_data_loss: bool,
    /// Bytes of the disk that stay free; chosen by its size when absent.
    pub disk_reserve_bytes: Option<u64>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions { cache_bytes: 64 << 20, accept_data_loss: false, disk_reserve_bytes: None }
    }
}

/// What opening found and did, for the log.
#[derive(Debug, Default)]
pub struct Opened {
    /// Unusual things, in words.
    pub remarks: Vec<String>,
    /// Indexes that were filled.
    pub indexes_filled: usize,
}

impl Store {
    /// Whether `folder` holds a store.
    pub fn exists(folder: &Path) -> bool {
        folder.join("tree").is_dir()
    }

    /// Opens or creates the store in `folder`.
    pub fn open(
        folder: &Path,
        schema: &'static Schema,
        options: &OpenOptions,
    ) -> Result<(Store, Opened), StoreError> {
        let mut opened = Opened::default();
        private_folder(folder)?;
        let tree_folder = folder.join("tree");
        let db = open_engine(&tree_folder, options, &mut opened)?;
        let tree = db.open_tree("rows")?;
        check_layout(&tree)?;
        let numbered = catalog::number(&tree, schema)?;
        let room = Arc::new(Room::new(folder, options.disk_reserve_bytes));
        let blobs = blob::BlobStore::open(&folder.join("blobs"), room.clone())?;
        let last = match tree.get(keys::COUNTER)? {
            None => 0,
            Some(bytes) => u64::from_be_bytes(
                bytes.as_ref().try_into().map_err(|_| StoreError::Corrupt("the commit counter".into()))?,
            ),
        };
        let high_water = HighWater::open(folder)?;
        let acknowledged = high_water.read()?;
        if acknowledged > last {
            let missing = acknowledged - last;
            let report = format!(
                "{missing} acknowledged commits are missing: the store ends at {last}, but {acknowledged} was \
                 acknowledged. Restore a backup made after commit {last} (`playhouse restore`), or start with \
                 --accept-data-loss to go on without them"
            );
            if !options.accept_data_loss {
                return Err(StoreError::Open(report));
            }
            opened.remarks.push(report);
            high_water.write(last).map_err(StoreError::io(folder))?;
        }
        let database = tree_folder.join("db");
        let database_file =
            File::options().read(true).write(true).open(&database).map_err(StoreError::io(&database))?;
        let listeners = Arc::new(RwLock::new(Vec::new()));
        let inner = Inner {
            flusher: Flusher::start(db.clone(), database_file, high_water, listeners.clone()),
            tree,
            db,
            ids: numbered.tables,
            blobs,
            room,
            triggers: OnceLock::new(),
            folder: folder.to_path_buf(),
            listeners,
            last: Mutex::new(last),
            tap: Mutex::new(None),
        };
        let store = Store { inner: Arc::new(inner) };
        for (table, index) in &numbered.to_drop {
            store.drop_entries(*table, *index)?;
        }
        for (table, index) in &numbered.to_fill {
            store.fill_index(schema, *table, *index)?;
        }
        opened.indexes_filled = numbered.to_fill.len();
        if let Some(catalog) = numbered.changed {
            // Last: a crash before this line only means filling the same indexes again.
            store.inner.tree.insert(keys::CATALOG, catalog)?;
            store.inner.db.flush()?;
        }
        Ok((store, opened))
    }

    fn drop_entries(&self, table: u16, index: u16) -> Result<(), StoreError> {
        let prefix = keys::prefix(table, index);
        for key in self.inner.tree.scan_prefix(prefix).keys() {
            self.inner.tree.remove(key?)?;
        }
        Ok(())
    }

    fn fill_index(&self, schema: &Schema, table: usize, position: usize) -> Result<(), StoreError> {
        let info = &schema.tables[table];
        let ids = &self.inner.ids[table];
        let rows = keys::prefix(ids.id, 0);
        let mut batch = sled::Batch::default();
        for (count, pair) in self.inner.tree.scan_prefix(&rows).enumerate() {
            let (key, bytes) = pair?;
            let row = codec::decode(&bytes, info, ids, &self.inner.blobs)?;
            for fields in keys::index_fields(info, &info.indexes[position], &row) {
                let primary_key = &key[rows.len()..];
                batch.insert(
                    keys::index_entry(ids, position, &fields, primary_key),
                    keys::index_value(primary_key),
                );
            }
            if count % 1000 == 999 {
                self.inner.tree.apply_batch(std::mem::take(&mut batch))?;
            }
        }
        Ok(self.inner.tree.apply_batch(batch)?)
    }
}

/// Makes a folder that only its owner may look into, unless it is there.
pub fn private_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(StoreError::io(folder))
}

/// Notes the key layout in a new store, and refuses one whose keys were written differently.
fn check_layout(tree: &sled::Tree) -> Result<(), StoreError> {
    if tree.get(keys::CATALOG)?.is_none() {
        tree.insert(keys::LAYOUT, &[keys::LAYOUT_NUMBER])?;
        return Ok(());
    }
    let layout = tree.get(keys::LAYOUT)?.and_then(|bytes| bytes.first().copied()).unwrap_or(1);
    if layout == keys::LAYOUT_NUMBER {
        return Ok(());
    }
    Err(StoreError::Open(format!(
        "the store has key layout {layout}, this version reads {}; use the version that wrote it",
        keys::LAYOUT_NUMBER
    )))
}

fn open_engine(folder: &Path, options: &OpenOptions, opened: &mut Opened) -> Result<sled::Db, StoreError> {
    set_aside(folder, &|name| name.starts_with("snap.") && name.ends_with(".generating"), opened)?;
    let started = Instant::now();
    let mut result = try_open(folder, options);
    // A process that just ended, or the engine's own threads after a close, hold the lock for a moment longer.
    while result.as_ref().is_err_and(|reason| is_locked(reason)) && started.elapsed() < LOCK_PATIENCE {
        std::thread::sleep(LOCK_LOOK);
        result = try_open(folder, options);
    }
    match result {
        Ok(db) => Ok(db),
        Err(first) if is_locked(&first) => Err(StoreError::Open(format!(
            "another process has {} open; stop it first, or talk to it instead",
            folder.display()
        ))),
        Err(first) => {
            // The log is the truth and a snapshot only a short cut: without it the engine reads the log again.
            let copy = folder.with_extension("damaged");
            copy_folder(folder, &copy)?;
            opened
                .remarks
                .push(format!("the engine could not open ({first}); a copy lies in {}", copy.display()));
            set_aside(folder, &|name| name.starts_with("snap."), opened)?;
            try_open(folder, options).map_err(|second| {
                StoreError::Open(format!(
                    "the engine cannot open {}: {first}; without its snapshot: {second}. Restore the newest backup \
                     with `playhouse restore`",
                    folder.display()
                ))
            })
        }
    }
}

static QUIET_PANICS: Once = Once::new();

thread_local! {
    /// Whether this thread is inside the engine's `open`.
    static OPENING: Cell<bool> = const { Cell::new(false) };
}

fn is_locked(reason: &str) -> bool {
    reason.contains("lock") || reason.contains("WouldBlock")
}

fn try_open(folder: &Path, options: &OpenOptions) -> Result<sled::Db, String> {
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
    let slot = RefCell::new(Err("it panicked".to_string()));
    OPENING.set(true);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        *slot.borrow_mut() = config.open().map_err(|error| error.to_string());
    }));
    OPENING.set(false);
    let result = slot.into_inner();
    match outcome {
        Ok(()) => result,
        Err(_) => Err("it panicked while reading its files".into()),
    }
}

fn set_aside(folder: &Path, which: &dyn Fn(&str) -> bool, opened: &mut Opened) -> Result<(), StoreError> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().to_string();
        if which(&name) {
            let aside = folder.join(format!("aside.{name}.{}", chrono::Utc::now().timestamp_micros()));
            fs::rename(entry.path(), &aside).map_err(StoreError::io(&aside))?;
            opened.remarks.push(format!("set {name} aside, left by a crash"));
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(StoreError::io(to))?;
    for entry in fs::read_dir(from).map_err(StoreError::io(from))?.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).map_err(StoreError::io(&target))?;
        }
    }
    Ok(())
}

/// The end of everything that begins with a prefix, for scans that have one.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    encode::after_prefix(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_with_other_keys_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = OpenOptions::default();
        let (store, _) = Store::open(folder.path(), models::schema(), &options).expect("a new store");
        assert!(check_layout(&store.inner.tree).is_ok());
        store.inner.tree.insert(keys::LAYOUT, &[1]).expect("a write");
        let refused = check_layout(&store.inner.tree);
        assert!(matches!(refused, Err(StoreError::Open(reason)) if reason.contains("key layout 1")));
    }
}
