//! Finding and changing the two rows of a job.

use models::{Row, TableInfo, Value, schema};
use serde_json::{Map, Value as Json};
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

/// A clock that is behind the time at which something was set by more than this was set back meanwhile.
const SET_BACK_MICROS: i64 = 60_000_000;

/// Whether a time that was set at `set_at` has come. After a clock was set back that is not known, and the answer is yes:
/// otherwise a job would wait, or a silent worker keep it, for as long as the clock went back.
pub(super) fn has_come(time: i64, set_at: Option<i64>, now: i64) -> bool {
    time <= now || set_at.is_some_and(|set_at| set_at.saturating_sub(now) > SET_BACK_MICROS)
}

/// Whether a report of `attempt` is about the job as it is: about its attempt that runs, or, where the reporter does
/// not know which that is, about a job that has not ended.
pub(super) fn is_current(job: &Row, attempt: Option<i64>) -> bool {
    let jobs = jobs();
    let status = job[jobs.at("status")].as_str();
    match attempt {
        Some(attempt) => status == Some("processing") && job[jobs.at("attempts")].as_i64() == Some(attempt),
        None => !super::jobs::is_final(status),
    }
}

/// The job of an attempt, while it is still that attempt's: neither ended nor claimed anew.
pub(super) fn current_job(transaction: &Transaction, id: Uuid, attempt: i64) -> Result<Option<Row>, Refusal> {
    Ok(by_id(transaction, jobs(), id)?.filter(|job| is_current(job, Some(attempt))))
}

/// A job's metadata with some members set.
pub(super) fn merged(job: &Row, members: Map<String, Json>) -> Value {
    let mut metadata = match job[jobs().at("metadata")].as_json() {
        Some(Json::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    metadata.extend(members);
    Value::json(&Json::Object(metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_for_a_clock_that_was_set_back() {
        let (minute, hour, now) = (60_000_000, 3_600_000_000, 3_600_000_000_000_000);
        assert!(!has_come(now + minute, Some(now), now));
        assert!(!has_come(now + 1, None, now));
        assert!(has_come(now, Some(now - minute), now));
        // Clocks of machines differ a little.
        assert!(!has_come(now + 2 * minute, Some(now + minute / 2), now));
        assert!(has_come(now + hour + 5 * minute, Some(now + hour), now));
        assert!(has_come(i64::MAX, Some(i64::MAX), i64::MIN));
    }
}
