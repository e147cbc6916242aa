//! What to read: a query as a tree.

use std::borrow::Cow;

use models::schema::Schema;
use models::{TableId, Value};

use super::aggregate::Function;
use super::field::Field;
use super::filter::Filter;

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

/// A relation followed by a query.
#[derive(Clone, Debug)]
pub struct Embed {
    /// Member name in the result.
    pub key: String,
    /// Which rows are related.
    pub link: Link,
    /// Parents without a related row are dropped.
    pub inner: bool,
    /// Members go into the parent instead of into one of its own.
    pub spread: bool,
    /// What to read of the related rows.
    pub query: Query,
}

/// How rows are related.
#[derive(Clone, Debug)]
pub enum Link {
    /// `child.column` equals the parent's `own`.
    Direct {
        /// Column of the parent.
        own: usize,
        /// Column of the related table.
        column: usize,
        /// At most one related row: an object or null instead of an array.
        to_one: bool,
    },
    /// Through a junction table that refers to both.
    Through {
        /// The junction.
        junction: TableId,
        /// Column of the parent.
        own: usize,
        /// Column of the junction that refers to the parent.
        near: usize,
        /// Column of the junction that refers to the related table.
        far: usize,
        /// Column of the related table.
        column: usize,
    },
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
