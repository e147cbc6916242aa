//! Rows into the store, as they are: no behaviour of rows changes them, and every constraint holds. Many land in one
//! commit; where one of them is refused, the others still come in.

use models::{Claims, Row, TableInfo, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Store, StoreError, Transaction};

use super::mapping::Mapping;
use super::report::Report;

/// Rows of one commit at most.
const ROWS_MAX: usize = 500;
/// Bytes of their texts at most, about.
const BYTES_MAX: usize = 4 << 20;
/// An index that other systems need not have: one active script of a chapter, account and style.
const ONE_ACTIVE: &str = "scripts_one_active";

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Imported,
    Unchanged,
    Kept,
}

/// Takes the rows of one table.
pub(super) struct Loader<'l> {
    store: &'l Store,
    mapping: &'l Mapping,
    /// Columns whose references wait.
    late: &'l [usize],
    waiting: Vec<Row>,
    bytes: usize,
}

impl<'l> Loader<'l> {
    /// Takes rows of a table whose columns `late` are set when all tables are in.
    pub fn new(store: &'l Store, mapping: &'l Mapping, late: &'l [usize]) -> Loader<'l> {
        Loader { store, mapping, late, waiting: Vec::new(), bytes: 0 }
    }

    /// Takes a row.
    pub fn add(&mut self, row: Row, bytes: usize, report: &mut Report) -> Result<(), String> {
        self.waiting.push(row);
        self.bytes += bytes;
        match self.waiting.len() >= ROWS_MAX || self.bytes >= BYTES_MAX {
            true => self.flush(report),
            false => Ok(()),
        }
    }

    /// Takes a row whose references are to be set.
    pub fn take(&mut self, row: Row, report: &mut Report) -> Result<(), String> {
        self.waiting.push(row);
        match self.waiting.len() >= ROWS_MAX {
            true => self.refer(report),
            false => Ok(()),
        }
    }

    /// Brings in what was taken.
    pub fn flush(&mut self, report: &mut Report) -> Result<(), String> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.waiting);
        self.write(&rows, report, &insert)
    }

    /// Sets the references that waited, of the rows that were taken.
    pub fn refer(&mut self, report: &mut Report) -> Result<(), String> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.waiting);
        self.write(&rows, report, &refer)
    }

    /// Writes rows in one commit; halves of them where one is refused.
    fn write(&self, rows: &[Row], report: &mut Report, write: &Write) -> Result<(), String> {
        if rows.is_empty() {
            return Ok(());
        }
        let claims = Claims::service();
        let written = self.store.transact(&claims, |transaction| {
            rows.iter()
                .map(|row| write(transaction, self.mapping.table, self.late, row))
                .collect::<Result<Vec<_>, _>>()
        });
        let name = self.mapping.table.name();
        match written {
            Ok((outcomes, durable)) => {
                durable.wait_blocking().map_err(|error| error.to_string())?;
                let counts = report.of(&name);
                for outcome in outcomes.into_iter().flatten() {
                    match outcome {
                        Outcome::Imported => counts.imported += 1,
                        Outcome::Unchanged => counts.unchanged += 1,
                        Outcome::Kept => counts.kept += 1,
                    }
                }
                store::crash::point("imported_rows");
                Ok(())
            }
            Err(error) if is_fatal(&error) => Err(error.to_string()),
            Err(_) if rows.len() > 1 => {
                let (first, second) = rows.split_at(rows.len() / 2);
                self.write(first, report, write)?;
                self.write(second, report, write)
            }
            Err(error) => {
                let key = self.mapping.key(&rows[0]);
                if matches!(&error, StoreError::Duplicate { constraint, .. } if constraint == ONE_ACTIVE) {
                    let mut row = rows[0].clone();
                    row[self.mapping.table.at("status")] = Value::text("approved");
                    report.note(
                        &name,
                        &key,
                        "another script of its chapter, account and style is active: it is approved",
                    );
                    return self.write(&[row], report, write);
                }
                report.refused(&name, &key, &worded(&error));
                Ok(())
            }
        }
    }
}

/// Writes one row; `None` where there is nothing to count.
type Write = dyn Fn(&Transaction, &TableInfo, &[usize], &Row) -> Result<Option<Outcome>, StoreError>;

