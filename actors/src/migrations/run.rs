//! Takes a data folder from one migration to another, some rows at a time.

use models::{Claims, Row, TableInfo, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, StoreError};

use super::{MIGRATIONS, Migration};

/// The mark that says how far a folder has come.
const MARK: &str = "migrations";
/// The mark of folders that had scripts with versions before migrations were counted.
const EARLIER: &str = "one-active-script-1";
/// Rows of one commit.
const ROWS_PER_STEP: usize = 500;
/// Nothing else runs meanwhile.
const PATIENT: Limits = Limits {
    rows_max: 5_000_000,
    duration_max: std::time::Duration::from_secs(24 * 3600),
    sorted_max: 5_000_000,
    bytes_max: 4 << 30,
};

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The migration.
    pub number: usize,
    /// What it is called.
    pub name: &'static str,
    /// Whether it was taken back.
    pub is_back: bool,
    /// Rows that changed.
    pub rows: usize,
}

/// How far a folder has come: 0 is before the first migration.
pub fn standing(store: &Store) -> Result<usize, StoreError> {
    let seeds = schema().known("catalog.seeds");
    let reads = store.reads();
    if let Some(mark) = reads.get(seeds, &[Value::text(MARK)])? {
        let number = mark[seeds.at("rows")].as_i64().and_then(|number| usize::try_from(number).ok());
        return Ok(number.unwrap_or(0).min(MIGRATIONS.len()));
    }
    let is_counted_late = reads.get(seeds, &[Value::text(EARLIER)])?.is_some() || has_versions(store)?;
    Ok(if is_counted_late { MIGRATIONS.len() } else { 0 })
}

/// Whether scripts have what the second migration gives them.
fn has_versions(store: &Store) -> Result<bool, StoreError> {
    let table = schema().known("scripts");
    let [version, status, score] = ["version", "status", "evaluation_score"].map(|column| table.at(column));
    let rows = rows_of(store, table)?;
    Ok(rows.iter().any(|row| {
        row[version].as_i64().is_some_and(|number| number > 1)
            || row[status].as_str().is_some_and(|status| status != "draft")
            || !row[score].is_null()
    }))
}

/// All rows of a table, in the order in which they were made.
fn rows_of(store: &Store, table: &TableInfo) -> Result<Vec<Row>, StoreError> {
    let claims = Claims::service();
    let all = Query::all(table.id).order("created_at", false).order("id", false);
    Ok(Reader::new(store.reads(), &Caller::new(&claims), PATIENT).select(&all, false)?.rows)
}

/// Takes a folder to a migration. What a death of the process cuts short is taken up by the next call: each commit leaves
/// rows of which the same change makes the same.
///
/// Call it before triggers are set: the rules of rows are those of the newest migration.
pub fn migrate(store: &Store, to: usize) -> Result<Vec<Migrated>, StoreError> {
    let (mut now, mut done) = (standing(store)?, Vec::new());
    if now < to.min(MIGRATIONS.len()) {
        // What is half done must not look like a folder that had it before.
        mark(store, now)?;
    }
    while now < to.min(MIGRATIONS.len()) {
        let rows = change(store, &MIGRATIONS[now], false)?;
        now += 1;
        mark(store, now)?;
        done.push(Migrated { number: now, name: MIGRATIONS[now - 1].name, is_back: false, rows });
    }
    while now > to {
        // First the mark: a folder that is on its way back is not taken for one that has arrived.
        mark(store, now - 1)?;
        let rows = change(store, &MIGRATIONS[now - 1], true)?;
        done.push(Migrated { number: now, name: MIGRATIONS[now - 1].name, is_back: true, rows });
        now -= 1;
    }
    Ok(done)
}

/// Changes the rows of a migration's table; how many.
fn change(store: &Store, migration: &Migration, is_back: bool) -> Result<usize, StoreError> {
    let Some(name) = migration.table else { return Ok(0) };
    let table = schema().known(name);
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let rows = rows_of(store, table)?;
    let changed = (if is_back { migration.down } else { migration.up })(table, &rows);
    for part in changed.chunks(ROWS_PER_STEP) {
        let (_, durable) = store.transact(&claims, |transaction| {
            for (old, new) in part {
                transaction.update(&caller, table, old, new.clone())?;
            }
            Ok::<_, StoreError>(())
        })?;
        durable.wait_blocking()?;
        store::crash::point("migration_step");
    }
    store::crash::point("migration_changed");
    Ok(changed.len())
}

/// Notes how far the folder has come.
fn mark(store: &Store, number: usize) -> Result<(), StoreError> {
    let seeds = schema().known("catalog.seeds");
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let (_, durable) = store.transact(&claims, |transaction| {
        let old = transaction.reads().get(seeds, &[Value::text(MARK)])?;
        let mut row = old.clone().unwrap_or_else(|| seeds.default_row());
        row[seeds.at("id")] = Value::text(MARK);
        row[seeds.at("rows")] = Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        match old {
            Some(old) => transaction.update(&caller, seeds, &old, row)?,
            None => transaction.insert(&caller, seeds, row)?,
        };
        Ok::<_, StoreError>(())
    })?;
    durable.wait_blocking()?;
    store::crash::point("migration_marked");
    Ok(())
}
