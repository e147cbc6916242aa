//! Walks the rows that a plan finds and keeps those that policy and filter admit.

use std::collections::BTreeMap;

use models::{Command, TableInfo, Value};

use super::plan::{self, Access, KeyRange, Plan};
use super::{Query, Reader, schema};
use crate::codec::{Columns, StoredRow};
use crate::error::StoreError;
use crate::source::{Pair, Pairs, Source};
use crate::{guard, keys};

/// Calls `visit` with every admitted row until it says false.
pub(crate) fn each<'a>(
    reader: &Reader<'a>,
    query: &Query,
    commands: &[Command],
    visit: &mut dyn FnMut(StoredRow<'a>) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    each_by(reader, query, commands, &plan::choose(reader, query, commands)?, visit)
}

/// The same by a plan that was chosen before.
pub(crate) fn each_by<'a>(
    reader: &Reader<'a>,
    query: &Query,
    commands: &[Command],
    plan: &Plan,
    visit: &mut dyn FnMut(StoredRow<'a>) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    each_wanted(reader, query, commands, plan, &|| true, &mut |row| row.map_or(Ok(true), &mut *visit))
}

/// The same for results of which not all are wanted: where the index alone says that a row is a result, one that is not
/// wanted is not read, and `visit` is called without it.
pub(crate) fn each_wanted<'a>(
    reader: &Reader<'a>,
    query: &Query,
    commands: &[Command],
    plan: &Plan,
    is_wanted: &dyn Fn() -> bool,
    visit: &mut dyn FnMut(Option<StoredRow<'a>>) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let table = &schema().tables[query.table];
    walk(reader, table, &plan.access, &mut |found| {
        if plan.covered && !is_wanted() {
            reader.worked(1)?;
            return visit(None);
        }
        match found.row(reader)? {
            Some(row) if admits(reader, query, table, commands, &row)? => visit(Some(row)),
            _ => Ok(true),
        }
    })
}

/// Whether an access finds fewer pairs than so many.
pub(crate) fn finds_few(
    reader: &Reader,
    table: &'static TableInfo,
    access: &Access,
    few: usize,
) -> Result<bool, StoreError> {
    count_below(reader, table, access, few).map(|found| found.is_some())
}

/// How many pairs an access finds, if they are fewer than so many.
pub(crate) fn count_below(
    reader: &Reader,
    table: &'static TableInfo,
    access: &Access,
    few: usize,
) -> Result<Option<usize>, StoreError> {
    let mut found = 0;
    walk(reader, table, access, &mut |_| {
        found += 1;
        reader.worked(1).map(|()| found < few)
    })?;
    Ok((found < few).then_some(found))
}

/// A column of the rows of a query if an index shows that they are few; `None` when more than `max` would have to be
/// looked at.
pub(crate) fn few(
    reader: &Reader,
    query: &Query,
    column: usize,
    max: usize,
) -> Result<Option<Vec<Value>>, StoreError> {
    let commands = &[Command::Select];
    let plan = plan::choose(reader, query, commands)?;
    if !plan.is_bounded() {
        return Ok(None);
    }
    let table = &schema().tables[query.table];
    let (mut values, mut found) = (Vec::new(), 0);
    walk(reader, table, &plan.access, &mut |pair| {
        let Some(row) = pair.row(reader)? else { return Ok(true) };
        found += 1;
        if admits(reader, query, table, commands, &row)? {
            values.push(row.value(column)?.into_owned());
        }
        Ok(found <= max)
    })?;
    Ok((found <= max).then_some(values))
}

/// Whether policies and filter admit a row.
pub(crate) fn admits(
    reader: &Reader,
    query: &Query,
    table: &TableInfo,
    commands: &[Command],
    row: &StoredRow,
) -> Result<bool, StoreError> {
    let row = &reader.counted(row);
    for command in commands {
        if !guard::allows_stored(&reader.reads, reader.caller, table, *command, row)? {
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

/// Where a walk is.
struct Found<'w> {
    table: &'static TableInfo,
    at: At<'w>,
}

enum At<'w> {
    /// A row under a primary key.
    Key(&'w [u8]),
    /// An entry of an index.
    Entry(Pair),
    /// A row itself.
    Row(Pair),
}

impl Found<'_> {
    /// The row; `None` when it has gone between index and row: then it is no result.
    fn row<'a>(&self, reader: &Reader<'a>) -> Result<Option<StoredRow<'a>>, StoreError> {
        let reads = &reader.reads;
        let row = match &self.at {
            At::Key(key) => reads.stored(self.table, key)?,
            At::Entry((key, value)) => {
                let primary_key = keys::primary_key_in(key, value)
                    .ok_or_else(|| StoreError::Corrupt("an index entry has no key".into()))?;
                reads.stored(self.table, primary_key)?
            }
            At::Row((_, bytes)) => {
                Some(StoredRow::new(bytes.clone(), self.table, &reads.ids[self.table.id], reads.blobs)?)
            }
        };
        match row {
            Some(row) => reader.found(row).map(Some),
            None => reader.worked(1).map(|()| None),
        }
    }
}

/// Calls `visit` for each pair that an access finds, until it says false.
fn walk(
    reader: &Reader,
    table: &'static TableInfo,
    access: &Access,
    visit: &mut dyn FnMut(&Found) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    // A walk that finds nothing costs something too.
    reader.worked(1)?;
    let (index, ranges, descending, merged) = match access {
        Access::Nothing => return Ok(()),
        Access::Key(key) => return visit(&Found { table, at: At::Key(key) }).map(|_| ()),
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
    let mut show = |pair: Pair| {
        let at = if index.is_some() { At::Entry(pair) } else { At::Row(pair) };
        visit(&Found { table, at })
    };
    if let Some(skipped) = merged {
        let ranges = ranges.iter().zip(skipped).map(|(range, skipped)| (pairs(range), *skipped));
        for pair in Merged::new(ranges, *descending)? {
            if !show(pair?)? {
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
            if !show(pair?)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Several ranges as one, ordered by what follows the bytes that each range's keys share; what two of them have is given
/// once.
struct Merged<'a> {
    ranges: Vec<(Pairs<'a>, usize)>,
    /// The next pair of each range, by the rest of its key.
    heads: BTreeMap<(Vec<u8>, usize), Pair>,
    descending: bool,
    last: Option<Vec<u8>>,
}

impl<'a> Merged<'a> {
    fn new(
        ranges: impl Iterator<Item = (Pairs<'a>, usize)>,
        descending: bool,
    ) -> Result<Merged<'a>, StoreError> {
        let ranges = ranges.collect();
        let mut merged = Merged { ranges, heads: BTreeMap::new(), descending, last: None };
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
        loop {
            let head = if self.descending { self.heads.pop_last() } else { self.heads.pop_first() };
            let ((rest, position), pair) = head?;
            if let Err(error) = self.advance(position) {
                return Some(Err(error));
            }
            if self.last.as_ref() != Some(&rest) {
                self.last = Some(rest);
                return Some(Ok(pair));
            }
        }
    }
}
