//! What commits wrote goes into the engine: those that gathered (`ahead.rs`) as one batch.

use std::sync::atomic::Ordering;

use sled::IVec;

use crate::ahead::{Pairs, Waiting};
use crate::core::Core;
use crate::error::StoreError;
use crate::failure::Failure;

impl Core {
    /// Applies what has gathered.
    pub fn apply(&self) -> Result<(), Failure> {
        let _in_order = self.ahead.in_order();
        if !self.ahead.is_open() {
            return Ok(());
        }
        // After a failure nothing follows what is missing.
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let (layer, waiting) = self.ahead.close();
        let result = write(self, &layer.read());
        if let Err(failure) = &result {
            self.fail(failure.clone());
        }
        self.ahead.closed(&layer, waiting);
        result
    }

    /// Applies what has gathered, and answers with the commits that wait to be durable and the keys that were written.
    /// After a failure these are all that wait.
    pub fn apply_and_take(&self) -> (Vec<Waiting>, Vec<IVec>) {
        let failed = self.apply().is_err();
        self.ahead.take(failed)
    }
}

fn write(core: &Core, layer: &Pairs) -> Result<(), Failure> {
    let closed = Failure { is_full: false, may_recover: true, reason: "the engine is closed".into() };
    let live = core.engine.now().ok_or(closed)?;
    // What the engine made of a batch that failed is not known.
    let failed = |error: StoreError| Failure::of_engine(&live, &error);
    let mut taps = core.taps();
    taps.keep_old(&live.tree, layer.pairs.keys()).map_err(failed)?;
    let mut batch = sled::Batch::default();
    for (key, value) in &layer.pairs {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    let changing = core.counts.changing(layer.pairs.keys());
    crate::crash::point("before_apply");
    live.tree.apply_batch(batch).map_err(|error| failed(live.noted(error)))?;
    drop(changing);
    core.commits.store(layer.number, Ordering::Relaxed);
    core.tally.add(layer.grown.iter().map(|(table, bytes)| (*table, *bytes)));
    crate::crash::point("after_apply");
    Ok(())
}

#[cfg(test)]
mod tests {
    use models::{Claims, Row, TableInfo, Value, schema};
    use uuid::Uuid;

    use super::*;
    use crate::{Caller, Durable, OpenOptions, Reads, Store, Transaction};

    fn open(folder: &std::path::Path) -> Store {
        Store::open(folder, schema(), &OpenOptions::default()).expect("a store").0
    }

    fn id(number: u128) -> Value {
        Value::Uuid(Uuid::from_u128(number))
    }

    fn user(number: u128, email: &str) -> Row {
        let users = schema().known("auth.users");
        let mut row = users.default_row();
        (row[users.at("id")], row[users.at("email")]) = (id(number), Value::text(email));
        row
    }

    fn write<T>(
        store: &Store,
        decide: impl FnOnce(&Transaction, &Caller) -> Result<T, StoreError>,
    ) -> Result<(T, Durable), StoreError> {
        let claims = Claims::service();
        store.transact(&claims, |transaction| decide(transaction, &Caller::new(&claims)))
    }

    fn stored(reads: &Reads, table: &TableInfo, number: u128) -> Row {
        reads.get(table, &[id(number)]).expect("a read").expect("the row")
    }

    fn emails(reads: &Reads, numbers: std::ops::Range<u128>) -> Vec<String> {
        let users = schema().known("auth.users");
        let row = |number| reads.get(users, &[id(number)]).expect("a read");
        let email = |row: Row| row[users.at("email")].as_str().unwrap_or_default().to_string();
        numbers.filter_map(row).map(email).collect()
    }

    /// Rows that an index finds.
    fn sessions(reads: &Reads, user: u128) -> usize {
        let sessions = schema().known("auth.sessions");
        reads.referring(sessions, sessions.at("user_id"), &id(user)).expect("a read").len()
    }

    #[test]
    fn a_decision_stands_on_commits_that_are_not_applied_yet_and_readers_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let (users, table) = (schema().known("auth.users"), schema().known("auth.sessions"));
        let (_, durable) = write(&store, |transaction, caller| {
            transaction.insert(caller, users, user(1, "one"))?;
            transaction.insert(caller, users, user(2, "two"))
        })
        .expect("the rows fit");
        durable.wait_blocking().expect("durable");
        // The flush thread waits for this to end.
        let in_order = store.inner.core.ahead.in_order();
        let mut waiting = Vec::new();
        for step in 0..4 {
            let (seen, durable) = write(&store, |transaction, caller| {
                let reads = transaction.reads();
                let seen = (emails(&reads, 1..6), sessions(&reads, 1));
                assert_eq!(seen, (emails(&transaction.reads_before(), 1..6), sessions(&reads, 1)));
                let session = |number: u128| {
                    let mut row = table.default_row();
                    (row[table.at("id")], row[table.at("user_id")]) = (id(number), id(1));
                    row
                };
                match step {
                    0 => {
                        transaction.insert(caller, users, user(3, "three"))?;
                        (10..14)
                            .try_for_each(|it| transaction.insert(caller, table, session(it)).map(|_| ()))?;
                    }
                    1 => {
                        let old = stored(&reads, users, 3);
                        let mut new = old.clone();
                        new[users.at("email")] = Value::text("third");
                        transaction.update(caller, users, &old, new)?;
                        transaction.delete(caller, table, &stored(&reads, table, 11))?;
                    }
                    2 => transaction.delete(caller, users, &stored(&reads, users, 2))?,
                    _ => drop(transaction.insert(caller, users, user(4, "four"))?),
                }
                Ok(seen)
            })
            .expect("the rows fit");
            let expected = [
                (vec!["one", "two"], 0),
                (vec!["one", "two", "three"], 4),
                (vec!["one", "two", "third"], 3),
                (vec!["one", "third"], 3),
            ];
            assert_eq!(seen.0, expected[step].0, "{step}");
            assert_eq!(seen.1, expected[step].1, "{step}");
            waiting.push(durable);
        }
        assert_eq!(
            (emails(&store.reads(), 1..6), sessions(&store.reads(), 1)),
            (vec!["one".into(), "two".into()], 0)
        );
        drop(in_order);
        waiting.into_iter().for_each(|durable| durable.wait_blocking().expect("durable"));
        assert_eq!(emails(&store.reads(), 1..6), ["one", "third", "four"]);
        assert_eq!(sessions(&store.reads(), 1), 3);
        let report = store.check().expect("a report");
        assert_eq!((report.faults, report.listed), (0, Vec::new()));
    }

    #[test]
    fn what_a_refused_decision_stands_on_is_there_for_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let users = schema().known("auth.users");
        for number in 1..200 {
            let email = format!("{number}@example.com");
            let insert = || {
                write(&store, |transaction, caller| transaction.insert(caller, users, user(number, &email)))
            };
            let (_, durable) = insert().expect("the row fits");
            let again = insert();
            assert!(matches!(again, Err(StoreError::Duplicate { .. })), "{again:?}");
            assert_eq!(emails(&store.reads(), number..number + 1), [&*email]);
            drop(durable);
        }
        let ((), nothing) = write(&store, |_, _| Ok(())).expect("nothing is written");
        nothing.wait_blocking().expect("nothing to wait for");
        assert_eq!(emails(&store.reads(), 1..200).len(), 199);
    }
}
