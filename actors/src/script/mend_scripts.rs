//! Scripts from the time when several of one chapter, account and style could be active.

use std::collections::HashSet;

use models::{Aggregate, Row, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};

use super::status::Status;
use super::version;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// The mark of a data folder in which this is done.
const MARK: &str = "one-active-script-1";
/// Only the start waits for this.
const PATIENT: Limits = Limits {
    rows_max: 200_000,
    duration_max: std::time::Duration::from_secs(24 * 3600),
    sorted_max: 200_000,
    bytes_max: 1 << 30,
};

/// Leaves the newest of several active scripts active and makes the others approved. Once per data folder.
#[derive(Debug)]
pub struct MendScripts;

impl Decision for MendScripts {
    /// Scripts that gave way.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::Story
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let seeds = schema().known("catalog.seeds");
        if transaction.reads().get(seeds, &[Value::text(MARK)])?.is_some() {
            return Ok(0);
        }
        let table = schema().known("scripts");
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let active = Query::all(table.id)
            .equal("status", Value::text(Status::Active.name()))
            .order("created_at", true);
        let rows = Reader::new(transaction.reads(), &service, PATIENT).select(&active, false)?.rows;
        let key = |row: &Row| format!("{:?}", version::KEY.map(|column| &row[table.at(column)]));
        let (mut kept, mut gave_way) = (HashSet::new(), 0);
        for row in &rows {
            if kept.insert(key(row)) {
                continue;
            }
            let mut other = row.clone();
            other[table.at("status")] = Value::text(Status::Approved.name());
            transaction.update(&service, table, row, other)?;
            gave_way += 1;
        }
        let mut mark = seeds.default_row();
        mark[seeds.at("id")] = Value::text(MARK);
        mark[seeds.at("rows")] = Value::Int(i64::try_from(gave_way).unwrap_or(i64::MAX));
        transaction.insert(&service, seeds, mark)?;
        Ok(gave_way)
    }
}
