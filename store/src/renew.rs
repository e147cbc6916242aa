//! Rows of earlier versions, written anew in the form in which columns are read one by one.
//!
//! It goes on beside everything else, a few rows in each commit, and says in the store that it is done; one that was cut
//! short begins anew at the next start and passes over what it has done. Rows of the older form can be read all the
//! time. Rows that are damaged stay as they are.

use models::{Claims, TableInfo, schema};

use crate::error::StoreError;
use crate::source::Pair;
use crate::source::Source;
use crate::{Store, encode, keys, row_bytes};

/// Rows looked at before the engine is given back, and written in one commit at most.
const ROWS_PER_STEP: usize = 256;

impl Store {
    /// Writes all rows of the older form anew, and answers with how many there were.
    pub fn renew_rows(&self) -> Result<u64, StoreError> {
        let mut renewed = 0;
        if self.inner.core.engine.get()?.tree.get(keys::RENEWED)?.is_some() {
            return Ok(renewed);
        }
        for table in &schema().tables {
            renewed += self.renew_table(table)?;
        }
        let (_, durable) = self.transact(&Claims::service(), |transaction| {
            transaction.overlay.put(keys::RENEWED.to_vec(), vec![1]);
            Ok::<_, StoreError>(())
        })?;
        durable.wait_blocking().map(|()| renewed)
    }

    fn renew_table(&self, table: &TableInfo) -> Result<u64, StoreError> {
        let prefix = keys::prefix(self.inner.ids[table.id].id, 0);
        let (mut from, end, mut renewed) = (prefix.clone(), encode::after_prefix(&prefix), 0);
        loop {
            let step: Vec<Pair> = {
                let live = self.inner.core.engine.get()?;
                live.range(from.clone(), end.clone(), false).take(ROWS_PER_STEP).collect::<Result<_, _>>()?
            };
            let Some((last, _)) = step.last() else { return Ok(renewed) };
            from = last.to_vec();
            from.push(0);
            let older: Vec<Pair> =
                step.into_iter().filter(|(_, bytes)| !row_bytes::is_current(bytes)).collect();
            if older.is_empty() {
                continue;
            }
            let ((count, damaged), durable) = self.transact(&Claims::service(), |transaction| {
                let (mut count, mut damaged) = (0, Vec::new());
                for (key, _) in &older {
                    match transaction.renew_row(table, key) {
                        Ok(is_renewed) => count += u64::from(is_renewed),
                        Err(StoreError::Corrupt(reason)) => damaged.push(reason),
                        Err(error) => return Err(error),
                    }
                }
                Ok::<_, StoreError>((count, damaged))
            })?;
            durable.wait_blocking()?;
            renewed += count;
            if let Some(reason) = damaged.first() {
                let rows = damaged.len();
                // No later start can read them either.
                tracing::error!(rows, reason, "damaged rows of an earlier version are left as they are");
            }
        }
    }

    /// The same on a thread of its own; the log says what came of it.
    pub fn renew_rows_in_background(&self) {
        let store = self.clone();
        let renew = move || match store.renew_rows() {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "rows of an earlier version were written anew"),
            // They can be read as they are, and the next start tries again.
            Err(error) => tracing::warn!(%error, "rows of an earlier version could not be written anew"),
        };
        if let Err(error) = std::thread::Builder::new().name("renew".into()).spawn(renew) {
            tracing::warn!(%error, "rows of an earlier version are left as they are");
        }
    }
}

#[cfg(test)]
mod tests {
    use models::Value;

    use super::*;
    use crate::{Caller, OpenOptions};

    /// Puts all rows of a table back into the older form, as a store of an earlier version has them.
    fn age(store: &Store, table: &TableInfo) -> usize {
        let ids = &store.inner.ids[table.id];
        let tree = store.inner.core.engine.get().expect("an engine").tree.clone();
        let mut digest = crate::digest::Digest::default();
        let mut rows = 0;
        for pair in tree.scan_prefix(keys::prefix(ids.id, 0)) {
            let (key, bytes) = pair.expect("a pair");
            let (version, parts) = row_bytes::read(&bytes).expect("a row");
            let older = row_bytes::write_older(version, &parts);
            digest.add(&key, &older);
            tree.insert(key, older).expect("a write");
            rows += 1;
        }
        tree.insert(keys::digest(ids.id), digest.to_bytes()).expect("a write");
        tree.remove(keys::RENEWED).expect("a removal");
        tree.insert(keys::LAYOUT, &[2]).expect("a write");
        rows
    }