fn existing(transaction: &Transaction, table: &TableInfo, row: &Row) -> Result<Option<Row>, StoreError> {
    let key: Vec<Value> = table.primary_key.iter().map(|column| row[*column].clone()).collect();
    transaction.reads().get(table, &key)
}

/// Whether a row is there as an import writes it, with its references or before they are set.
fn is_same(there: &Row, row: &Row, late: &[usize]) -> bool {
    let columns = there.iter().zip(row).enumerate();
    columns
        .into_iter()
        .all(|(column, (there, new))| there == new || late.contains(&column) && there.is_null())
}

fn insert(
    transaction: &Transaction,
    table: &TableInfo,
    late: &[usize],
    row: &Row,
) -> Result<Option<Outcome>, StoreError> {
    if let Some(there) = existing(transaction, table, row)? {
        return Ok(Some(if is_same(&there, row, late) { Outcome::Unchanged } else { Outcome::Kept }));
    }
    let mut row = row.clone();
    for column in late {
        row[*column] = Value::Null;
    }
    transaction.insert(&Caller::new(transaction.claims), table, row)?;
    Ok(Some(Outcome::Imported))
}

fn refer(
    transaction: &Transaction,
    table: &TableInfo,
    late: &[usize],
    row: &Row,
) -> Result<Option<Outcome>, StoreError> {
    if let Some(there) = existing(transaction, table, row)?
        && there != *row
        && is_same(&there, row, late)
    {
        transaction.update(&Caller::new(transaction.claims), table, &there, row.clone())?;
    }
    Ok(None)
}

/// Whether nothing more can be written.
fn is_fatal(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Duplicate { .. }
            | StoreError::ReferenceMissing { .. }
            | StoreError::NotNull { .. }
            | StoreError::Check { .. }
            | StoreError::Raised { .. }
    )
}

/// An error with what it is about.
fn worded(error: &StoreError) -> String {
    match error {
        StoreError::Duplicate { key, .. } => format!("{error}: there is one with {key}"),
        StoreError::ReferenceMissing { column, value, target, .. } => {
            format!("{error}: {column} {value} is in no row of {target}")
        }
        other => other.to_string(),
    }
}

/// Gives accounts what every account has here and the source lacked: a profile and a role.
pub(super) fn complete_accounts(store: &Store, report: &mut Report) -> Result<(), String> {
    let [users, profiles, roles] = ["auth.users", "profiles", "user_roles"].map(|name| schema().known(name));
    let claims = Claims::service();
    let caller = Caller::new(&claims);
    let mut lacking = Vec::new();
    let reader = Reader::new(store.reads(), &caller, PATIENT);
    let read = reader.each_stored(&Query::all(users.id), models::Command::Select, &mut |row| {
        let id = row[users.at("id")].clone();
        if !store.reads().has(profiles, std::slice::from_ref(&id))? {
            lacking.push(id);
        }
        Ok(true)
    });
    read.map_err(|error| error.to_string())?;
    for id in lacking {
        let written = store.transact(&claims, |transaction| -> Result<(), StoreError> {
            let mut profile = profiles.default_row();
            profile[profiles.at("id")] = id.clone();
            transaction.insert(&caller, profiles, profile)?;
            if transaction.reads().referring(roles, roles.at("user_id"), &id)?.is_empty() {
                let mut role = roles.default_row();
                role[roles.at("user_id")] = id.clone();
                role[roles.at("role")] = Value::text("basic_user");
                transaction.insert(&caller, roles, role)?;
            }
            Ok(())
        });
        let (_, durable) = written.map_err(|error| error.to_string())?;
        durable.wait_blocking().map_err(|error| error.to_string())?;
        let key = models::convert::to_text(&id).unwrap_or_default();
        report.note("profiles", &key, "the account had no profile: it has one as after signing up");
    }
    Ok(())
}

/// Nothing waits for an import.
const PATIENT: Limits = Limits {
    rows_max: u64::MAX,
    duration_max: std::time::Duration::from_secs(7 * 24 * 3600),
    sorted_max: usize::MAX,
    bytes_max: usize::MAX,
};
