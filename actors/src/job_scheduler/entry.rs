//! Finding and changing the two rows of a job.

use models::{Row, TableInfo, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::refusal::Refusal;

/// The table of jobs.
pub(super) fn jobs() -> &'static TableInfo {
    schema().known("jobs")
}

/// The table of queue entries.
pub(super) fn entries() -> &'static TableInfo {
    schema().known("queue.entries")
}

/// A row by its id.
pub(super) fn by_id(transaction: &Transaction, table: &TableInfo, id: Uuid) -> Result<Option<Row>, Refusal> {
    Ok(transaction.reads().get(table, &[Value::Uuid(id)])?)
}

/// The first row that a query finds, in its order, with the server's rights.
pub(super) fn first(transaction: &Transaction, query: Query) -> Result<Option<Row>, Refusal> {
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    let table = &schema().tables[query.table];
    let found =
        Reader::new(transaction.reads(), &caller, Limits::default()).select(&query.limit(1), false)?;
    let Some(row) = found.rows.into_iter().next() else { return Ok(None) };
    let key: Vec<Value> = table.primary_key.iter().map(|column| row[*column].clone()).collect();
    Ok(transaction.reads().get(table, &key)?)
}

/// Writes some columns of a row with the server's rights.
pub(super) fn set(
    transaction: &Transaction,
    table: &TableInfo,
    old: &Row,
    values: &[(&str, Value)],
) -> Result<Row, Refusal> {
    let service = transaction.claims.elevated();
    let mut row = old.clone();
    values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
    Ok(transaction.update(&Caller::new(&service), table, old, row)?)
}

/// `micros` after now.
pub(super) fn in_micros(micros: i64) -> Value {
    Value::Timestamp(chrono::Utc::now().timestamp_micros().saturating_add(micros))
}
