//! From admitted rows to result rows: members, order, page, total, groups.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashMap;

use models::convert;
use models::{Command, Row, TableInfo, Value};

use super::aggregate::{self, Accumulator};
use super::plan::{self, Access, Plan};
use super::sort::{self, Held, Sorted, order_values};
use super::{Embed, Item, Name, OrderBy, Query, Reader, Rows, reader, run, schema};
use crate::codec::{Columns, StoredRow};
use crate::counts::Counting;
use crate::encode;
use crate::error::StoreError;

/// Runs a query.
pub(crate) fn select(reader: &Reader, query: &Query, count: bool) -> Result<Rows, StoreError> {
    if query.aggregates() {
        return grouped(reader, query, count);
    }
    plain(reader, query, count, &plan::choose(reader, query, &[Command::Select])?)
}

/// Names of the members of a result row, spread embeds flattened.
pub(crate) fn columns(query: &Query) -> Vec<Name> {
    let mut names = Vec::with_capacity(query.select.len());
    for output in &query.select {
        match &output.item {
            Item::Embed(embed) if query.embeds[*embed].spread => {
                names.extend(columns(&query.embeds[*embed].query))
            }
            _ => names.push(output.key.clone()),
        }
    }
    names
}

/// Runs a query without statistics by a plan.
pub(crate) fn plain(reader: &Reader, query: &Query, count: bool, plan: &Plan) -> Result<Rows, StoreError> {
    let mut result = Rows { columns: columns(query), ..Rows::default() };
    let mut held = Held::new("size of the result in bytes", reader);
    let table = &schema().tables[query.table];
    let whole = is_whole(query, table);
    let seen = page(reader, query, count, plan, &mut |row| {
        let members =
            if whole { row.into_row()? } else { members(reader, query, table, &reader.counted(&row))? };
        let bytes = reader::size(&members);
        held.add(bytes)?;
        reader.looked_at(bytes)?;
        result.rows.push(members);
        Ok(())
    })?;
    result.total = count.then_some(seen);
    Ok(result)
}

/// Calls `show` for the rows of the window that a query asks for, in its order; answers with how many rows there are,
/// or where the window ends if that need not be known.
pub(crate) fn page<'a>(
    reader: &Reader<'a>,
    query: &Query,
    count: bool,
    plan: &Plan,
    show: &mut dyn FnMut(StoredRow<'a>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let limit = query.limit.unwrap_or(reader.limits.rows_max).min(reader.limits.rows_max);
    let (seen, shown) = (Cell::new(0u64), Cell::new(0u64));
    let commands = &[Command::Select];
    if plan.ordered {
        let is_wanted = || seen.get() >= query.offset && shown.get() < limit;
        let counting = if count { counting(reader, plan) } else { None };
        let known = counting.as_ref().and_then(|counting| counting.known);
        let walks_on = count && known.is_none();
        run::each_wanted(reader, query, commands, plan, &is_wanted, &mut |row| {
            if let Some(row) = row.filter(|_| is_wanted()) {
                show(row)?;
                shown.set(shown.get() + 1);
            }
            seen.set(seen.get() + 1);
            Ok(walks_on || seen.get() < query.offset.saturating_add(limit))
        })?;
        if let (Some(counting), true) = (counting, walks_on) {
            counting.keep(seen.get());
        }
        return Ok(known.unwrap_or(seen.get()));
    }
    let table = &schema().tables[query.table];
    let wanted = usize::try_from(query.offset.saturating_add(limit)).unwrap_or(usize::MAX);
    let mut sorted = Sorted::new(reader, &query.order, wanted);
    run::each_by(reader, query, commands, plan, &mut |row| {
        seen.set(seen.get() + 1);
        let keys = sort_keys(reader, query, table, &reader.counted(&row))?;
        sorted.add(keys, row).map(|()| true)
    })?;
    let window = sorted.finish()?.into_iter().skip(query.offset as usize).take(limit as usize);
    window.into_iter().try_for_each(show)?;
    Ok(seen.get())
}

/// How many results a plan has, where that is known or the index shows that they are fewer than so many; it reads no row.
pub(crate) fn total_below(
    reader: &Reader,
    query: &Query,
    plan: &Plan,
    few: usize,
) -> Result<Option<u64>, StoreError> {
    if !plan.covered {
        return Ok(None);
    }
    let counting = counting(reader, plan);
    if let Some(known) = counting.as_ref().and_then(|counting| counting.known) {
        return Ok(Some(known));
    }
    let total = run::count_below(reader, &schema().tables[query.table], &plan.access, few)?;
    let total = total.map(|total| total as u64);
    if let (Some(counting), Some(total)) = (counting, total) {
        counting.keep(total);
    }
    Ok(total)
}

/// The count of a plan whose results are the entries of one range, all that begin alike.
fn counting<'a>(reader: &Reader<'a>, plan: &Plan) -> Option<Counting<'a>> {
    let Access::Ranges { index: Some(_), ranges, merged: None, .. } = &plan.access else { return None };
    match &ranges[..] {
        [(from, to)] if plan.covered && *to == encode::after_prefix(from) => reader.reads.counts?.of(from),
        _ => None,
    }
}

