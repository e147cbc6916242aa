//! Inserting, changing and removing rows of any table, as a client of the REST dialect asks.

use std::collections::HashSet;
use std::time::Duration;

use models::{Aggregate, Command, Row, TableId, TableInfo, Value, convert, schema};
use store::query::{Candidate, Filter, Limits, Query, Reader, Rows};
use store::{Caller, Event, StoreError, Transaction};

use crate::aggregate::Decision;
use crate::job_scheduler::jobs;
use crate::own_references;
use crate::refusal::Refusal;
use crate::script;
use crate::storyboard::scene_order;

/// How long the reads of one write may take.
const READS_MAX: Duration = Duration::from_secs(5);
/// How long it may take to read back rows with what a client embeds in them, which is no part of the decision.
const EMBEDS_MAX: Duration = Duration::from_secs(1);

/// One write request; it lands whole or not at all.
#[derive(Clone, Debug)]
pub struct WriteRows {
    /// The table.
    pub table: TableId,
    /// What to do.
    pub change: Change,
    /// What to return of the rows concerned; `None` returns nothing.
    pub returning: Option<Query>,
    /// Roll back unless exactly one row is concerned.
    pub exactly_one: bool,
    /// Roll back if more rows are concerned.
    pub affected_max: Option<u64>,
    /// Limits of the reads involved.
    pub limits: Limits,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Change {
    /// Add rows.
    Insert {
        /// Whole rows, defaults filled in.
        rows: Vec<Row>,
        /// What to do about rows that exist.
        conflict: Option<Conflict>,
    },
    /// Set columns of the rows that a filter finds.
    Update {
        /// Which rows.
        filter: Filter,
        /// Embeds that the filter refers to.
        scope: Box<Query>,
        /// The new values.
        set: Vec<(usize, Value)>,
    },
    /// Remove the rows that a filter finds.
    Delete {
        /// Which rows.
        filter: Filter,
        /// Embeds that the filter refers to.
        scope: Box<Query>,
    },
}

/// What to do about rows that exist.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The unique key that decides.
    pub columns: Vec<usize>,
    /// Replace these columns; `None` leaves existing rows alone and out of the answer.
    pub merge: Option<Vec<usize>>,
}

impl Change {
    /// What it looks for, if it is about rows that a filter finds.
    pub fn looks_for(&self) -> Option<(Query, Command)> {
        let (scope, filter, command) = match self {
            Change::Insert { .. } => return None,
            Change::Update { filter, scope, .. } => (scope, filter, Command::Update),
            Change::Delete { filter, scope } => (scope, filter, Command::Delete),
        };
        Some((Query::clone(scope).filter(filter.clone()), command))
    }
}

/// A write request whose rows were looked for before its turn: a filter may cost seconds, which no other write waits for.
#[derive(Debug)]
pub struct WriteFound {
    /// The request.
    pub write: WriteRows,
    /// The rows that its filter found; those that changed since are tried again.
    pub found: Vec<Candidate>,
}

impl Decision for WriteFound {
    type Answer = Written;

    fn owner(&self) -> Aggregate {
        self.write.owner()
    }

    fn decide(self, transaction: &Transaction) -> Result<Written, Refusal> {
        self.write.run(transaction, Some(&self.found))
    }
}

/// What happened.
#[derive(Debug)]
pub struct Written {
    /// Rows concerned.
    pub affected: u64,
    /// Rows that did not exist before.
    pub inserted: u64,
    /// The rows, as `returning` asked.
    pub rows: Option<Rows>,
    /// The first row concerned, whole.
    pub first: Option<Row>,
}

impl Decision for WriteRows {
    type Answer = Written;

    fn owner(&self) -> Aggregate {
        schema().tables[self.table].table.owner
    }

    fn decide(self, transaction: &Transaction) -> Result<Written, Refusal> {
        self.run(transaction, None)
    }
}

