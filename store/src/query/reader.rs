//! Who reads, and how much they may.

use std::cell::Cell;
use std::time::{Duration, Instant};

use models::Value;

use super::tree::Name;
use crate::error::StoreError;
use crate::guard::Caller;
use crate::read::Reads;

/// Limits of one read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of a result, and of each embedded array.
    pub rows_max: u64,
    /// Time.
    pub duration_max: Duration,
    /// Rows kept for sorting or grouping when no index gives the order.
    pub sorted_max: usize,
    /// Size of the whole result in memory.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            rows_max: 1000,
            duration_max: Duration::from_secs(30),
            sorted_max: 200_000,
            bytes_max: 64 << 20,
        }
    }
}

/// A table of results.
#[derive(Debug, Default)]
pub struct Rows {
    /// Names of the members.
    pub columns: Vec<Name>,
    /// Values; nested results are JSON.
    pub rows: Vec<Vec<Value>>,
    /// How many rows there are without offset and limit, when that was asked for.
    pub total: Option<u64>,
}

/// Runs queries for one caller.
pub struct Reader<'r> {
    pub(crate) reads: Reads<'r>,
    pub(crate) caller: &'r Caller<'r>,
    pub(crate) limits: Limits,
    deadline: Instant,
    /// Work since the last look at the clock, of whatever part of the read.
    work: Cell<u64>,
}

/// Work between two looks at the clock: rows, comparisons, or blocks of a large row.
const CLOCK_EVERY: u64 = 16;
/// Bytes of a row that count as much as another row.
const BLOCK_BYTES: usize = 4096;

impl<'r> Reader<'r> {
    /// A reader; its time starts now.
    pub fn new(reads: Reads<'r>, caller: &'r Caller<'r>, limits: Limits) -> Reader<'r> {
        Reader { reads, caller, limits, deadline: Instant::now() + limits.duration_max, work: Cell::new(0) }
    }

    /// Notes that a row was found.
    pub(crate) fn found(&self, row: &models::Row) -> Result<(), StoreError> {
        self.worked(1 + (size(row) / BLOCK_BYTES) as u64)
    }

    /// Notes work; fails once the time is over.
    pub(crate) fn worked(&self, amount: u64) -> Result<(), StoreError> {
        let work = self.work.get().saturating_add(amount);
        if work < CLOCK_EVERY {
            self.work.set(work);
            return Ok(());
        }
        self.work.set(0);
        if Instant::now() < self.deadline { Ok(()) } else { Err(StoreError::Timeout) }
    }
}

/// Bytes that values hold in memory, about.
pub(crate) fn size(values: &[Value]) -> usize {
    let of = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::TextArray(elements) => elements.iter().flatten().map(String::len).sum(),
        Value::UuidArray(elements) => elements.len() * 16,
        _ => 16,
    };
    values.iter().map(of).sum()
}
