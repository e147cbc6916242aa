//! Writing what can be read of a damaged store into a new folder.
//!
//! Rows are taken from the engine's log as `log_scan.rs` finds them; the newest version of each that has its checksum
//! counts. Index entries, uses of blobs and digests follow from the rows and are made anew. What cannot be known is said:
//! a row whose newest version is lost comes back in an older one, one whose deletion is lost comes back, and a reference
//! may lead to a row that is lost.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use models::Schema;
use serde::Serialize;

use crate::backup::SECRETS;
use crate::blob::{BlobHash, BlobStore, Condition};
use crate::catalog::TableIds;
use crate::check::Contents;
use crate::core::tree_folder;
use crate::digest::Digest;
use crate::engine::closed_log;
use crate::error::StoreError;
use crate::flush::ACKNOWLEDGED;
use crate::free_space::FreeSpace;
use crate::log_scan::{Found, LogScan};
use crate::options::OpenOptions;
use crate::transaction::named_blobs;
use crate::{Store, catalog, codec, folder, keys};

/// Blobs and faults named in a report; the rest is counted.
const NAMED_MAX: usize = 100;
const PAIRS_PER_BATCH: usize = 1000;
/// The report's file in the new folder.
const REPORT: &str = "salvage.json";
/// Further files of a data folder that a server needs to be the same.
const KEPT: [&str; 2] = [SECRETS, "playhouse.json"];

/// What was read, and what was not.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Rows in the new folder.
    pub rows: u64,
    /// Those of them per table, where there are any or were.
    pub tables: Vec<Table>,
    /// Stretches of the log, and pages, that do not read.
    pub damages: u64,
    /// Versions of rows that do not read.
    pub unreadable: u64,
    /// Blobs in the new folder.
    pub blobs: u64,
    /// Blobs that rows name and that are missing or damaged.
    pub blobs_lost: u64,
    /// What a check of the new store finds broken.
    pub faults: u64,
    /// The first lost blobs and faults, in words.
    pub listed: Vec<String>,
    /// What to know about it.
    pub remarks: Vec<String>,
}

/// The rows of one table.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Its name.
    pub table: String,
    /// Rows in the new folder.
    pub rows: u64,
    /// Rows that were committed, where that is still noted.
    pub committed: Option<u64>,
}

/// Reads the store of the data folder `from`, which no server may use, and writes what it finds into the new folder `to`.
pub fn salvage(from: &Path, to: &Path, schema: &'static Schema) -> Result<Report, StoreError> {
    let engine = tree_folder(from);
    let _log = closed_log(&engine)?;
    folder::create_new_private(to)?;
    let result = write(from, to, schema);
    if result.is_err() {
        let _ = fs::remove_dir_all(to);
    }
    result
}

fn write(from: &Path, to: &Path, schema: &'static Schema) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let noted = notes(from)?;
    let ids = match &noted.catalog {
        Some(catalog) => catalog::number(Some(catalog), schema)?.tables,
        None => {
            report.remarks.push(
                "the catalog is lost: columns are taken to be numbered as in a new store of this version"
                    .into(),
            );
            catalog::number(None, schema)?.tables
        }
    };
    let blobs = BlobStore::at(&from.join("blobs"));
    let mut rows =
        Rows { schema, ids: &ids, blobs: &blobs, places: HashMap::new(), uses: Vec::new(), unreadable: 0 };
    let engine = to.join("tree.salvaging");
    let mut target = Target::open(&engine)?;
    let mut scan = LogScan::open(&tree_folder(from))?;
    scan.pairs(&mut |found| match rows.pairs(&found) {
        Some(pairs) => pairs.into_iter().try_for_each(|(key, value)| target.put(key, value)),
        None => Ok(()),
    })?;
    (report.damages, report.unreadable) = (scan.damages, rows.unreadable);
    if let Some(catalog) = &noted.catalog {
        target.put(keys::CATALOG.to_vec(), catalog::without_indexes(catalog)?)?;
        target.put(keys::LAYOUT.to_vec(), vec![keys::LAYOUT_NUMBER])?;
    }
    target.put(keys::COUNTER.to_vec(), noted.number.to_be_bytes().to_vec())?;
    target.finish()?;
    copy_blobs(rows.uses, &blobs, to, &mut report)?;
    folder::write_private(&to.join(ACKNOWLEDGED), &noted.number.to_be_bytes())?;
    for name in KEPT {
        match fs::read(from.join(name)) {
            Ok(bytes) => folder::write_private(&to.join(name), &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => report.remarks.push(format!("{name} does not read: {error}")),
        }
    }
    folder::sync_all_below(&engine)?;
    fs::rename(&engine, tree_folder(to)).map_err(StoreError::io(to))?;
    judge(to, schema, &noted, &ids, &mut report)?;
    let text = serde_json::to_vec_pretty(&report).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    folder::write_private(&to.join(REPORT), &text)?;
    Ok(report)
}

/// Opens what was written, which fills its indexes, and looks it over.
fn judge(
    to: &Path,
    schema: &'static Schema,
    noted: &Noted,
    ids: &[TableIds],
    report: &mut Report,
) -> Result<(), StoreError> {
    let (store, _) = Store::open(to, schema, &OpenOptions::default())?;
    let digests = store.lock().digests.clone();
    for table in &schema.tables {
        let rows = digests[table.id].rows;
        let committed = noted.digests.get(&ids[table.id].id).map(|(digest, _)| digest.rows);
        report.rows += rows;
        if rows > 0 || committed.is_some_and(|committed| committed > 0) {
            report.tables.push(Table { table: table.name(), rows, committed });
        }
    }
    let check = store.check_with(Contents::Skip, &mut |_| {})?;
    report.faults = check.faults;
    report.listed.extend(check.listed.into_iter().take(NAMED_MAX));
    Ok(())
}

/// What the store noted about itself.
#[derive(Default)]
struct Noted {
    catalog: Option<Vec<u8>>,
    number: u64,
    /// The digest of each table, by its number, and where it was written.
    digests: HashMap<u16, (Digest, u64)>,
}

fn notes(from: &Path) -> Result<Noted, StoreError> {
    let mut noted = Noted::default();
    let mut catalog_place = 0;
    LogScan::open(&tree_folder(from))?.pairs(&mut |found| {
        if let Some(table) = keys::table_of_digest(&found.key) {
            if let Ok(digest) = Digest::from_bytes(&found.value) {
                let newest = noted.digests.entry(table).or_insert((digest, found.place));
                if newest.1 <= found.place {
                    *newest = (digest, found.place);
                }
            }
        } else if found.key == keys::CATALOG && found.place >= catalog_place {
            (noted.catalog, catalog_place) = (Some(found.value), found.place);
        } else if found.key == keys::COUNTER
            && let Ok(bytes) = found.value.as_slice().try_into()
        {
            noted.number = noted.number.max(u64::from_be_bytes(bytes));
        }
        Ok(())
    })?;
    // A store begins with a commit, and this one may have lost the note of it.
    noted.number = noted.number.max(1);
    Ok(noted)
}

/// Chooses among the versions of rows.
struct Rows<'s> {
    schema: &'static Schema,
    ids: &'s [TableIds],
    blobs: &'s BlobStore,
    /// Where the version of each row that was taken stands in the log, by a hash of its key.
    places: HashMap<[u8; 16], u64>,
    uses: Vec<BlobHash>,
    unreadable: u64,
}