fn grouped(reader: &Reader, query: &Query, count: bool) -> Result<Rows, StoreError> {
    let table = &schema().tables[query.table];
    // Groups in order of first appearance; the key is the JSON of everything grouped by.
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(Vec<Value>, Vec<Accumulator>)> = Vec::new();
    let mut held = Held::new("size of the groups in bytes", reader);
    let fresh = || -> Vec<Accumulator> {
        aggregates(query).map(|(function, _)| Accumulator::new(function)).collect()
    };
    let commands = &[Command::Select];
    let plan = plan::choose(reader, query, commands)?;
    // A number of rows asks for none of them.
    let reads_rows = query.select.iter().any(|output| {
        !matches!(output.item, Item::Aggregate { function: aggregate::Function::Count, of: None, .. })
    });
    let mut counted = 0;
    run::each_wanted(reader, query, commands, &plan, &|| reads_rows, &mut |row| {
        let Some(row) = row else {
            counted += 1;
            return Ok(true);
        };
        let row = reader.counted(&row);
        let by = grouped_by(reader, query, table, &row)?;
        let mut key = String::new();
        by.iter().for_each(|value| {
            convert::write_json(value, &mut key);
            key.push('\u{1f}');
        });
        let position = match positions.get(&key) {
            Some(position) => *position,
            None => {
                let overhead = 64 + 16 * query.select.len();
                held.add(key.len() + reader::size(&by) + overhead)?;
                positions.insert(key, groups.len());
                groups.push((by, fresh()));
                groups.len() - 1
            }
        };
        if groups.len() > reader.limits.sorted_max {
            return Err(StoreError::Limit { what: "number of groups", max: reader.limits.sorted_max as u64 });
        }
        for (accumulator, (_, of)) in groups[position].1.iter_mut().zip(aggregates(query)) {
            let before = accumulator.bytes();
            accumulator.add(of, table, &row)?;
            held.add(accumulator.bytes().saturating_sub(before))?;
        }
        Ok(true)
    })?;
    if counted > 0 {
        let mut all = fresh();
        all.iter_mut().for_each(|accumulator| accumulator.add_rows(counted));
        groups.push((Vec::new(), all));
    }
    let only_aggregates = query.select.iter().all(|output| matches!(output.item, Item::Aggregate { .. }));
    if groups.is_empty() && only_aggregates {
        groups.push((Vec::new(), fresh()));
    }
    let mut rows = Vec::new();
    for (by, accumulators) in groups {
        let (mut by, mut accumulators) = (by.into_iter(), accumulators.into_iter());
        let mut members = Vec::new();
        for output in &query.select {
            match &output.item {
                Item::Aggregate { cast, .. } => {
                    let value = accumulators.next().map_or(Value::Null, Accumulator::finish);
                    members.push(aggregate::cast(value, *cast)?);
                }
                Item::Embed(embed) if query.embeds[*embed].spread => {
                    members.extend(by.by_ref().take(columns(&query.embeds[*embed].query).len()));
                }
                _ => members.push(by.next().unwrap_or(Value::Null)),
            }
        }
        rows.push(members);
    }
    let rows = order_groups(reader, query, rows)?;
    let total = rows.len() as u64;
    let limit = query.limit.unwrap_or(reader.limits.rows_max).min(reader.limits.rows_max);
    let rows = rows.into_iter().skip(query.offset as usize).take(limit as usize).collect();
    Ok(Rows { columns: columns(query), rows, total: count.then_some(total) })
}

fn aggregates(query: &Query) -> impl Iterator<Item = (aggregate::Function, Option<&super::Field>)> {
    query.select.iter().filter_map(|output| match &output.item {
        Item::Aggregate { function, of, .. } => Some((*function, of.as_ref())),
        _ => None,
    })
}

fn grouped_by(
    reader: &Reader,
    query: &Query,
    table: &TableInfo,
    row: &dyn Columns,
) -> Result<Vec<Value>, StoreError> {
    let mut values = Vec::new();
    for output in &query.select {
        match &output.item {
            Item::Field(field) => values.push(field.of(table, row)?),
            Item::Aggregate { .. } => {}
            Item::Embed(embed) => embed_members(reader, &query.embeds[*embed], row, &mut values)?,
        }
    }
    Ok(values)
}

fn order_groups(
    reader: &Reader,
    query: &Query,
    rows: Vec<Vec<Value>>,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut terms = Vec::new();
    for order in &query.order {
        let position = match &order.by {
            OrderBy::Output(position) => Some(*position),
            OrderBy::Field(field) => query
                .select
                .iter()
                .position(|output| matches!(&output.item, Item::Field(other) if other == field)),
            OrderBy::Embedded(..) => None,
        };
        let position = position.ok_or_else(|| {
            StoreError::raised(
                "42803",
                "the order of grouped rows must name a selected column or an aggregate's alias",
            )
        })?;
        terms.push((flat_position(query, position), order));
    }
    sort::sort(reader, rows, |a, b| {
        let orders = terms.iter().map(|(position, order)| order_values(&a[*position], &b[*position], order));
        orders.fold(Ordering::Equal, Ordering::then)
    })
}