impl WriteRows {
    /// Decides about the rows that were found before, or finds them.
    fn run(self, transaction: &Transaction, found: Option<&[Candidate]>) -> Result<Written, Refusal> {
        let table = &schema().tables[self.table];
        let caller = Caller::new(transaction.claims);
        // All other writes wait meanwhile.
        let within =
            |most: Duration| Limits { duration_max: self.limits.duration_max.min(most), ..self.limits };
        let limits = within(READS_MAX);
        let has_embeds = self.returning.as_ref().is_some_and(|query| !query.embeds.is_empty());
        let back = if has_embeds { within(EMBEDS_MAX) } else { limits };
        let mut inserted = 0;
        let mut returned = None;
        let rows = match self.change {
            Change::Insert { rows, conflict } => {
                let rows = insert(transaction, &caller, table, rows, conflict.as_ref(), &mut inserted)?;
                settle(transaction, table)?;
                if let Some(query) = &self.returning {
                    returned = Some(read_back(transaction, &caller, table, query, &rows, back)?);
                }
                rows
            }
            Change::Update { filter, scope, set } => {
                let query = scope.filter(filter);
                let old = find(transaction, &caller, &query, Command::Update, limits, found)?;
                let mut rows = Vec::with_capacity(old.len());
                for old in &old {
                    let set = |row: &mut Row| {
                        set.iter().for_each(|(column, value)| row[*column] = value.clone());
                    };
                    rows.push(change(transaction, &caller, table, old, &set)?);
                }
                settle(transaction, table)?;
                let rows = in_order(transaction, &caller, table, self.returning.as_ref(), rows, limits)?;
                if let Some(query) = &self.returning {
                    returned = Some(read_back(transaction, &caller, table, query, &rows, back)?);
                }
                rows
            }
            Change::Delete { filter, scope } => {
                let query = scope.filter(filter);
                let rows = find(transaction, &caller, &query, Command::Delete, limits, found)?;
                let rows = in_order(transaction, &caller, table, self.returning.as_ref(), rows, limits)?;
                // What goes away is read before it goes.
                if let Some(query) = &self.returning {
                    returned = Some(read_back(transaction, &caller, table, query, &rows, back)?);
                }
                for row in &rows {
                    // An earlier deletion of this request may have cascaded to it.
                    let key: Vec<Value> =
                        table.primary_key.iter().map(|column| row[*column].clone()).collect();
                    if transaction.reads().get(table, &key)?.is_some() {
                        transaction.delete(&caller, table, row)?;
                    }
                }
                settle(transaction, table)?;
                rows
            }
        };
        let affected = rows.len() as u64;
        if let Some(max) = self.affected_max
            && affected > max
        {
            return Err(Refusal::TooManyAffected { count: affected });
        }
        if self.exactly_one && affected != 1 {
            return Err(Refusal::NotSingular { count: affected });
        }
        Ok(Written { affected, inserted, rows: returned, first: rows.into_iter().next() })
    }
}

fn insert(
    transaction: &Transaction,
    caller: &Caller,
    table: &TableInfo,
    rows: Vec<Row>,
    conflict: Option<&Conflict>,
    inserted: &mut u64,
) -> Result<Vec<Row>, Refusal> {
    let mut written = Vec::with_capacity(rows.len());
    let mut touched = HashSet::new();
    let is_alone =
        rows.len() == 1 && (table.table.schema, table.table.name) == ("public", "storyboard_scenes");
    for mut row in rows {
        if is_alone {
            scene_order::place(transaction, table, &mut row)?;
        }
        let existing = match conflict {
            None => None,
            Some(conflict) => transaction.conflicting(table, &conflict.columns, &row)?,
        };
        match (existing, conflict.and_then(|conflict| conflict.merge.as_ref())) {
            (None, _) => {
                *inserted += 1;
                let row = transaction.insert(caller, table, row)?;
                if (table.table.schema, table.table.name) == ("public", "jobs") {
                    jobs::refuse_unqueued(table, &row)?;
                }
                if conflict.is_some() {
                    touched.insert(key_text(table, &row));
                }
                written.push(row);
            }
            (Some(old), merge)
                if !store::guard::allows(&transaction.reads(), caller, table, Command::Select, &old)? =>
            {
                // As PostgreSQL judges it: the policy of the row that was to be added, then of the one that is there.
                let policy = |command| StoreError::Policy { table: table.table.name.into(), command };
                if !store::guard::allows(&transaction.reads(), caller, table, Command::Insert, &row)? {
                    return Err(policy(Command::Insert).into());
                }
                // A row that refers to another account's must not tell by its key what there is.
                let event = Event { table, command: Command::Insert, old: None, claims: caller.claims };
                own_references::check(transaction, &event, &row)?;
                if merge.is_some() {
                    return Err(policy(Command::Update).into());
                }
            }
            (Some(_), None) => {}
            (Some(old), Some(columns)) => {
                if !touched.insert(key_text(table, &old)) {
                    return Err(StoreError::raised(
                        "21000",
                        "ON CONFLICT DO UPDATE command cannot affect row a second time",
                    )
                    .into());
                }
                let merge = |merged: &mut Row| {
                    columns.iter().for_each(|column| merged[*column] = row[*column].clone());
                };
                written.push(change(transaction, caller, table, &old, &merge)?);
            }
        }
    }
    Ok(written)
}