impl Rows<'_> {
    /// The row with the uses of its blobs; none for what is no row, does not read, or is older than another version.
    fn pairs(&mut self, found: &Found) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let number = keys::table_of_row(&found.key)?;
        let table = &self.schema.tables[self.ids.iter().position(|ids| ids.id == number)?];
        let ids = &self.ids[table.id];
        let row = codec::decode(&found.value, table, ids, self.blobs).ok().filter(|row| {
            // A change that followed a lost page may have been put on one with another prefix.
            keys::row(ids, &keys::primary_key(table, row)) == found.key
        });
        let Some(row) = row else {
            self.unreadable += 1;
            return None;
        };
        let name: [u8; 16] = blake3::hash(&found.key).as_bytes()[..16].try_into().ok()?;
        if self.places.get(&name).is_some_and(|place| *place > found.place) {
            return None;
        }
        self.places.insert(name, found.place);
        let mut blobs = named_blobs(table, &row);
        blobs.extend(codec::spilled(&found.value, table).ok()?.into_iter().map(|(_, hash)| hash));
        let primary_key = keys::primary_key(table, &row);
        let mut pairs = vec![(found.key.clone(), found.value.clone())];
        pairs.extend(blobs.iter().map(|hash| (keys::blob_use(hash, ids, &primary_key), Vec::new())));
        self.uses.extend(blobs);
        Some(pairs)
    }
}

/// The engine that is written.
struct Target {
    db: sled::Db,
    tree: sled::Tree,
    batch: sled::Batch,
    in_batch: usize,
}

impl Target {
    fn open(engine: &Path) -> Result<Target, StoreError> {
        folder::create_private(engine)?;
        let db = sled::Config::new().path(engine).flush_every_ms(None).open()?;
        Ok(Target { tree: db.open_tree("rows")?, db, batch: sled::Batch::default(), in_batch: 0 })
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.batch.insert(key, value);
        self.in_batch += 1;
        if self.in_batch == PAIRS_PER_BATCH {
            self.in_batch = 0;
            self.tree.apply_batch(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), StoreError> {
        self.tree.apply_batch(self.batch)?;
        self.db.flush()?;
        Ok(())
    }
}

fn copy_blobs(
    mut uses: Vec<BlobHash>,
    from: &BlobStore,
    to: &Path,
    report: &mut Report,
) -> Result<(), StoreError> {
    uses.sort_unstable_by_key(|hash| hash.0);
    uses.dedup();
    let folder = to.join("blobs");
    folder::create_private(&folder)?;
    let target = BlobStore::open(&folder, Arc::new(FreeSpace::new(&folder, Some(0))))?;
    for hash in uses {
        let how = match from.verify(&hash) {
            Condition::Sound => {
                let bytes = from.read(&hash)?;
                let mut writer = target.writer()?;
                writer.write(&bytes)?;
                writer.finish()?;
                report.blobs += 1;
                continue;
            }
            Condition::Missing => "missing",
            Condition::Damaged => "damaged",
        };
        report.blobs_lost += 1;
        if report.listed.len() < NAMED_MAX {
            report.listed.push(format!("blob {} is {how}", hash.hex()));
        }
    }
    Ok(())
}
