//! Looks the whole store over: every table has the rows that were committed, every index entry has its row and the
//! reverse, every foreign key resolves, every blob that a row names is there with the bytes that its name says, and
//! every blob that is there is named.
//!
//! Each of these promises is about one row and what belongs to it, so writes go on meanwhile: what looks broken is
//! looked at again under the commit lock, where nothing can change, and only then reported.

use std::sync::PoisonError;
use std::time::Duration;

use models::{TableInfo, schema};

use crate::blob::{BlobHash, Condition};
use crate::error::StoreError;
use crate::progress::{Progress, Step};
use crate::source::{Pair, Source};
use crate::transaction::named_blobs;
use crate::{Store, codec, encode, keys};

/// Pairs that are read before the engine is given back.
const PAIRS_PER_STEP: usize = 512;
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

/// Whether the store is whole, as far as it was looked over since it was opened.
#[derive(Clone, Debug, Default)]
pub enum Integrity {
    /// Not looked over yet.
    #[default]
    Unknown,
    /// Being looked over.
    Checking,
    /// Every promise holds, but for the contents of blobs.
    Sound {
        /// Rows looked at.
        rows: u64,
    },
    /// Something is missing or broken.
    Damaged {
        /// Broken promises.
        faults: u64,
        /// The first of them, in words.
        listed: Vec<String>,
    },
    /// It could not be looked over.
    Failed {
        /// Why not.
        reason: String,
    },
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
        self.check_with(Contents::Read, &mut |_| {})
    }

    /// Checks everything, and reports how far it is; reading all blobs can be left out.
    pub fn check_with(
        &self,
        contents: Contents,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, StoreError> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.check_on(threads, contents, progress)
    }

    fn check_on(
        &self,
        threads: usize,
        contents: Contents,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, StoreError> {
        let mut report = Report::default();
        let survey = self.survey(threads, progress)?;
        (report.rows, report.entries) = (survey.rows, survey.entries);
        report.add(survey.lost);
        // What is not as it should be is looked at one by one.
        for table in &schema().tables {
            let ids = &self.inner.ids[table.id];
            let mut positions = survey.indexes.range((table.id, 0)..(table.id + 1, 0)).peekable();
            if positions.peek().is_some() || !survey.uses_fit {
                self.check_pairs(&keys::prefix(ids.id, 0), &mut report, |key, value| {
                    self.row_faults(table, key, value)
                })?;
            } else {
                for (_, key) in survey.suspects.iter().filter(|(of, _)| *of == table.id) {
                    let _head = self.lock();
                    if let Some(value) = self.get(key)? {
                        report.add(self.row_faults(table, key, &value)?);
                    }
                }
            }
            for (_, position) in positions {
                let entries = keys::prefix(ids.id, ids.indexes[*position]);
                self.check_pairs(&entries, &mut report, |key, value| {
                    self.entry_faults(table, *position, key, value)
                })?;
            }
        }
        if !survey.uses_fit {
            self.check_pairs(&keys::all_blob_uses(), &mut report, |key, _| self.use_faults(key))?;
        }
        let blobs = self.inner.blobs.list()?;
        let total = Some(blobs.len() as u64);
        for (hash, ..) in blobs {
            report.blobs += 1;
            progress(Progress { step: Step::ReadBlobs, done: report.blobs, total, bytes: 0 });
            if !self.is_used(&hash)? {
                report.orphans.push(hash);
            } else if contents == Contents::Read && self.inner.blobs.verify(&hash) == Condition::Damaged {
                report.add(vec![format!("blob {} is damaged", hash.hex())]);
            }
        }
        Ok(report)
    }

    /// Looks the store over on a thread of its own, but for the contents of blobs; [`Store::integrity`] says what came
    /// of it, and the log too if it is no good.
    pub fn check_in_background(&self) {
        self.note_integrity(Integrity::Checking);
        let store = self.clone();
        let started = std::thread::Builder::new().name("check".into()).spawn(move || {
            // One thread beside the one that reads: the other cores are for those who are served.
            let found = match store.check_on(1, Contents::Skip, &mut |_| {}) {
                Ok(report) if report.faults == 0 => Integrity::Sound { rows: report.rows },
                Ok(report) => {
                    report.listed.iter().for_each(|fault| tracing::error!(fault, "the store is damaged"));
                    let (faults, listed) = (report.faults, report.listed);
                    tracing::error!(
                        faults,
                        "restore a backup, or write what can be read with `playhouse salvage`"
                    );
                    Integrity::Damaged { faults, listed }
                }
                Err(error) => {
                    tracing::error!(%error, "the store could not be looked over");
                    Integrity::Failed { reason: error.to_string() }
                }
            };
            store.note_integrity(found);
        });
        if let Err(error) = started {
            self.note_integrity(Integrity::Failed { reason: error.to_string() });
        }
    }

    fn note_integrity(&self, integrity: Integrity) {
        *self.inner.integrity.lock().unwrap_or_else(PoisonError::into_inner) = integrity;
    }

    /// Whether the store is whole, as far as that is known.
    pub fn integrity(&self) -> Integrity {
        self.inner.integrity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at every pair that begins with `prefix`.
    fn check_pairs(
        &self,
        prefix: &[u8],
        report: &mut Report,
        faults: impl Fn(&[u8], &[u8]) -> Result<Vec<String>, StoreError>,
    ) -> Result<(), StoreError> {
        let end = encode::after_prefix(prefix);
        let mut from = prefix.to_vec();
        loop {
            // A few at a time, so that a failed engine can be exchanged meanwhile.
            let step: Vec<Pair> = {
                let live = self.inner.core.engine.get()?;
                live.range(from.clone(), end.clone(), false).take(PAIRS_PER_STEP).collect::<Result<_, _>>()?
            };
            let Some((last, _)) = step.last() else { return Ok(()) };
            from = last.to_vec();
            from.push(0);
            for (key, value) in step {
                if faults(&key, &value)?.is_empty() {
                    continue;
                }
                let _head = self.lock();
                if let Some(value) = self.get(&key)? {
                    report.add(faults(&key, &value)?);
                }
            }
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        Source::get(&*self.inner.core.engine.get()?, key)
    }

    /// Whether a row names the blob.
    fn is_used(&self, hash: &BlobHash) -> Result<bool, StoreError> {
        let live = self.inner.core.engine.get()?;
        let uses = keys::blob_uses(hash);
        let mut pairs = live.range(uses.clone(), encode::after_prefix(&uses), false);
        Ok(pairs.next().transpose()?.is_some())
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
        let indexes = table.indexes.iter().enumerate();
        for (position, index) in indexes.filter(|(position, _)| ids.is_filled(*position)) {
            for fields in keys::index_fields(table, index, &row) {
                if self.get(&keys::index_entry(ids, position, &fields, &primary_key))?.is_none() {
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
            if self.get(&keys::blob_use(&hash, ids, &primary_key))?.is_none() {
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
            let Some(bytes) = self.get(&keys::row(ids, primary_key))? else { return Ok(false) };
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

    /// Removes blobs that no row names and that were not written within `age_min`; with `dry_run` only lists them.
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
            let _head = self.lock();
            if self.inner.core.taps().keep_blobs() {
                break;
            }
            if !self.is_used(&hash)? && (dry_run || self.inner.blobs.remove_older(&hash, age_min)?) {
                swept.push(hash);
            }
        }
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use models::{Claims, Value};

    use super::*;
    use crate::{Caller, OpenOptions};

    /// Writes profiles, as many as there are numbers, or changes them.
    fn write(store: &Store, numbers: std::ops::Range<u128>, name: &str) {
        let claims = Claims::service();
        let (users, profiles) = (schema().known("auth.users"), schema().known("profiles"));
        let (_, durable) = store
            .transact(&claims, |transaction| {
                let caller = Caller::new(&claims);
                for number in numbers {
                    let id = Value::Uuid(uuid::Uuid::from_u128(number));
                    let old = transaction.reads().get(profiles, std::slice::from_ref(&id))?;
                    let mut row = old.clone().unwrap_or_else(|| profiles.default_row());
                    row[profiles.at("id")] = id.clone();
                    row[profiles.at("username")] = Value::Text(format!("{name}{number}"));
                    if let Some(old) = old {
                        transaction.update(&caller, profiles, &old, row)?;
                        continue;
                    }
                    let mut user = users.default_row();
                    user[users.at("id")] = id;
                    transaction.insert(&caller, users, user)?;
                    transaction.insert(&caller, profiles, row)?;
                }
                Ok::<_, StoreError>(())
            })
            .expect("the rows fit");
        durable.wait_blocking().expect("durable");
    }

    /// Takes a row and all its index entries away behind the store's back, as damage to the engine's log does.
    fn lose(store: &Store, number: u128) {
        let profiles = schema().known("profiles");
        let ids = &store.inner.ids[profiles.id];
        let primary_key = keys::primary_key_of(&[Value::Uuid(uuid::Uuid::from_u128(number))]);
        let tree = store.inner.core.engine.get().expect("an engine").tree.clone();
        tree.remove(keys::row(ids, &primary_key)).expect("a removal").expect("the row");
        for index in &ids.indexes {
            for pair in tree.scan_prefix(keys::prefix(ids.id, *index)) {
                let (key, value) = pair.expect("a pair");
                if keys::primary_key_in(&key, &value) == Some(primary_key.as_slice()) {
                    tree.remove(key).expect("a removal");
                }
            }
        }
    }

    #[test]
    fn rows_that_vanish_with_all_that_belongs_to_them_are_missed() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let open = |accept_data_loss| {
            let options = OpenOptions { accept_data_loss, ..OpenOptions::default() };
            Store::open(&data, schema(), &options).expect("a store").0
        };
        let store = open(false);
        write(&store, 0..20, "a");
        write(&store, 5..10, "b");
        assert_eq!(store.check().expect("a report").faults, 0);
        drop(store);
        let store = open(false);
        for number in 10..15 {
            lose(&store, number);
        }
        // Writes go on, and the loss stays known.
        write(&store, 20..22, "c");
        write(&store, 0..3, "d");
        let missing = "5 of 22 rows of profiles are missing";
        assert_eq!(store.check().expect("a report").listed, [missing]);
        drop(store);
        let store = open(false);
        store.check_in_background();
        let started = Instant::now();
        while !matches!(store.integrity(), Integrity::Damaged { .. }) {
            assert!(started.elapsed() < Duration::from_secs(60), "{:?}", store.integrity());
            std::thread::sleep(Duration::from_millis(10));
        }
        let Integrity::Damaged { faults, listed } = store.integrity() else { panic!("it was damaged") };
        assert_eq!((faults, listed.as_slice()), (1, &[missing.to_string()][..]));
        // What is missing would be missing for good, so nothing is written anew.
        let refused = store.compact(&mut |_| {}).expect_err("no compaction");
        assert!(refused.to_string().contains(missing), "{refused}");
        assert!(!data.join("tree.compacting").exists());
        let manifest = store.backup(&folder.path().join("backup")).expect("a backup");
        assert_eq!(manifest.faults, [missing]);
        drop(store);
        // Where the loss is accepted the store is whole again.
        let store = open(true);
        assert_eq!(store.check().expect("a report").faults, 0);
        write(&store, 22..23, "e");
        assert_eq!(store.check().expect("a report").faults, 0);
    }

    #[test]
    fn a_row_in_an_older_version_is_missed_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store");
        let profiles = schema().known("profiles");
        write(&store, 0..3, "a");
        let key = keys::row(
            &store.inner.ids[profiles.id],
            &keys::primary_key_of(&[Value::Uuid(uuid::Uuid::from_u128(1))]),
        );
        let older = store.get(&key).expect("a read").expect("the row");
        write(&store, 1..2, "b");
        store.inner.core.engine.get().expect("an engine").tree.insert(&key, older).expect("a write");
        let listed = store.check().expect("a report").listed;
        assert_eq!(listed[0], "some of the 3 rows of profiles are not as they were committed");
    }
}
