//! How many jobs there are of each state and kind: counted once at the start, then kept up to date by commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use models::{Claims, Row, Value, schema};
use store::query::{Field, Function, Item, Limits, Output, Query, Reader};
use store::{Caller, Store, StoreError};

use super::jobs::is_final;

/// Groups of state and kind; there are not so many.
const GROUPS_MAX: u64 = 10_000;
/// How long the first count may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A state and a kind of jobs.
pub type StateAndKind = (String, String);

/// How many jobs there are.
#[derive(Debug, Default)]
pub struct JobTally {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    now: BTreeMap<StateAndKind, i64>,
    ended: BTreeMap<StateAndKind, u64>,
}

impl JobTally {
    /// Counts the jobs of a store that takes no writes yet, and follows its commits.
    pub(crate) fn follow(store: &Store) -> Arc<JobTally> {
        let tally = Arc::new(JobTally::default());
        match counted(store) {
            Ok(now) => tally.lock().now = now,
            Err(error) => tracing::error!(%error, "the jobs could not be counted"),
        }
        let jobs = schema().known("jobs");
        let following = tally.clone();
        store.on_commit(Box::new(move |commit| {
            for change in commit.changes.iter().filter(|change| change.table == jobs.id) {
                following.change(change.old.as_deref(), change.new.as_deref());
            }
        }));
        tally
    }

    /// Jobs by state and kind.
    pub fn now(&self) -> Vec<(StateAndKind, i64)> {
        let counts = self.lock();
        counts.now.iter().filter(|(_, count)| **count > 0).map(|(key, count)| (key.clone(), *count)).collect()
    }

    /// Jobs that have come to an end since the start, by that end and their kind.
    pub fn ended(&self) -> Vec<(StateAndKind, u64)> {
        self.lock().ended.iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    fn change(&self, old: Option<&Row>, new: Option<&Row>) {
        let (old, new) = (old.map(state_and_kind), new.map(state_and_kind));
        if old == new {
            return;
        }
        let mut counts = self.lock();
        if let Some(new) = &new
            && is_final(Some(&new.0))
            && old.as_ref().is_some_and(|old| !is_final(Some(&old.0)))
        {
            *counts.ended.entry(new.clone()).or_default() += 1;
        }
        if let Some(old) = old {
            *counts.now.entry(old).or_default() -= 1;
        }
        if let Some(new) = new {
            *counts.now.entry(new).or_default() += 1;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state_and_kind(row: &Row) -> StateAndKind {
    let jobs = schema().known("jobs");
    let text = |column: &str| row[jobs.at(column)].as_str().unwrap_or_default().to_string();
    (text("status"), text("job_type"))
}

fn counted(store: &Store) -> Result<BTreeMap<StateAndKind, i64>, StoreError> {
    let jobs = schema().known("jobs");
    let claims = Claims::service();
    let service = Caller::new(&claims);
    let limits = Limits { rows_max: GROUPS_MAX, duration_max: PATIENCE, ..Limits::default() };
    let reader = Reader::new(store.reads(), &service, limits);
    let field =
        |name: &'static str| Output { key: name.into(), item: Item::Field(Field::column(jobs.at(name))) };
    let count = Item::Aggregate { function: Function::Count, of: None, cast: None };
    let select = vec![field("status"), field("job_type"), Output { key: "count".into(), item: count }];
    let rows = reader.select(&Query { select, ..Query::all(jobs.id) }, false)?.rows;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    Ok(rows.iter().map(|row| ((text(&row[0]), text(&row[1])), row[2].as_i64().unwrap_or(0))).collect())
}
