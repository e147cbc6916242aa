//! Opening a data folder, guarded against what a crash leaves behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use models::{Row, Schema, TableInfo};

use crate::catalog::TableIds;
use crate::codec::StoredRow;
use crate::core::{Core, Head, tree_folder};
use crate::engine::{Live, opening_bytes};
use crate::error::StoreError;
use crate::flush::{Files, Flusher, HighWater};
use crate::free_space::FreeSpace;
use crate::log_tail::LogTail;
use crate::options::{OpenOptions, Opened};
use crate::page_files::PageFiles;
use crate::reserve::Ballast;
use crate::row_texts::RowTexts;
use crate::{Inner, Store, blob, catalog, digest, encode, exchange, folder, keys};

/// Memory for the JSON of rows that are asked for often: an eighth of the engine's cache, and no more than this.
const TEXTS_BYTES_MAX: usize = 32 << 20;

impl Store {
    /// Whether a data folder holds a store.
    pub fn exists(data: &Path) -> bool {
        exchange::holds_store(data)
    }

    /// Opens or creates the store in the folder `data`.
    pub fn open(
        data: &Path,
        schema: &'static Schema,
        options: &OpenOptions,
    ) -> Result<(Store, Opened), StoreError> {
        let mut opened = Opened::default();
        folder::create_private(data)?;
        if folder::make_private(data)? {
            opened.remarks.push("the data folder was open to others; now it is its owner's alone".into());
        }
        exchange::settle(data, &mut opened)?;
        let tree_folder = tree_folder(data);
        let free_space = Arc::new(FreeSpace::new(data, options.disk_reserve_bytes));
        let ballast = Ballast::new(data);
        if free_space.free_bytes() < opening_bytes(&tree_folder) && ballast.give_up() {
            opened.remarks.push("the disk is full; the ballast was given up to open the store".into());
        }
        let tail = LogTail::read(&tree_folder, options.accept_data_loss || options.salvage)?;
        let live = Arc::new(Live::open(&tree_folder, options, &mut opened)?);
        let tree = &live.tree;
        let is_of_whole_rows = check_layout(tree)?;
        let before = tree.get(keys::CATALOG)?;
        let numbered = catalog::number(before.as_deref(), schema)?;
        let mut tables = numbered.tables;
        let blobs = blob::BlobStore::open(&data.join("blobs"), free_space.clone())?;
        let last = Head::number_in(tree)?;
        let high_water = HighWater::open(data)?;
        let acknowledged = high_water.read()?;
        if acknowledged > last {
            let missing = acknowledged - last;
            let report = format!(
                "{missing} acknowledged commits are missing: the store ends at {last}, but {acknowledged} was \
                 acknowledged. Restore a backup made after commit {last} (`playhouse restore`), write what can be \
                 read into a new folder (`playhouse salvage`), or start with --accept-data-loss to go on without them"
            );
            if !options.accept_data_loss {
                drop(live);
                // As it was: whatever the engine cut off may be what is missing.
                if let Some(tail) = tail {
                    tail.put_back().map_err(StoreError::io(&tree_folder))?;
                }
                return Err(StoreError::Open(report));
            }
            opened.remarks.push(report);
            high_water.write(last).map_err(StoreError::io(data))?;
        }
        for (table, index) in &numbered.to_drop {
            drop_entries(tree, *table, *index)?;
        }
        let mut unfilled = Vec::new();
        for (table, index) in numbered.to_fill {
            let (info, ids) = (&schema.tables[table], &mut tables[table]);
            // An earlier filling may not have come to its end, and rows may have changed since.
            drop_entries(tree, ids.id, ids.indexes[index])?;
            let filled = fill_index(tree, info, ids, &blobs, index, &free_space)?;
            let name = &info.indexes[index].names[0];
            if let Some((rows, reason)) = filled.damaged {
                opened.remarks.push(format!("{rows} damaged rows are not in index {name}: {reason}"));
            }
            if filled.is_whole {
                opened.indexes_filled += 1;
                continue;
            }
            opened.remarks.push(format!("the disk has no room for index {name}; a later start fills it"));
            ids.unfilled.insert(index);
            unfilled.push((info.name(), info.indexes[index].fingerprint(info)));
        }
        let ids = Arc::new(tables);
        let counted_anew = options.accept_data_loss || digest::read(tree, &ids)?.is_none();
        if counted_anew {
            digest::write(tree, &ids)?;
            if last > 0 {
                opened
                    .remarks
                    .push("the rows that are there were counted, and are taken for all there are".into());
            }
        }
        if is_of_whole_rows {
            // From here on rows may have a form that earlier versions do not know.
            tree.insert(keys::LAYOUT, &[keys::LAYOUT_NUMBER])?;
        }
        if let Some(catalog) = numbered.changed {
            // Last: a crash before this line only means filling the same indexes again.
            tree.insert(keys::CATALOG, catalog::with_unfilled(&catalog, unfilled)?)?;
        }
        if counted_anew || opened.indexes_filled > 0 {
            live.db.flush()?;
        }
        let head = Head::read(tree, &ids)?;
        let pages = PageFiles::open(&tree_folder).map_err(StoreError::io(&tree_folder))?;
        let files = Files { engine: Some((live.clone(), pages)), high_water };
        let core = Arc::new(Core::new(data, options, free_space, ids.clone(), live, head)?);
        core.keep_ballast();
        let listeners = Arc::new(RwLock::new(Vec::new()));
        let inner = Inner {
            flusher: Flusher::start(core.clone(), files, listeners.clone()),
            core,
            ids,
            blobs,
            texts: RowTexts::new(usize::try_from(options.cache_bytes / 8).unwrap_or(0).min(TEXTS_BYTES_MAX)),
            triggers: OnceLock::new(),
            listeners,
            integrity: Mutex::default(),
        };
        Ok((Store { inner: Arc::new(inner) }, opened))
    }
}

