//! Typed queries: picks an index, filters on any column or JSON path, orders, pages, counts, embeds along foreign
//! keys and aggregates. Row policies apply to every row that a query touches, embedded ones included.

mod aggregate;
mod candidates;
mod covered;
mod embed;
mod expression;
mod field;
mod filter;
mod json;
mod pattern;
mod plan;
mod project;
mod reader;
mod run;
mod sort;
mod text_search;
mod tokens;
mod tree;
mod union;
mod word_search;

use models::Command;

pub use aggregate::Function;
pub use candidates::Candidate;
pub use expression::{Expression, regex};
pub use field::{Field, FieldSource};
pub use filter::{Comparison, Filter, Is, Operator, Test};
pub use json::JsonRows;
pub use pattern::Like;
pub use reader::{Limits, Reader, Rows, size};
pub use text_search::{TextConfig, TextQuery};
pub(crate) use tree::schema;
pub use tree::{Embed, Item, Link, Name, Order, OrderBy, Output, Query};

use crate::error::StoreError;

impl Reader<'_> {
    /// Result rows that the caller may select.
    pub fn select(&self, query: &Query, count: bool) -> Result<Rows, StoreError> {
        project::select(self, query, count)
    }

    /// Whole stored rows that the caller may select and treat with `command`.
    pub fn stored(&self, query: &Query, command: Command) -> Result<Vec<models::Row>, StoreError> {
        let mut rows = Vec::new();
        run::each(self, query, &[Command::Select, command], &mut |row| {
            rows.push(row.into_row()?);
            Ok(rows.len() < self.limits.sorted_max)
        })?;
        self.at_most_changed(rows.len())?;
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
        run::each_by(self, query, commands, &plan, &mut |row| visit(row.into_row()?))?;
        Ok(plan.ordered)
    }

    /// The result where at most one row is looked at, found by its key, nothing is embedded and no
    /// value lies in a blob; else `None`.
    pub fn select_point(&self, query: &Query, count: bool) -> Result<Option<Rows>, StoreError> {
        if !query.embeds.is_empty() || query.aggregates() {
            return Ok(None);
        }
        let plan = plan::choose(self, query, &[Command::Select])?;
        if !plan.is_point() {
            return Ok(None);
        }
        self.without_blobs(|| project::plain(self, query, count, &plan).map(Some))
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
}
