//! Looks the whole store over: every index entry has its row and the reverse, every foreign key resolves, every
//! blob that a row names is there with the bytes that its name says, and every blob that is there is named.
//!
//! Each of these promises is about one row and what belongs to it, so writes go on meanwhile: what looks broken is
//! looked at again under the commit lock, where nothing can change, and only then reported.

use std::sync::PoisonError;
use std::time::Duration;

use models::{TableInfo, schema};

use crate::blob::{BlobHash, Condition};
use crate::error::StoreError;
use crate::transaction::named_blobs;
use crate::{Store, codec, keys};

/// Findings listed at most; the counts go on.
const LISTED_MAX: usize = 100;

/// Whether a check reads what is in the blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// Every blob that is in use is read and compared with its name.
    #[default]
    Read,
    /// It is enough that they are there.
    Skip,
}

impl Contents {
    /// For a check that is to be quick, or not.
    pub fn of(quick: bool) -> Contents {
        if quick { Contents::Skip } else { Contents::Read }
    }
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows looked at.
    pub rows: u64,
    /// Index entries looked at.
    pub entries: u64,
    /// Blobs looked at.
    pub blobs: u64,
    /// Broken promises; a healthy store has none.
    pub faults: u64,
    /// The first of them, in words.
    pub listed: Vec<String>,
    /// Blobs that no row names: garbage for the next sweep, not a fault.
    pub orphans: Vec<BlobHash>,
}

impl Report {
    fn add(&mut self, faults: Vec<String>) {
        self.faults += faults.len() as u64;
        let room = LISTED_MAX.saturating_sub(self.listed.len());
        self.listed.extend(faults.into_iter().take(room));
    }
}

impl Store {
    /// Checks everything, the bytes of blobs included.
    pub fn check(&self) -> Result<Report, StoreError> {
        self.check_with(Contents::Read)
    }

    /// Checks everything; reading all blobs can be left out.
    pub fn check_with(&self, contents: Contents) -> Result<Report, StoreError> {
        let mut report = Report::default();
        for table in &schema().tables {
            let ids = &self.inner.ids[table.id];
            report.rows += self.check_pairs(&keys::prefix(ids.id, 0), &mut report, |key, value| {
                self.row_faults(table, key, value)
            })?;
            for position in 0..table.indexes.len() {
                let entries = keys::prefix(ids.id, ids.indexes[position]);
                report.entries += self.check_pairs(&entries, &mut report, |key, value| {
                    self.entry_faults(table, position, key, value)
                })?;
            }
        }
        self.check_pairs(&keys::all_blob_uses(), &mut report, |key, _| self.use_faults(key))?;
        for (hash, ..) in self.inner.blobs.list()? {
            report.blobs += 1;
            if self.inner.tree.scan_prefix(keys::blob_uses(&hash)).next().is_none() {
                report.orphans.push(hash);
            } else if contents == Contents::Read && self.inner.blobs.verify(&hash) == Condition::Damaged {
                report.add(vec![format!("blob {} is damaged", hash.hex())]);
            }
        }
        Ok(report)
    }

    /// Looks at every pair that begins with `prefix` and counts them.
    fn check_pairs(
        &self,
        prefix: &[u8],
        report: &mut Report,
        faults: impl Fn(&[u8], &[u8]) -> Result<Vec<String>, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for pair in self.inner.tree.scan_prefix(prefix) {
            let (key, value) = pair?;
            count += 1;
            if faults(&key, &value)?.is_empty() {
                continue;
            }
            let _last = self.lock();
            if let Some(value) = self.inner.tree.get(&key)? {
                report.add(faults(&key, &value)?);
            }
        }
        Ok(count)
    }

