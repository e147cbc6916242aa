//! Lists of rows that a caller may see for different reasons: their own, those of their projects, public ones. Each of
//! these sets is walked by an index that gives the wanted order, and the walks are merged.

use models::schema::{IndexInfo, KeyPart};
use models::table::IndexKind;
use models::{Command, TableInfo, Value};

use super::plan::{self, Access, Candidate, Facts, KeyRange, Plan};
use super::{Query, Reader};
use crate::error::StoreError;
use crate::implied::{self, Branch};
use crate::keys;

/// One walk.
struct Walk<'t> {
    index: usize,
    bound: Vec<usize>,
    prefixes: Vec<Vec<u8>>,
    /// What gives the order.
    rest: &'t [KeyPart],
    descending: bool,
}

/// The merged walks for a query, if its policy is a union of sets that indexes find in its order.
pub(super) fn candidate(
    reader: &Reader,
    query: &Query,
    facts: &Facts,
    table: &TableInfo,
    command: Command,
) -> Result<Option<Candidate>, StoreError> {
    if query.order.is_empty() {
        return Ok(None);
    }
    let Some(branches) = implied::branches(&reader.reads, reader.caller, table, command)? else {
        return Ok(None);
    };
    let mut walks: Vec<Walk> = Vec::new();
    let mut covered = true;
    for branch in &branches {
        let Some(equal) = together(facts, branch) else { continue };
        let Some(walk) = walk(reader, query, facts, table, branch, &equal) else { return Ok(None) };
        if walks.first().is_some_and(|first| first.rest != walk.rest) {
            return Ok(None);
        }
        let known = |column: usize| {
            let is_bound = walk.bound.contains(&column);
            equal.iter().find(|(other, _)| is_bound && *other == column).map(|(_, value)| value.clone())
        };
        // The other columns are bound by the policy, whatever the filter says of them.
        let by_value: Vec<usize> =
            walk.bound.iter().copied().filter(|column| known(*column).is_some()).collect();
        covered = covered
            && facts.covers(table, &table.indexes[walk.index], &query.filter, &by_value)
            && implied::surely(&reader.reads, reader.caller, table, command, &known)?;
        walks.push(walk);
    }
    let Some(first) = walks.first() else { return Ok(Some(Candidate { score: 0, plan: plan::nothing() })) };
    let (index, descending) = (Some(first.index), first.descending);
    let bounds = facts.ranges.get(&first.rest[0].column);
    let mut ranges: Vec<(KeyRange, usize)> = Vec::new();
    for walk in &walks {
        for prefix in &walk.prefixes {
            let range = match bounds {
                Some(bounds) => plan::bounded(prefix, &walk.rest[0], bounds),
                None => (prefix.clone(), crate::open::prefix_end(prefix)),
            };
            if !ranges.iter().any(|(other, _)| *other == range) {
                ranges.push((range, prefix.len()));
            }
        }
    }
    let (ranges, skipped) = ranges.into_iter().unzip();
    let access = Access::Ranges { index, ranges, descending, merged: Some(skipped) };
    let covered = covered && query.embeds.iter().all(|embed| !embed.inner);
    let bound = walks.iter().flat_map(|walk| walk.bound.iter().copied()).collect();
    let union = walks.into_iter().map(|walk| (walk.index, walk.bound)).collect();
    let plan = Plan { access, ordered: true, covered, bound, union };
    Ok(Some(Candidate { score: plan::BOUND + plan::ORDERED, plan }))
}

/// What is known of the rows of a set that the filter may admit; `None` if there are none.
fn together(facts: &Facts, branch: &Branch) -> Option<Vec<(usize, Value)>> {
    let mut all: Vec<(usize, Value)> =
        facts.equal.iter().map(|(column, value)| (*column, value.clone())).collect();
    for (column, value) in &branch.equal {
        match all.iter().find(|(other, _)| other == column) {
            Some((_, known)) if known != value => return None,
            Some(_) => {}
            None => all.push((*column, value.clone())),
        }
    }
    Some(all)
}

/// The walk by the index that binds the most columns of a set and then gives the order.
fn walk<'t>(
    reader: &Reader,
    query: &Query,
    facts: &Facts,
    table: &'t TableInfo,
    branch: &Branch,
    equal: &[(usize, Value)],
) -> Option<Walk<'t>> {
    let ids = &reader.reads.ids[table.id];
    let mut best: Option<Walk> = None;
    let is_null = |column: usize| equal.iter().any(|(bound, value)| *bound == column && value.is_null());
    let plain = |index: &IndexInfo| {
        let has_all = index.filter.is_none() || (index.has_all_values() && !is_null(index.parts[0].column));
        index.kind == IndexKind::Btree && has_all
    };
    for (position, index) in table.indexes.iter().enumerate().filter(|(_, index)| plain(index)) {
        if !ids.is_filled(position) {
            continue;
        }
        let mut prefixes = vec![keys::prefix(ids.id, ids.indexes[position])];
        let mut bound = Vec::new();
        for part in &index.parts {
            let listed = branch.listed.as_ref().filter(|(column, _)| *column == part.column);
            if let Some((_, value)) = equal.iter().find(|(column, _)| *column == part.column) {
                prefixes.iter_mut().for_each(|prefix| plan::append(part, value, prefix));
            } else if let (Some((_, values)), false) = (listed, part.null_as_empty) {
                prefixes = prefixes.iter().flat_map(|prefix| expand(prefix, part, values)).collect();
            } else {
                break;
            }
            bound.push(part.column);
        }
        let rest = &index.parts[bound.len()..];
        let wanted = query.order.iter().filter(|term| !facts.orders_nothing(term)).count();
        if bound.is_empty() || rest.is_empty() || rest.len() != wanted {
            continue;
        }
        let Some(descending) = facts.order_match(&query.order, rest) else { continue };
        if best.as_ref().is_none_or(|best| best.bound.len() < bound.len()) {
            best = Some(Walk { index: position, bound, prefixes, rest, descending });
        }
    }
    best
}

fn expand(prefix: &[u8], part: &KeyPart, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let longer = |value: &Vec<u8>| {
        let mut longer = prefix.to_vec();
        longer.extend(value.iter().map(|byte| if part.descending { !byte } else { *byte }));
        longer
    };
    values.iter().map(longer).collect()
}