fn drop_entries(tree: &sled::Tree, table: u16, index: u16) -> Result<(), StoreError> {
    for key in tree.scan_prefix(keys::prefix(table, index)).keys() {
        tree.remove(key?)?;
    }
    Ok(())
}

/// What came of filling an index.
struct Filled {
    /// All rows that can be read have their entries.
    is_whole: bool,
    /// How many rows could not be read, and why the first could not.
    damaged: Option<(u64, String)>,
}

/// Rows whose entries are written in one batch.
const ROWS_PER_BATCH: usize = 1000;
/// By how much the engine's files may grow for each byte of a batch.
const GROWTH: u64 = 8;

/// Writes the entries of an index for all rows that are there. An index that only makes reads faster is left where the
/// disk has no room for it: no start fails for it.
fn fill_index(
    tree: &sled::Tree,
    info: &TableInfo,
    ids: &TableIds,
    blobs: &blob::BlobStore,
    position: usize,
    free_space: &FreeSpace,
) -> Result<Filled, StoreError> {
    let index = &info.indexes[position];
    let mut columns: BTreeSet<usize> = index.parts.iter().map(|part| part.column).collect();
    if let Some(filter) = &index.filter {
        filter.each_column(&mut |column| columns.extend([column]));
    }
    let columns: Vec<usize> = columns.into_iter().collect();
    let rows = keys::prefix(ids.id, 0);
    let mut filled = Filled { is_whole: true, damaged: None };
    let (mut batch, mut batch_bytes) = (sled::Batch::default(), 0);
    let mut pairs = tree.scan_prefix(&rows).peekable();
    let mut count = 0;
    while let Some(pair) = pairs.next() {
        let (key, bytes) = pair?;
        let read =
            |bytes| -> Result<Row, StoreError> { StoredRow::new(bytes, info, ids, blobs)?.some(&columns) };
        match read(bytes) {
            Ok(row) => {
                for fields in keys::index_fields(info, index, &row) {
                    let primary_key = &key[rows.len()..];
                    let entry = keys::index_entry(ids, position, &fields, primary_key);
                    batch_bytes += (entry.len() + keys::INDEX_VALUE_BYTES) as u64;
                    batch.insert(entry, keys::index_value(primary_key));
                }
            }
            // A check reports the row itself; all others are served.
            Err(error) => {
                filled.damaged.get_or_insert_with(|| (0, error.to_string())).0 += 1;
            }
        }
        count += 1;
        if count % ROWS_PER_BATCH == 0 || pairs.peek().is_none() {
            if batch_bytes > 0 && !index.unique && !free_space.is_left_after(GROWTH * batch_bytes) {
                filled.is_whole = false;
                return Ok(filled);
            }
            tree.apply_batch(std::mem::take(&mut batch))?;
            batch_bytes = 0;
        }
    }
    Ok(filled)
}