/// Where an output stands among the flattened members.
fn flat_position(query: &Query, position: usize) -> usize {
    let width = |output: &super::Output| match &output.item {
        Item::Embed(embed) if query.embeds[*embed].spread => columns(&query.embeds[*embed].query).len(),
        _ => 1,
    };
    query.select[..position].iter().map(width).sum()
}

/// Whether the members of a result row are the columns of the table, in their order.
fn is_whole(query: &Query, table: &TableInfo) -> bool {
    let is_same = |(position, output): (usize, &super::Output)| match &output.item {
        Item::Field(field) => field.plain() == Some(position),
        _ => false,
    };
    query.select.len() == table.table.columns.len() && query.select.iter().enumerate().all(is_same)
}

fn members(
    reader: &Reader,
    query: &Query,
    table: &TableInfo,
    row: &dyn Columns,
) -> Result<Vec<Value>, StoreError> {
    let mut values = Vec::with_capacity(query.select.len());
    for output in &query.select {
        match &output.item {
            Item::Field(field) => values.push(match field.plain() {
                Some(position) => row.value(position)?.into_owned(),
                None => field.of(table, row)?,
            }),
            Item::Aggregate { .. } => values.push(Value::Null),
            Item::Embed(embed) => embed_members(reader, &query.embeds[*embed], row, &mut values)?,
        }
    }
    Ok(values)
}

pub(super) fn embed_members(
    reader: &Reader,
    embed: &Embed,
    row: &dyn Columns,
    values: &mut Vec<Value>,
) -> Result<(), StoreError> {
    let related = embed.rows(reader, row)?;
    if !embed.spread {
        values.push(match (embed.is_to_one(), related.rows.first()) {
            (true, None) => Value::Null,
            (true, Some(only)) => Value::Json(object(&related.columns, only)),
            (false, _) => Value::Json(array(&related)),
        });
    } else if embed.is_to_one() {
        let nothing = || vec![Value::Null; related.columns.len()];
        values.extend(related.rows.first().cloned().unwrap_or_else(nothing));
    } else {
        for column in 0..related.columns.len() {
            let mut text = String::from("[");
            for (position, row) in related.rows.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                convert::write_json(&row[column], &mut text);
            }
            text.push(']');
            values.push(Value::Json(text));
        }
    }
    Ok(())
}

/// A row as a JSON object.
pub(crate) fn object(columns: &[Name], values: &[Value]) -> String {
    let mut text = String::with_capacity(64 * columns.len());
    write_object(columns, values, &mut text);
    text
}

fn write_object(columns: &[Name], values: &[Value], out: &mut String) {
    out.push('{');
    for (position, (column, value)) in columns.iter().zip(values).enumerate() {
        if position > 0 {
            out.push(',');
        }
        convert::write_json_string(column, out);
        out.push(':');
        convert::write_json(value, out);
    }
    out.push('}');
}

fn array(rows: &Rows) -> String {
    let mut text = String::new();
    rows.write_json(&mut text);
    text
}

impl Rows {
    /// Appends the rows as a JSON array of objects.
    pub fn write_json(&self, out: &mut String) {
        out.push('[');
        for (position, row) in self.rows.iter().enumerate() {
            if position > 0 {
                out.push(',');
            }
            write_object(&self.columns, row, out);
        }
        out.push(']');
    }

    /// Appends one row as a JSON object.
    pub fn write_row(&self, row: &[Value], out: &mut String) {
        write_object(&self.columns, row, out);
    }
}

impl Reader<'_> {
    /// Rows that were found otherwise, in the order of a query.
    pub fn sorted(&self, table: &TableInfo, query: &Query, rows: Vec<Row>) -> Result<Vec<Row>, StoreError> {
        let mut keyed = Vec::with_capacity(rows.len());
        for row in rows {
            keyed.push((sort_keys(self, query, table, &row)?, row));
        }
        let sorted = sort::sort(self, keyed, |(a, _), (b, _)| {
            let orders =
                query.order.iter().zip(a.iter().zip(b)).map(|(order, (a, b))| order_values(a, b, order));
            orders.fold(Ordering::Equal, Ordering::then)
        })?;
        Ok(sorted.into_iter().map(|(_, row)| row).collect())
    }
}

fn sort_keys(
    reader: &Reader,
    query: &Query,
    table: &TableInfo,
    row: &dyn Columns,
) -> Result<Vec<Value>, StoreError> {
    let mut keys = Vec::with_capacity(query.order.len());
    for term in &query.order {
        keys.push(match &term.by {
            OrderBy::Field(field) => field.of(table, row)?,
            OrderBy::Embedded(embed, field) => query.embeds[*embed].first(reader, row, field)?,
            OrderBy::Output(_) => Value::Null,
        });
    }
    Ok(keys)
}