    fn older_rows(store: &Store) -> usize {
        let tree = store.inner.core.engine.get().expect("an engine").tree.clone();
        let is_row = |key: &[u8]| keys::table_of_row(key).is_some();
        tree.iter().flatten().filter(|(key, bytes)| is_row(key) && !row_bytes::is_current(bytes)).count()
    }

    #[test]
    fn rows_of_the_older_form_are_read_and_written_anew_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Store::open(folder.path(), schema(), &OpenOptions::default()).expect("a store").0;
        let store = open();
        let (users, claims) = (schema().known("auth.users"), Claims::service());
        let write = |store: &Store, numbers: std::ops::Range<u128>| {
            let (_, durable) = store
                .transact(&claims, |transaction| {
                    for number in numbers {
                        let mut row = users.default_row();
                        row[users.at("id")] = Value::Uuid(uuid::Uuid::from_u128(number));
                        // Every hundredth is so large that its text lies in a blob.
                        let text = "fog".repeat(if number % 100 == 7 { 20_000 } else { 2 });
                        row[users.at("email")] = Value::Text(format!("{number}{text}"));
                        transaction.insert(&Caller::new(&claims), users, row)?;
                    }
                    Ok::<_, StoreError>(())
                })
                .expect("the rows fit");
            durable.wait_blocking().expect("durable");
        };
        write(&store, 0..700);
        let rows = |store: &Store| -> Vec<Option<models::Row>> {
            let id = |number| Value::Uuid(uuid::Uuid::from_u128(number));
            (0..720).map(|number| store.reads().get(users, &[id(number)]).expect("a read")).collect()
        };
        let before = rows(&store);
        assert_eq!(store.renew_rows().expect("nothing to do"), 0);
        assert_eq!(age(&store, users), 700);
        drop(store);
        // The digest is read when the store is opened.
        let store = open();
        assert_eq!((older_rows(&store), rows(&store) == before), (700, true));
        assert_eq!(store.check().expect("a report").faults, 0);
        // A part of them is written before the process ends.
        let claims = Claims::service();
        let keys_of = |store: &Store| -> Vec<sled::IVec> {
            let prefix = keys::prefix(store.inner.ids[users.id].id, 0);
            let tree = store.inner.core.engine.get().expect("an engine").tree.clone();
            tree.scan_prefix(prefix).keys().flatten().collect()
        };
        let some = keys_of(&store);
        let (_, durable) = store
            .transact(&claims, |transaction| {
                some[..300].iter().try_for_each(|key| transaction.renew_row(users, key).map(|_| ()))
            })
            .map_err(|error: StoreError| error.to_string())
            .expect("a commit");
        durable.wait_blocking().expect("durable");
        drop(store);
        let store = open();
        assert_eq!((older_rows(&store), store.check().expect("a report").faults), (400, 0));
        assert_eq!(store.renew_rows().expect("the rest"), 400);
        assert_eq!((older_rows(&store), rows(&store) == before), (0, true));
        let report = store.check().expect("a report");
        assert_eq!((report.faults, report.listed), (0, Vec::new()));
        assert_eq!(store.renew_rows().expect("nothing to do"), 0);
        write(&store, 700..710);
        assert_eq!(store.check().expect("a report").faults, 0);
        // One that is damaged keeps none of the others from it, and is not tried again at each start.
        assert_eq!(age(&store, users), 710);
        let tree = store.inner.core.engine.get().expect("an engine").tree.clone();
        let key = &keys_of(&store)[3];
        let mut bytes = tree.get(key).expect("a read").expect("the row").to_vec();
        *bytes.last_mut().expect("a byte") ^= 1;
        tree.insert(key, bytes).expect("damage");
        assert_eq!(store.renew_rows().expect("the others"), 709);
        assert_eq!(older_rows(&store), 1);
        assert!(tree.get(keys::RENEWED).expect("a read").is_some());
    }
}
