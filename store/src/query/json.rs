//! Result rows as the text of a JSON array, written from the stored bytes without a value in between.

use std::borrow::Cow;
use std::sync::LazyLock;

use models::{TableInfo, convert};

use super::plan::{self, Plan};
use super::sort::Held;
use super::{Field, Item, Output, Query, Reader, project, schema};
use crate::codec::StoredRow;
use crate::error::StoreError;

/// Texts of about this many bytes are begun anew, so that memory is given back as they go out.
const PIECE_BYTES: usize = 64 << 10;
/// So few rows are read at once.
const SHORT_ROWS: u64 = 50;
/// So few entries of an index are counted at once.
const SHORT_COUNT: usize = 512;
const RESULT: &str = "size of the result in bytes";

/// Rows as JSON.
#[derive(Debug, Default)]
pub struct JsonRows {
    /// The array, one piece after the other.
    pub pieces: Vec<String>,
    /// How many rows are in it.
    pub rows: u64,
    /// How many rows there are without offset and limit, when that was asked for.
    pub total: Option<u64>,
}

impl JsonRows {
    /// Bytes of the text.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(String::len).sum()
    }
}

/// What stands before the value of each column, by the positions of table and column.
static HEADS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let of = |table: &TableInfo| table.table.columns.iter().map(|column| head(column.name)).collect();
    schema().tables.iter().map(of).collect()
});

fn head(name: &str) -> String {
    let mut head = String::with_capacity(name.len() + 3);
    convert::write_json_string(name, &mut head);
    head.push(':');
    head
}

/// A member of a row: where its value is found.
enum Member<'q> {
    Column(usize),
    Field(&'q Field),
    Embed(usize),
    /// A statistic, which a query without statistics does not have.
    Nothing,
}

/// Runs a query without statistics by a plan.
fn rows(
    reader: &Reader,
    query: &Query,
    count: bool,
    plan: &Plan,
    bytes_max: usize,
) -> Result<JsonRows, StoreError> {
    let table = &schema().tables[query.table];
    let members = members(query);
    let texts = is_whole(query, &members).then_some(reader.reads.texts);
    let mut held = Held::up_to(bytes_max, RESULT, reader);
    let (mut result, mut text, mut done) = (JsonRows::default(), String::with_capacity(2048), 0);
    text.push('[');
    let seen = project::page(reader, query, count, plan, &mut |row| {
        if result.rows > 0 {
            text.push(',');
        }
        let before = text.len();
        if !texts.is_some_and(|texts| texts.write(table.id, row.stored(), &mut text)) {
            write(reader, query, table, &members, &row, &mut text)?;
            if let Some(texts) = texts {
                texts.note(table.id, row.stored(), &text[before..]);
            }
        }
        reader.looked_at(text.len() - before)?;
        if result.rows == 0 {
            // Of a few rows the others are about as long; a limit of many says nothing of how many there are.
            let few = query.limit.filter(|limit| *limit <= SHORT_ROWS && !plan.is_point());
            let others = few.map_or(0, |rows| rows.saturating_sub(1) as usize * text.len());
            text.reserve(others.min(PIECE_BYTES.saturating_sub(text.len())));
        }
        result.rows += 1;
        // What the text has room for counts, not what it holds.
        held.set(done + text.capacity())?;
        if text.len() >= PIECE_BYTES {
            text.shrink_to_fit();
            done += text.capacity();
            result.pieces.push(std::mem::take(&mut text));
            held.set(done)?;
        }
        Ok(())
    })?;
    text.push(']');
    result.pieces.push(text);
    result.total = count.then_some(seen);
    Ok(result)
}