/// Notes the layout in a new store, and refuses one whose keys were written differently; true where rows may have the
/// older form.
fn check_layout(tree: &sled::Tree) -> Result<bool, StoreError> {
    if tree.get(keys::CATALOG)?.is_none() {
        tree.insert(keys::LAYOUT, &[keys::LAYOUT_NUMBER])?;
        // A store whose catalog was lost may have rows of any form.
        let has_rows = tree.range(..keys::all_blob_uses()).next().transpose()?.is_some();
        if !has_rows {
            tree.insert(keys::RENEWED, &[1])?;
        }
        return Ok(false);
    }
    let layout = tree.get(keys::LAYOUT)?.and_then(|bytes| bytes.first().copied()).unwrap_or(1);
    if layout == keys::LAYOUT_NUMBER || layout == keys::LAYOUT_OF_WHOLE_ROWS {
        return Ok(layout == keys::LAYOUT_OF_WHOLE_ROWS);
    }
    Err(StoreError::Open(format!(
        "the store has key layout {layout}, this version reads {}; use the version that wrote it",
        keys::LAYOUT_NUMBER
    )))
}

/// The end of everything that begins with a prefix, for scans that have one.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    encode::after_prefix(prefix)
}

#[cfg(test)]
mod tests {
    use models::Value;
    use models::table::IndexKind;

    use super::*;
    use crate::query;

    fn tree_of(store: &Store) -> sled::Tree {
        store.inner.core.engine.get().expect("an engine").tree.clone()
    }

