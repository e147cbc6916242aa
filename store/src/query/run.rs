//! Walks the rows that a plan finds and keeps those that policy and filter admit.

use std::collections::BTreeMap;

use models::{Command, Row, TableInfo};

use super::plan::{self, Access, KeyRange, Plan};
use super::{Query, Reader, schema};
use crate::error::StoreError;
use crate::source::{Pair, Pairs, Source};
use crate::{codec, guard, keys};

/// Calls `visit` with every admitted row until it says false.
pub(crate) fn each(
    reader: &Reader,
    query: &Query,
    commands: &[Command],
    visit: &mut dyn FnMut(Row) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    each_by(reader, query, commands, &plan::choose(reader, query, commands)?, visit)
}

/// The same by a plan that was chosen before.
pub(crate) fn each_by(
    reader: &Reader,
    query: &Query,
    commands: &[Command],
    plan: &Plan,
    visit: &mut dyn FnMut(Row) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let table = &schema().tables[query.table];
    walk(reader, table, &plan.access, &mut |row| {
        if admits(reader, query, table, commands, &row)? { visit(row) } else { Ok(true) }
    })
}

/// The rows of a query if an index shows that they are few; `None` when more than `max` would have to be looked at.
pub(crate) fn few(reader: &Reader, query: &Query, max: usize) -> Result<Option<Vec<Row>>, StoreError> {
    let commands = &[Command::Select];
    let plan = plan::choose(reader, query, commands)?;
    if !plan.is_bounded() {
        return Ok(None);
    }
    let table = &schema().tables[query.table];
    let (mut rows, mut found) = (Vec::new(), 0);
    walk(reader, table, &plan.access, &mut |row| {
        found += 1;
        if admits(reader, query, table, commands, &row)? {
            rows.push(row);
        }
        Ok(found <= max)
    })?;
    Ok((found <= max).then_some(rows))
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
    // A walk that finds nothing costs something too.
    reader.worked(1)?;
    let (index, ranges, descending, merged) = match access {
        Access::Nothing => return Ok(()),
        Access::Key(key) => {
            if let Some(row) = reader.reads.get_encoded(table, key)? {
                reader.found(&row)?;
                visit(row)?;
            }
            return Ok(());
        }
        Access::Ranges { index, ranges, descending, merged } => (index, ranges, descending, merged),
    };
    let source = &reader.reads.source;
    let pairs = |(from, to): &KeyRange| -> Pairs {
        if to.as_ref().is_some_and(|to| to <= from) {
            Box::new(std::iter::empty())
        } else {
            source.range(from.clone(), to.clone(), *descending)
        }
    };
    if let Some(skipped) = merged {
        let ranges = ranges.iter().zip(skipped).map(|(range, skipped)| (pairs(range), *skipped));
        for pair in Merged::new(ranges, *descending)? {
            if !visit_pair(reader, table, *index, pair?, visit)? {
                return Ok(());
            }
        }
        return Ok(());
    }
    let mut ordered: Vec<&KeyRange> = ranges.iter().collect();
    if *descending {
        ordered.reverse();
    }
    for range in ordered {
        for pair in pairs(range) {
            if !visit_pair(reader, table, *index, pair?, visit)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Shows the row of one pair; false ends the walk.
fn visit_pair(
    reader: &Reader,
    table: &TableInfo,
    index: Option<usize>,
    (key, value): Pair,
    visit: &mut dyn FnMut(Row) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let reads = &reader.reads;
    let row = match index {
        None => Some(codec::decode(&value, table, &reads.ids[table.id], reads.blobs)?),
        Some(_) => {
            let primary_key = keys::primary_key_in(&key, &value)
                .ok_or_else(|| StoreError::Corrupt("an index entry has no key".into()))?;
            // A row may have gone between index and row; then it is no result.
            reads.get_encoded(table, primary_key)?
        }
    };
    match row {
        Some(row) => {
            reader.found(&row)?;
            visit(row)
        }
        None => reader.worked(1).map(|()| true),
    }
}

/// Several ranges as one, ordered by what follows the bytes that each range's keys share.
struct Merged<'a> {
    ranges: Vec<(Pairs<'a>, usize)>,
    /// The next pair of each range, by the rest of its key.
    heads: BTreeMap<(Vec<u8>, usize), Pair>,
    descending: bool,
}

impl<'a> Merged<'a> {
    fn new(
        ranges: impl Iterator<Item = (Pairs<'a>, usize)>,
        descending: bool,
    ) -> Result<Merged<'a>, StoreError> {
        let mut merged = Merged { ranges: ranges.collect(), heads: BTreeMap::new(), descending };
        for position in 0..merged.ranges.len() {
            merged.advance(position)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, position: usize) -> Result<(), StoreError> {
        let (pairs, skipped) = &mut self.ranges[position];
        if let Some(pair) = pairs.next() {
            let pair = pair?;
            let rest = pair.0.get(*skipped..).unwrap_or_default().to_vec();
            self.heads.insert((rest, position), pair);
        }
        Ok(())
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let head = if self.descending { self.heads.pop_last() } else { self.heads.pop_first() };
        let ((_, position), pair) = head?;
        Some(self.advance(position).map(|()| pair))
    }
}