/// Whether a row is all its columns as they are.
fn is_whole(query: &Query, members: &[(Cow<'static, str>, Member)]) -> bool {
    let is_own = |(position, (head, member)): (usize, &(Cow<'static, str>, Member))| {
        matches!(head, Cow::Borrowed(_)) && matches!(member, Member::Column(column) if *column == position)
    };
    members.len() == schema().tables[query.table].table.columns.len()
        && members.iter().enumerate().all(is_own)
}

/// Each member of a row, with what stands before its value.
fn members(query: &Query) -> Vec<(Cow<'static, str>, Member<'_>)> {
    query.select.iter().map(|output| member(query, output)).collect()
}

fn member<'q>(query: &Query, output: &'q Output) -> (Cow<'static, str>, Member<'q>) {
    let columns = schema().tables[query.table].table.columns;
    let member = match &output.item {
        Item::Field(field) => field.plain().map_or(Member::Field(field), Member::Column),
        Item::Embed(embed) => Member::Embed(*embed),
        Item::Aggregate { .. } => Member::Nothing,
    };
    let head = match member {
        Member::Column(position) if columns[position].name == output.key => {
            Cow::Borrowed(HEADS[query.table][position].as_str())
        }
        _ => Cow::Owned(head(&output.key)),
    };
    (head, member)
}

fn write(
    reader: &Reader,
    query: &Query,
    table: &TableInfo,
    members: &[(Cow<'static, str>, Member)],
    row: &StoredRow,
    out: &mut String,
) -> Result<(), StoreError> {
    out.push('{');
    for (position, (head, member)) in members.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push_str(head);
        match member {
            Member::Column(position) => row.write_json(*position, out)?,
            Member::Nothing => out.push_str("null"),
            Member::Field(field) => convert::write_json(&field.of(table, &reader.counted(row))?, out),
            Member::Embed(embed) => {
                let mut values = Vec::with_capacity(1);
                project::embed_members(reader, &query.embeds[*embed], row, &mut values)?;
                values.iter().for_each(|value| convert::write_json(value, out));
            }
        }
    }
    out.push('}');
    Ok(())
}

impl Query {
    /// Whether each row is an object with one member for each of its outputs.
    fn is_flat(&self) -> bool {
        self.select.iter().all(|output| match &output.item {
            Item::Field(_) => true,
            Item::Embed(embed) => !self.embeds[*embed].spread,
            Item::Aggregate { .. } => false,
        })
    }
}

impl Reader<'_> {
    /// The result as a JSON array; `None` for a query whose rows are more than their own members.
    pub fn select_json(&self, query: &Query, count: bool) -> Result<Option<JsonRows>, StoreError> {
        if !query.is_flat() {
            return Ok(None);
        }
        let plan = plan::choose(self, query, &[models::Command::Select])?;
        rows(self, query, count, &plan, self.limits.bytes_max).map(Some)
    }

    /// The same where only the few rows of the answer are looked at and nothing is embedded, as long as the text is
    /// short and no value lies in a blob; else `None`. A number of rows that is asked for must be known, or come from few
    /// entries of an index.
    pub fn select_short_json(&self, query: &Query, count: bool) -> Result<Option<JsonRows>, StoreError> {
        if !query.embeds.is_empty() || !query.is_flat() {
            return Ok(None);
        }
        let plan = plan::choose(self, query, &[models::Command::Select])?;
        let looks_at = query.limit.and_then(|limit| limit.checked_add(query.offset));
        let is_short = plan.covered && plan.ordered && looks_at.is_some_and(|rows| rows <= SHORT_ROWS);
        if !is_short && !plan.is_point() {
            return Ok(None);
        }
        // Once the number is known the walk ends with the page.
        let total = match count && !plan.is_point() {
            true => match project::total_below(self, query, &plan, SHORT_COUNT)? {
                None => return Ok(None),
                total => total,
            },
            false => None,
        };
        let counts = count && total.is_none();
        self.without_blobs(|| match rows(self, query, counts, &plan, PIECE_BYTES) {
            Err(StoreError::Limit { what: RESULT, .. }) => Ok(None),
            short => short.map(|rows| Some(JsonRows { total: total.or(rows.total), ..rows })),
        })
    }
}
