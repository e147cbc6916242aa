//! Related rows inside a row: along foreign keys in both directions, and through junction tables.

use models::{Command, TableInfo, Value};

use super::filter::Filter;
use super::{Embed, Field, Link, Query, Reader, Rows, project, run, schema};
use crate::codec::Columns;
use crate::error::StoreError;

impl Embed {
    /// Whether the result is an object or null.
    pub fn is_to_one(&self) -> bool {
        matches!(self.link, Link::Direct { to_one: true, .. })
    }

    /// The query for one parent; `None` when nothing can be related.
    fn for_parent(&self, reader: &Reader, parent: &dyn Columns) -> Result<Option<Query>, StoreError> {
        let mut query = self.query.clone();
        match &self.link {
            Link::Direct { own, column, .. } => {
                let value = parent.value(*own)?.into_owned();
                if value.is_null() {
                    return Ok(None);
                }
                query.filter = query.filter.and(Filter::equal(*column, value));
            }
            Link::Through { junction, own, near, far, column } => {
                let links =
                    Query::all(*junction).filter(Filter::equal(*near, parent.value(*own)?.into_owned()));
                let mut related = Vec::new();
                run::each(reader, &links, &[Command::Select], &mut |row| {
                    related.push(row.value(*far)?.into_owned());
                    Ok(related.len() < reader.limits.sorted_max)
                })?;
                query.filter = query.filter.and(Filter::one_of(*column, related));
            }
        }
        let rows_max = if self.is_to_one() { 1 } else { reader.limits.rows_max };
        query.limit = Some(query.limit.unwrap_or(rows_max).min(rows_max));
        Ok(Some(query))
    }

    /// Whether the parent has a related row.
    pub(crate) fn exists(
        &self,
        reader: &Reader,
        _table: &TableInfo,
        parent: &dyn Columns,
    ) -> Result<bool, StoreError> {
        let Some(query) = self.for_parent(reader, parent)? else { return Ok(false) };
        let mut found = false;
        run::each(reader, &query, &[Command::Select], &mut |_| {
            found = true;
            Ok(false)
        })?;
        Ok(found)
    }

    /// The related rows.
    pub(crate) fn rows(&self, reader: &Reader, parent: &dyn Columns) -> Result<Rows, StoreError> {
        match self.for_parent(reader, parent)? {
            Some(query) => project::select(reader, &query, false),
            None if self.query.aggregates() => {
                // Statistics of no rows are still one row of statistics.
                let mut query = self.query.clone();
                query.filter = Filter::Or(Vec::new());
                project::select(reader, &query, false)
            }
            None => Ok(Rows { columns: project::columns(&self.query), ..Rows::default() }),
        }
    }

    /// A field of one related stored row, for ordering parents by it.
    pub(crate) fn first(
        &self,
        reader: &Reader,
        parent: &dyn Columns,
        field: &Field,
    ) -> Result<Value, StoreError> {
        let Some(query) = self.for_parent(reader, parent)? else { return Ok(Value::Null) };
        let table = &schema().tables[self.query.table];
        let mut first = Value::Null;
        run::each(reader, &query, &[Command::Select], &mut |row| {
            first = field.of(table, &row)?;
            Ok(false)
        })?;
        Ok(first)
    }

    /// How related rows are found, in words.
    pub(crate) fn describe(&self, reader: &Reader) -> Result<String, StoreError> {
        let table = &schema().tables[self.query.table];
        let mut query = self.query.clone();
        let column = match &self.link {
            Link::Direct { column, .. } | Link::Through { column, .. } => *column,
        };
        let example = match table.kind(column) {
            models::ColumnType::Uuid => Value::Uuid(uuid::Uuid::nil()),
            _ => Value::text(""),
        };
        query.filter = query.filter.and(Filter::equal(column, example));
        reader.explain(&query)
    }
}
