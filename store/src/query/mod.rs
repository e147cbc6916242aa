//! Typed queries: picks an index, filters on any column or JSON path, orders, pages, counts, embeds along foreign
//! keys and aggregates. Row policies apply to every row that a query touches, embedded ones included.

mod aggregate;
mod embed;
mod field;
mod filter;
mod pattern;
mod plan;
mod project;
mod run;
mod sort;
mod text_search;

use std::borrow::Cow;
use std::cell::Cell;
use std::time::{Duration, Instant};

use models::schema::Schema;
use models::{Command, TableId, Value};

pub use aggregate::Function;
pub use embed::{Embed, Link};
pub use field::{Field, FieldSource};
pub use filter::{Comparison, Filter, Is, Operator, Test};
pub use pattern::{Expression, Like, regex};
pub use text_search::TextQuery;

use crate::error::StoreError;
use crate::guard::Caller;
use crate::read::Reads;

/// What to read.
#[derive(Clone, Debug)]
pub struct Query {
    /// From where.
    pub table: TableId,
    /// What each result row holds.
    pub select: Vec<Output>,
    /// Related rows that `select`, `filter` and `order` refer to by position.
    pub embeds: Vec<Embed>,
    /// Which rows.
    pub filter: Filter,
    /// In which order; ties are broken by the index or primary key that is read.
    pub order: Vec<Order>,
    /// Rows to skip.
    pub offset: u64,
    /// Rows at most.
    pub limit: Option<u64>,
}

/// The name of a member: a column's own, or what the request calls it.
pub type Name = Cow<'static, str>;

/// One member of a result row.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub key: Name,
    /// Its value.
    pub item: Item,
}

/// What a member holds.
#[derive(Clone, Debug)]
pub enum Item {
    /// A column, computed column or JSON path.
    Field(Field),
    /// A statistic over the rows of a group; all other members are what is grouped by.
    Aggregate {
        /// Which.
        function: Function,
        /// Of what; `count()` counts rows.
        of: Option<Field>,
        /// Converted to.
        cast: Option<models::ColumnType>,
    },
    /// Related rows, nested; spread ones become members of this row.
    Embed(usize),
}

/// One term of an order.
#[derive(Clone, Debug)]
pub struct Order {
    /// By what.
    pub by: OrderBy,
    /// Greatest first.
    pub descending: bool,
    /// Where NULLs go; PostgreSQL puts them last ascending and first descending.
    pub nulls_first: bool,
}

/// What a term orders by.
#[derive(Clone, Debug)]
pub enum OrderBy {
    /// A field of the row.
    Field(Field),
    /// A field of an embedded to-one row.
    Embedded(usize, Field),
    /// A member of the result, by position; for aggregates.
    Output(usize),
}

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

    /// Result rows that the caller may select.
    pub fn select(&self, query: &Query, count: bool) -> Result<Rows, StoreError> {
        project::select(self, query, count)
    }

    /// Whole stored rows that the caller may select and treat with `command`.
    pub fn stored(&self, query: &Query, command: Command) -> Result<Vec<models::Row>, StoreError> {
        let mut rows = Vec::new();
        run::each(self, query, &[Command::Select, command], &mut |row| {
            rows.push(row);
            Ok(rows.len() < self.limits.sorted_max)
        })?;
        if rows.len() >= self.limits.sorted_max {
            return Err(StoreError::Limit {
                what: "number of rows changed",
                max: self.limits.sorted_max as u64,
            });
        }
        Ok(rows)
    }

    /// Calls `visit` with such rows until it says false, however many there are. They come in the query's order only if
    /// an index gives it; returns whether one does.
    pub fn each_stored(
        &self,
        query: &Query,
        command: Command,
        visit: &mut dyn FnMut(models::Row) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let commands = &[Command::Select, command];
        let plan = plan::choose(self, query, commands)?;
        run::each_by(self, query, commands, &plan, visit)?;
        Ok(plan.ordered)
    }

    /// The result where at most one row is looked at, found by its key, and nothing is embedded; else `None`.
    pub fn select_point(&self, query: &Query, count: bool) -> Result<Option<Rows>, StoreError> {
        if !query.embeds.is_empty() || query.aggregates() {
            return Ok(None);
        }
        let plan = plan::choose(self, query, &[Command::Select])?;
        if !plan.is_point() {
            return Ok(None);
        }
        project::plain(self, query, count, &plan).map(Some)
    }

    /// How the rows would be found, in words: `key`, `index NAME …`, `scan`.
    pub fn explain(&self, query: &Query) -> Result<String, StoreError> {
        let plan = plan::choose(self, query, &[Command::Select])?;
        let table = &schema().tables[query.table];
        let mut text = plan.describe(table);
        for embed in &query.embeds {
            text.push_str(&format!("; {} by {}", embed.key, embed.describe(self)?));
        }
        Ok(text)
    }

    /// Notes that a row was found.
    pub(crate) fn found(&self, row: &models::Row) -> Result<(), StoreError> {
        self.worked(1 + (sort::size(row) / BLOCK_BYTES) as u64)
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

pub(crate) fn schema() -> &'static Schema {
    models::schema()
}

impl Query {
    /// All columns of a table, all rows.
    pub fn all(table: TableId) -> Query {
        let columns = schema().tables[table].table.columns.iter().enumerate();
        let select = columns
            .map(|(position, column)| Output {
                key: column.name.into(),
                item: Item::Field(Field::column(position)),
            })
            .collect();
        Query {
            table,
            select,
            embeds: Vec::new(),
            filter: Filter::All,
            order: Vec::new(),
            offset: 0,
            limit: None,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Query {
        self.filter = self.filter.and(filter);
        self
    }

    /// Adds `column = value`.
    #[must_use]
    pub fn equal(self, column: &str, value: Value) -> Query {
        let column = schema().tables[self.table].at(column);
        self.filter(Filter::equal(column, value))
    }

    /// Orders by a column.
    #[must_use]
    pub fn order(mut self, column: &str, descending: bool) -> Query {
        let column = schema().tables[self.table].at(column);
        self.order.push(Order {
            by: OrderBy::Field(Field::column(column)),
            descending,
            nulls_first: descending,
        });
        self
    }

    /// Takes at most so many rows.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Query {
        self.limit = Some(limit);
        self
    }

    /// Whether any member is a statistic.
    pub(crate) fn aggregates(&self) -> bool {
        self.select.iter().any(|output| match &output.item {
            Item::Aggregate { .. } => true,
            Item::Embed(embed) => self.embeds[*embed].spread && self.embeds[*embed].query.aggregates(),
            Item::Field(_) => false,
        })
    }
}
