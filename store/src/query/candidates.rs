//! Rows that a write is about: found without the writers' lock, whatever the filter costs, and looked at again under it.
//!
//! Under the lock only rows that changed meanwhile are tried with the filter again; that a row is still there, and its
//! policies, are looked at for each. So it is in PostgreSQL, where a statement finds rows in its snapshot and tries
//! those again that others changed before it could lock them.

use std::time::{Duration, Instant};

use models::{Command, Row};

use super::filter::{Filter, Operator, Test};
use super::{Query, Reader, plan, run, schema};
use crate::error::StoreError;
use crate::{guard, keys};

/// How long filters may be tried again under the lock; then the rows are looked for anew.
const AGAIN_MAX: Duration = Duration::from_millis(50);
/// What a candidate takes in memory, about.
const CANDIDATE_BYTES: usize = 96;

/// A row that a filter found.
#[derive(Clone, Debug)]
pub struct Candidate {
    primary_key: Vec<u8>,
    /// Of its bytes.
    hash: blake3::Hash,
}

impl Reader<'_> {
    /// Whether the rows of a write are found at once: a row by its key, by nothing but comparisons.
    pub fn finds_at_once(&self, query: &Query, command: Command) -> Result<bool, StoreError> {
        Ok(compares(&query.filter) && plan::choose(self, query, &[Command::Select, command])?.is_point())
    }

    /// The rows that the caller may select and treat with `command`.
    pub fn candidates(&self, query: &Query, command: Command) -> Result<Vec<Candidate>, StoreError> {
        let table = &schema().tables[query.table];
        let mut found = Vec::new();
        run::each(self, query, &[Command::Select, command], &mut |row| {
            self.hold(CANDIDATE_BYTES)?;
            let primary_key = keys::primary_key(table, &row.some(&table.primary_key)?);
            found.push(Candidate { primary_key, hash: row.hash() });
            Ok(found.len() < self.limits.sorted_max)
        })?;
        self.at_most_changed(found.len())?;
        Ok(found)
    }

    /// Those of the candidates that are still what the query finds, whole.
    pub fn confirmed(
        &self,
        query: &Query,
        command: Command,
        candidates: &[Candidate],
    ) -> Result<Vec<Row>, StoreError> {
        let table = &schema().tables[query.table];
        let commands = [Command::Select, command];
        let (mut rows, mut tried) = (Vec::with_capacity(candidates.len()), Duration::ZERO);
        for candidate in candidates {
            self.worked(1)?;
            let Some(row) = self.reads.stored(table, &candidate.primary_key)? else { continue };
            if row.hash() == candidate.hash {
                let mut is_allowed = true;
                for command in commands {
                    is_allowed &=
                        guard::allows_stored(&self.reads, self.caller, table, command, &self.counted(&row))?;
                }
                if is_allowed {
                    rows.push(row.into_row()?);
                }
                continue;
            }
            let begun = Instant::now();
            if run::admits(self, query, table, &commands, &row)? {
                rows.push(row.into_row()?);
            }
            tried += begun.elapsed();
            if tried > AGAIN_MAX {
                return Err(StoreError::ChangedMeanwhile);
            }
        }
        Ok(rows)
    }

    /// Refuses to change more rows than can be kept.
    pub(super) fn at_most_changed(&self, rows: usize) -> Result<(), StoreError> {
        let max = self.limits.sorted_max;
        match rows < max {
            true => Ok(()),
            false => Err(StoreError::Limit { what: "number of rows changed", max: max as u64 }),
        }
    }
}

/// Whether a filter does nothing but compare columns.
fn compares(filter: &Filter) -> bool {
    match filter {
        Filter::All => true,
        Filter::And(parts) | Filter::Or(parts) => parts.iter().all(compares),
        Filter::Not(inner) => compares(inner),
        Filter::Embed { .. } => false,
        Filter::Test(Test { field, operator }) => {
            let is_cheap = matches!(
                operator,
                Operator::Compare(..) | Operator::Is(_) | Operator::In(_) | Operator::Distinct(_)
            );
            is_cheap && field.plain().is_some()
        }
    }
}
