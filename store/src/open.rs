//! Opening a data folder, guarded against what a crash leaves behind.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Once, OnceLock, RwLock};
use std::time::{Duration, Instant};

use models::Schema;

use crate::error::StoreError;
use crate::flush::{Files, Flusher, HighWater};
use crate::free_space::FreeSpace;
use crate::page_files::PageFiles;
use crate::{Inner, Store, blob, catalog, codec, encode, folder, keys};

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
    /// Whether a data folder holds a store.
    pub fn exists(data: &Path) -> bool {
        data.join("tree").is_dir()
    }

    /// Opens or creates the store in the folder `data`.
    pub fn open(
        data: &Path,
        schema: &'static Schema,
        options: &OpenOptions,
    ) -> Result<(Store, Opened), StoreError> {
        let mut opened = Opened::default();
        folder::create_private(data)?;
        let tree_folder = data.join("tree");
        let db = open_engine(&tree_folder, options, &mut opened)?;
        let tree = db.open_tree("rows")?;
        check_layout(&tree)?;
        let numbered = catalog::number(&tree, schema)?;
        let free_space = Arc::new(FreeSpace::new(data, options.disk_reserve_bytes));
        let blobs = blob::BlobStore::open(&data.join("blobs"), free_space.clone())?;
        let last = match tree.get(keys::COUNTER)? {
            None => 0,
            Some(bytes) => u64::from_be_bytes(
                bytes.as_ref().try_into().map_err(|_| StoreError::Corrupt("the commit counter".into()))?,
            ),
        };
        let high_water = HighWater::open(data)?;
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
            high_water.write(last).map_err(StoreError::io(data))?;
        }
        let log = tree_folder.join("db");
        let files = Files {
            db: db.clone(),
            log: File::options().read(true).write(true).open(&log).map_err(StoreError::io(&log))?,
            pages: PageFiles::open(&tree_folder).map_err(StoreError::io(&tree_folder))?,
            high_water,
        };
        let listeners = Arc::new(RwLock::new(Vec::new()));
        let inner = Inner {
            flusher: Flusher::start(files, listeners.clone()),
            tree,
            db,
            ids: numbered.tables,
            blobs,
            free_space,
            triggers: OnceLock::new(),
            folder: data.to_path_buf(),
            listeners,
            last: Mutex::new(last),
            commits: AtomicU64::new(last),
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
    use models::Value;

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

    /// A row of `user_library` with this JSON.
    fn keep(store: &Store, id: u128, document: &str) {
        let claims = models::Claims::service();
        let (_, durable) = store
            .transact(&claims, |transaction| {
                let insert = |table: &str, values: &[(&str, Value)]| {
                    let table = models::schema().known(table);
                    let mut row = table.default_row();
                    values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
                    transaction.insert(&crate::Caller::new(&claims), table, row)
                };
                let uuid = |number| Value::Uuid(uuid::Uuid::from_u128(number));
                insert("auth.users", &[("id", uuid(id))])?;
                insert(
                    "user_library",
                    &[
                        ("id", uuid(id)),
                        ("user_id", uuid(id)),
                        ("asset_type", Value::text("image")),
                        ("storage_path", Value::text("")),
                        ("file_size_bytes", Value::Int(0)),
                        ("mime_type", Value::text("")),
                        ("original_prompt", Value::text("")),
                        ("model_used", Value::text("")),
                        ("content_category", Value::text("roleplay_scene")),
                        ("roleplay_metadata", Value::Json(document.into())),
                    ],
                )?;
                Ok::<_, StoreError>(())
            })
            .expect("the rows fit");
        durable.wait_blocking().expect("durable");
    }

    /// Rows whose JSON holds this member, by the index on elements.
    fn containing(store: &Store, part: &str) -> usize {
        let table = models::schema().known("user_library");
        let [element] = &keys::elements(&Value::Json(part.into()))[..] else { panic!("one member") };
        store.reads().entries(table, by_element(), element).count()
    }

    fn by_element() -> usize {
        let is_it =
            |index: &models::schema::IndexInfo| index.names[0] == "idx_user_library_roleplay_metadata";
        models::schema().known("user_library").indexes.iter().position(is_it).expect("the index")
    }

    #[test]
    fn numbers_in_json_are_indexed_by_value_also_in_a_store_that_had_them_by_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Store::open(folder.path(), models::schema(), &OpenOptions::default()).expect("a store");
        let (store, _) = open();
        for (id, document) in
            [r#"{"a": 1}"#, r#"{"a": 1.0, "b": -0.0}"#, r#"{"a": 1e0}"#, r#"{"a": "1"}"#].iter().enumerate()
        {
            keep(&store, id as u128 + 1, document);
        }
        let found = |store: &Store| {
            ["1", "1.0", "10e-1", "\"1\"", "2"].map(|it| containing(store, &format!(r#"{{"a": {it}}}"#)))
        };
        assert_eq!((found(&store), containing(&store, r#"{"b": 0}"#)), ([3, 3, 3, 1, 0], 1));
        // The same index, noted as it was before, has none of these entries.
        let table = models::schema().known("user_library");
        let ids = &store.inner.ids[table.id];
        store.drop_entries(ids.id, ids.indexes[by_element()]).expect("no entries");
        let catalog = store.inner.tree.get(keys::CATALOG).expect("a read").expect("a catalog");
        let older = String::from_utf8_lossy(&catalog).replace(" numbers by value", "");
        store.inner.tree.insert(keys::CATALOG, older.as_bytes()).expect("a write");
        drop(store);
        let (store, opened) = open();
        assert!(opened.indexes_filled > 0);
        assert_eq!(found(&store), [3, 3, 3, 1, 0]);
        assert_eq!(store.check().expect("a report").faults, 0);
    }
}
