//! Looks the whole store over: every index entry has its row and the reverse, every foreign key resolves, every
//! blob that a row names is there and every blob that is there is named.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::Duration;

use models::schema;

use crate::blob::BlobHash;
use crate::error::StoreError;
use crate::transaction::named_blobs;
use crate::{Store, codec, keys};

/// Findings listed at most; the counts go on.
const LISTED_MAX: usize = 100;

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
    fn fault(&mut self, text: String) {
        self.faults += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(text);
        }
    }
}

impl Store {
    /// Checks everything. Writes wait meanwhile, so that what is compared belongs together.
    pub fn check(&self) -> Result<Report, StoreError> {
        let _last = self.lock();
        let mut report = Report::default();
        let mut named = HashSet::new();
        for table in &schema().tables {
            self.check_rows(table, &mut named, &mut report)?;
            for position in 0..table.indexes.len() {
                self.check_entries(table, position, &mut report)?;
            }
        }
        for pair in self.inner.tree.scan_prefix(keys::all_blob_uses()) {
            let (key, _) = pair?;
            match keys::blob_of_use(&key) {
                Some(hash) if named.contains(&hash) => {}
                _ => report.fault("a use of a blob has no row".into()),
            }
        }
        for (hash, ..) in self.inner.blobs.list()? {
            report.blobs += 1;
            if !named.contains(&hash) {
                report.orphans.push(hash);
            }
        }
        Ok(report)
    }

    fn check_rows(
        &self,
        table: &models::TableInfo,
        named: &mut HashSet<BlobHash>,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let ids = &self.inner.ids[table.id];
        let reads = self.reads();
        for pair in self.inner.tree.scan_prefix(keys::prefix(ids.id, 0)) {
            let (key, bytes) = pair?;
            report.rows += 1;
            let row = match codec::decode(&bytes, table, ids, &self.inner.blobs) {
                Ok(row) => row,
                Err(error) => {
                    report.fault(error.to_string());
                    continue;
                }
            };
            let primary_key = keys::primary_key(table, &row);
            if keys::row(ids, &primary_key) != key.as_ref() {
                report.fault(format!("a row of {} lies under another key", table.name()));
            }
            for (position, index) in table.indexes.iter().enumerate() {
                for fields in keys::index_fields(table, index, &row) {
                    if self.inner.tree.get(keys::index_entry(ids, position, &fields, &primary_key))?.is_none()
                    {
                        report.fault(format!(
                            "a row of {} is missing from index {}",
                            table.name(),
                            index.names[0]
                        ));
                    }
                }
            }
            for relation in table.relations.iter().filter(|relation| relation.enforced) {
                let value = &row[relation.column];
                let target = &schema().tables[relation.target];
                if !value.is_null() && reads.get(target, std::slice::from_ref(value))?.is_none() {
                    report.fault(format!("{}: {value:?} refers to nothing", relation.name));
                }
            }
            let mut blobs = named_blobs(table, &row);
            blobs.extend(codec::spilled(&bytes, table)?.into_iter().map(|(_, hash)| hash));
            for hash in blobs {
                if !self.inner.blobs.exists(&hash) {
                    report.fault(format!("blob {} of {} is missing", hash.hex(), table.name()));
                }
                if self.inner.tree.get(keys::blob_use(&hash, ids, &primary_key))?.is_none() {
                    report.fault(format!("the use of blob {} by {} is not noted", hash.hex(), table.name()));
                }
                named.insert(hash);
            }
        }
        Ok(())
    }

    fn check_entries(
        &self,
        table: &models::TableInfo,
        position: usize,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let ids = &self.inner.ids[table.id];
        let index = &table.indexes[position];
        for pair in self.inner.tree.scan_prefix(keys::prefix(ids.id, ids.indexes[position])) {
            let (key, value) = pair?;
            report.entries += 1;
            let Some(primary_key) = keys::primary_key_in(&key, &value) else {
                report.fault(format!("an entry of {} has no key", index.names[0]));
                continue;
            };
            let Some(row) = self.reads().get_encoded(table, primary_key)? else {
                report.fault(format!("an entry of {} has no row", index.names[0]));
                continue;
            };
            let belongs = keys::index_fields(table, index, &row)
                .iter()
                .any(|fields| keys::index_entry(ids, position, fields, primary_key) == key.as_ref());
            if !belongs {
                report.fault(format!("an entry of {} does not fit its row", index.names[0]));
            }
        }
        Ok(())
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