    fn row_faults(&self, table: &TableInfo, key: &[u8], bytes: &[u8]) -> Result<Vec<String>, StoreError> {
        let (ids, reads) = (&self.inner.ids[table.id], self.reads());
        let missing = |hash: &BlobHash| format!("blob {} of {} is missing", hash.hex(), table.name());
        let mut faults = Vec::new();
        let spilled = match codec::spilled(bytes, table) {
            Ok(spilled) => spilled.into_iter().map(|(_, hash)| hash),
            Err(error) => return Ok(vec![error.to_string()]),
        };
        let mut blobs: Vec<BlobHash> = spilled.collect();
        faults.extend(blobs.iter().filter(|hash| !self.inner.blobs.exists(hash)).map(missing));
        if !faults.is_empty() {
            return Ok(faults);
        }
        let row = match codec::decode(bytes, table, ids, &self.inner.blobs) {
            Ok(row) => row,
            Err(error) => return Ok(vec![error.to_string()]),
        };
        let primary_key = keys::primary_key(table, &row);
        if keys::row(ids, &primary_key) != key {
            faults.push(format!("a row of {} lies under another key", table.name()));
        }
        for (position, index) in table.indexes.iter().enumerate() {
            for fields in keys::index_fields(table, index, &row) {
                if self.inner.tree.get(keys::index_entry(ids, position, &fields, &primary_key))?.is_none() {
                    let name = &index.names[0];
                    faults.push(format!("a row of {} is missing from index {name}", table.name()));
                }
            }
        }
        for relation in table.relations.iter().filter(|relation| relation.enforced) {
            let value = &row[relation.column];
            let target = &schema().tables[relation.target];
            if !value.is_null() && reads.get(target, std::slice::from_ref(value))?.is_none() {
                faults.push(format!("{}: {value:?} refers to nothing", relation.name));
            }
        }
        let named = named_blobs(table, &row);
        faults.extend(named.iter().filter(|hash| !self.inner.blobs.exists(hash)).map(missing));
        blobs.extend(named);
        for hash in blobs {
            if self.inner.tree.get(keys::blob_use(&hash, ids, &primary_key))?.is_none() {
                faults.push(format!("the use of blob {} by {} is not noted", hash.hex(), table.name()));
            }
        }
        Ok(faults)
    }

    fn entry_faults(
        &self,
        table: &TableInfo,
        position: usize,
        key: &[u8],
        value: &[u8],
    ) -> Result<Vec<String>, StoreError> {
        let ids = &self.inner.ids[table.id];
        let index = &table.indexes[position];
        let fault = |what: &str| Ok(vec![format!("an entry of {} {what}", index.names[0])]);
        let Some(primary_key) = keys::primary_key_in(key, value) else { return fault("has no key") };
        let row = match self.reads().get_encoded(table, primary_key) {
            Ok(Some(row)) => row,
            Ok(None) => return fault("has no row"),
            // The row's own fault, which is found with it.
            Err(_) => return Ok(Vec::new()),
        };
        let belongs = keys::index_fields(table, index, &row)
            .iter()
            .any(|fields| keys::index_entry(ids, position, fields, primary_key) == key);
        if belongs { Ok(Vec::new()) } else { fault("does not fit its row") }
    }

    fn use_faults(&self, key: &[u8]) -> Result<Vec<String>, StoreError> {
        let named = |(hash, table, primary_key): (BlobHash, u16, &[u8])| -> Result<bool, StoreError> {
            let Some(table) = schema().tables.iter().find(|it| self.inner.ids[it.id].id == table) else {
                return Ok(false);
            };
            let ids = &self.inner.ids[table.id];
            let Some(bytes) = self.inner.tree.get(keys::row(ids, primary_key))? else { return Ok(false) };
            // A row that does not decode is a fault found with the row.
            Ok(match codec::spilled(&bytes, table) {
                Ok(spilled) if spilled.iter().any(|(_, other)| *other == hash) => true,
                Ok(_) => codec::decode(&bytes, table, ids, &self.inner.blobs)
                    .map_or(true, |row| named_blobs(table, &row).contains(&hash)),
                Err(_) => true,
            })
        };
        match keys::parts_of_use(key).map(named).transpose()? {
            Some(true) => Ok(Vec::new()),
            _ => Ok(vec!["a use of a blob has no row".into()]),
        }
    }

    /// Removes blobs that no row names and that nobody wrote within `age_min`; with `dry_run` only lists them.
    ///
    /// `age_min` must exceed the time from the end of an upload to the commit of its row. While a backup runs nothing
    /// is removed: it copies what rows named when it began.
    pub fn sweep(&self, age_min: Duration, dry_run: bool) -> Result<Vec<BlobHash>, StoreError> {
        let mut swept = Vec::new();
        for (hash, _, age) in self.inner.blobs.list()? {
            if age < age_min {
                continue;
            }
            // Under the lock no commit can begin to name it.
            let _last = self.lock();
            if self.inner.tap.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                break;
            }
            if self.inner.tree.scan_prefix(keys::blob_uses(&hash)).next().is_none()
                && (dry_run || self.inner.blobs.remove_older(&hash, age_min)?)
            {
                swept.push(hash);
            }
        }
        Ok(swept)
    }
}