/// What holds of a request's rows together, once all of them are written.
fn settle(transaction: &Transaction, table: &TableInfo) -> Result<(), Refusal> {
    if (table.table.schema, table.table.name) == ("public", "storyboard_scenes") {
        scene_order::settle(transaction, table)?;
    }
    Ok(())
}

/// Changes a row; answers with the row that holds the change.
fn change(
    transaction: &Transaction,
    caller: &Caller,
    table: &TableInfo,
    old: &Row,
    set: &dyn Fn(&mut Row),
) -> Result<Row, Refusal> {
    if (table.table.schema, table.table.name) == ("public", "scripts") {
        return Ok(script::change::change(transaction, caller, table, old, set)?);
    }
    let mut row = old.clone();
    set(&mut row);
    Ok(transaction.update(caller, table, old, row)?)
}

/// The primary key, to compare by.
fn key_text(table: &TableInfo, row: &Row) -> String {
    let mut text = String::new();
    for column in &table.primary_key {
        convert::write_json(&row[*column], &mut text);
        text.push(',');
    }
    text
}

fn find(
    transaction: &Transaction,
    caller: &Caller,
    query: &Query,
    command: Command,
    limits: Limits,
    found: Option<&[Candidate]>,
) -> Result<Vec<Row>, Refusal> {
    let reader = Reader::new(transaction.reads(), caller, limits);
    Ok(match found {
        Some(found) => reader.confirmed(query, command, found)?,
        None => reader.stored(query, command)?,
    })
}

/// The rows in the order in which they are to be answered.
fn in_order(
    transaction: &Transaction,
    caller: &Caller,
    table: &TableInfo,
    returning: Option<&Query>,
    rows: Vec<Row>,
    limits: Limits,
) -> Result<Vec<Row>, Refusal> {
    let Some(query) = returning.filter(|query| !query.order.is_empty()) else { return Ok(rows) };
    let reader = Reader::new(transaction.reads(), caller, limits);
    Ok(reader.sorted(table, query, rows)?)
}

/// The rows as the caller may see them, in the order in which they were written.
fn read_back(
    transaction: &Transaction,
    caller: &Caller,
    table: &TableInfo,
    query: &Query,
    rows: &[Row],
    limits: Limits,
) -> Result<Rows, Refusal> {
    let reader = Reader::new(transaction.reads(), caller, limits);
    let mut all = Rows::default();
    for row in rows {
        let mut one = query.clone();
        for column in &table.primary_key {
            one = one.filter(Filter::equal(*column, row[*column].clone()));
        }
        let mut found = reader.select(&one, false)?;
        // A writer who may not read what was written is refused, as PostgreSQL refuses RETURNING; an embed that
        // drops its parents may drop this one.
        if found.rows.is_empty()
            && !store::guard::allows(&transaction.reads(), caller, table, Command::Select, row)?
        {
            return Err(
                StoreError::Policy { table: table.table.name.into(), command: Command::Select }.into()
            );
        }
        all.columns = found.columns;
        all.rows.append(&mut found.rows);
    }
    Ok(all)
}
