//! Walks the rows that a plan finds and keeps those that policy and filter admit.

use models::{Command, Row, TableInfo};

use super::plan::{self, Access};
use super::{Query, Reader, schema};
use crate::error::StoreError;
use crate::{codec, guard, keys};

/// Rows between two looks at the clock.
const CLOCK_EVERY: u64 = 256;

/// Calls `visit` with every admitted row until it says false. Returns whether the rows came in the query's order.
pub(crate) fn each(
    reader: &Reader,
    query: &Query,
    commands: &[Command],
    visit: &mut dyn FnMut(Row) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let plan = plan::choose(reader, query, commands)?;
    let table = &schema().tables[query.table];
    let mut found = 0;
    walk(reader, table, &plan.access, &mut |row| {
        found += 1;
        if found % CLOCK_EVERY == 0 {
            reader.in_time()?;
        }
        if admits(reader, query, table, commands, &row)? { visit(row) } else { Ok(true) }
    })?;
    Ok(plan.ordered)
}

/// Whether the query would return rows in its order without sorting.
pub(crate) fn is_ordered(reader: &Reader, query: &Query) -> Result<bool, StoreError> {
    Ok(plan::choose(reader, query, &[Command::Select])?.ordered)
}

fn admits(
    reader: &Reader,
    query: &Query,
    table: &TableInfo,
    commands: &[Command],
    row: &Row,
) -> Result<bool, StoreError> {
    for command in commands {
        if !guard::allows(&reader.reads, reader.caller, table, *command, row)? {
            return Ok(false);
        }
    }
    let exists = |embed: usize| query.embeds[embed].exists(reader, table, row);
    if query.filter.truth(table, row, &exists)? != Some(true) {
        return Ok(false);
    }
    for embed in query.embeds.iter().filter(|embed| embed.inner) {
        if !embed.exists(reader, table, row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn walk(
    reader: &Reader,
    table: &TableInfo,
    access: &Access,
    visit: &mut dyn FnMut(Row) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let Access::Ranges { index, ranges, descending } = access else { return Ok(()) };
    let inner = reader.reads.inner;
    let ids = &inner.ids[table.id];
    let mut ordered: Vec<&(Vec<u8>, Option<Vec<u8>>)> = ranges.iter().collect();
    if *descending {
        ordered.reverse();
    }
    for (from, to) in ordered {
        if to.as_ref().is_some_and(|to| to <= from) {
            continue;
        }
        for pair in reader.reads.source.range(from.clone(), to.clone(), *descending) {
            let (key, value) = pair?;
            let row = match index {
                None => Some(codec::decode(&value, table, ids, &inner.blobs)?),
                Some(_) => {
                    let primary_key = keys::primary_key_in(&key, &value)
                        .ok_or_else(|| StoreError::Corrupt("an index entry has no key".into()))?;
                    // A row may have gone between index and row; then it is no result.
                    reader.reads.get_encoded(table, primary_key)?
                }
            };
            if let Some(row) = row
                && !visit(row)?
            {
                return Ok(());
            }
        }
    }
    Ok(())
}