    #[test]
    fn a_store_with_other_keys_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = OpenOptions::default();
        let (store, _) = Store::open(folder.path(), models::schema(), &options).expect("a new store");
        assert!(check_layout(&tree_of(&store)).is_ok());
        // One whose catalog was lost is taken for new only where no row is.
        let is_renewed = || tree_of(&store).get(keys::RENEWED).expect("a read").is_some();
        assert!(is_renewed());
        keep(&store, 1, "{}");
        for key in [keys::CATALOG, keys::RENEWED] {
            tree_of(&store).remove(key).expect("a removal").expect("it was there");
        }
        assert!(check_layout(&tree_of(&store)).is_ok());
        assert!(!is_renewed());
        tree_of(&store).insert(keys::CATALOG, b"{}").expect("a write");
        tree_of(&store).insert(keys::LAYOUT, &[1]).expect("a write");
        let refused = check_layout(&tree_of(&store));
        assert!(matches!(refused, Err(StoreError::Open(reason)) if reason.contains("key layout 1")));
    }

    #[test]
    fn an_index_that_was_left_half_filled_is_filled_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Store::open(folder.path(), models::schema(), &OpenOptions::default()).expect("a store");
        let (store, opened) = open();
        assert!(opened.indexes_filled > 0, "all of them, of no rows");
        (1..=5).for_each(|id| keep(&store, id, "{}"));
        // The catalogue does not know the last index yet; one entry is there, and one of a row that has gone since.
        let table = models::schema().known("user_library");
        let (ids, tree) = (&store.inner.ids[table.id], tree_of(&store));
        let ordered = |(position, _): &(usize, u16)| {
            let index = &table.indexes[*position];
            index.kind == IndexKind::Btree && index.filter.is_none()
        };
        let all = ids.indexes.iter().copied().enumerate().filter(ordered);
        let (position, id) = all.max_by_key(|(_, id)| *id).expect("one");
        let entries = || tree.scan_prefix(keys::prefix(ids.id, id));
        assert_eq!(entries().count(), 5);
        for (key, _) in entries().skip(1).flatten() {
            tree.remove(key).expect("a removal");
        }
        let (mut stale, value) = entries().next().expect("an entry").expect("a pair");
        stale[10] ^= 1;
        tree.insert(stale, value).expect("a write");
        let catalog = tree.get(keys::CATALOG).expect("a read").expect("a catalog");
        let mut catalog: serde_json::Value = serde_json::from_slice(&catalog).expect("JSON");
        let entry = &mut catalog["tables"][table.name()];
        let indexes = entry["indexes"].as_object_mut().expect("indexes");
        indexes.remove(&table.indexes[position].fingerprint(table)).expect("it was known");
        entry["next_index"] = id.into();
        tree.insert(keys::CATALOG, catalog.to_string().as_bytes()).expect("a write");
        drop((store, tree));
        let (store, opened) = open();
        assert_eq!(opened.indexes_filled, 1);
        let report = store.check().expect("a report");
        assert_eq!((report.faults, report.listed), (0, Vec::new()));
        drop(store);
        assert_eq!(open().1.indexes_filled, 0);
    }

    /// Takes the indexes out of the catalog, as they are missing from that of an earlier version.
    fn forget_indexes(store: &Store) {
        let catalog = tree_of(store).get(keys::CATALOG).expect("a read").expect("a catalog");
        let older = catalog::without_indexes(&catalog).expect("a catalog");
        tree_of(store).insert(keys::CATALOG, older).expect("a write");
    }

    #[test]
    fn damaged_rows_do_not_keep_new_indexes_from_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Store::open(folder.path(), models::schema(), &OpenOptions::default());
        let (store, _) = open().expect("a store");
        (1..=3).for_each(|id| keep(&store, id, r#"{"a": 1}"#));
        keep(&store, 4, &format!(r#"{{"a": 1, "b": ["{}"]}}"#, "fog".repeat(30_000)));
        let [(hash, ..)] = store.blobs().list().expect("blobs")[..] else { panic!("one large value") };
        std::fs::remove_file(store.blobs().path(&hash)).expect("damage");
        let table = models::schema().known("user_library");
        let id = |number| Value::Uuid(uuid::Uuid::from_u128(number));
        let key = keys::row(&store.inner.ids[table.id], &keys::primary_key_of(&[id(3)]));
        let mut bytes = tree_of(&store).get(&key).expect("a read").expect("the row").to_vec();
        *bytes.last_mut().expect("a byte") ^= 1;
        tree_of(&store).insert(&key, bytes).expect("damage");
        forget_indexes(&store);
        drop(store);
        let (store, opened) = open().expect("a store with damaged rows");
        assert!(opened.remarks.iter().any(|remark| remark.contains("1 damaged rows")), "{opened:?}");
        assert_eq!(containing(&store, r#"{"a": 1}"#), 2);
        let found = |number| store.reads().referring(table, table.at("user_id"), &id(number));
        assert_eq!(found(1).expect("a read").len(), 1);
        // The large value alone is lost: by its other columns the row is found, and says what is missing.
        assert!(found(4).is_err());
        assert!(found(3).expect("a read").is_empty());
        assert!(store.check().expect("a report").faults >= 2);
    }

    #[test]
    fn a_store_without_room_for_an_index_starts_without_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |disk_reserve_bytes| {
            let options = OpenOptions { disk_reserve_bytes, ..OpenOptions::default() };
            Store::open(folder.path(), models::schema(), &options).expect("a store")
        };
        let (store, _) = open(None);
        (1..=5).for_each(|id| keep(&store, id, r#"{"a": 1}"#));
        forget_indexes(&store);
        drop(store);
        let table = models::schema().known("user_library");
        let found = |store: &Store, part: &str| {
            let contains = query::Operator::Contains(Value::Json(part.into()));
            let field = query::Field::column(table.at("roleplay_metadata"));
            // The index has only rows of this category.
            let query = query::Query::all(table.id)
                .equal("content_category", Value::text("roleplay_scene"))
                .filter(query::Filter::Test(query::Test { field, operator: contains }));
            let claims = models::Claims::service();
            let caller = crate::Caller::new(&claims);
            let reader = query::Reader::new(store.reads(), &caller, query::Limits::default());
            reader.select(&query, false).expect("rows").rows.len()
        };
        for _ in 0..2 {
            let (store, opened) = open(Some(u64::MAX));
            assert!(opened.remarks.iter().any(|remark| remark.contains("no room for index")), "{opened:?}");
            assert_eq!(found(&store, r#"{"a": 1}"#), 5);
            let id = Value::Uuid(uuid::Uuid::from_u128(2));
            let rows = store.reads().referring(table, table.at("user_id"), &id).expect("a read");
            assert_eq!(rows.len(), 1);
            let report = store.check().expect("a report");
            assert_eq!((report.faults, report.listed), (0, Vec::new()));
        }
        let (store, opened) = open(None);
        assert!(opened.indexes_filled > 0 && opened.remarks.is_empty(), "{opened:?}");
        assert_eq!(found(&store, r#"{"a": 1}"#), 5);
        let report = store.check().expect("a report");
        assert_eq!((report.faults, report.listed), (0, Vec::new()));
        drop(store);
        assert_eq!(open(None).1.indexes_filled, 0);
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
        drop_entries(&tree_of(&store), ids.id, ids.indexes[by_element()]).expect("no entries");
        let catalog = tree_of(&store).get(keys::CATALOG).expect("a read").expect("a catalog");
        let older = String::from_utf8_lossy(&catalog).replace(" numbers by value", "");
        tree_of(&store).insert(keys::CATALOG, older.as_bytes()).expect("a write");
        drop(store);
        let (store, opened) = open();
        assert!(opened.indexes_filled > 0);
        assert_eq!(found(&store), [3, 3, 3, 1, 0]);
        assert_eq!(store.check().expect("a report").faults, 0);
    }
}
