//! Fields: a column, a computed column, or a path into JSON, with an optional cast.

use models::cast::cast;
use models::json::{self, PathStep};
use models::table::Formula;
use models::{ColumnType, Row, TableInfo, Value, number_digits};

use crate::codec::Columns;
use crate::error::StoreError;

/// What a field starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSource {
    /// A stored column, by position.
    Column(usize),
    /// A computed column, by position.
    Computed(usize),
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Where it starts.
    pub source: FieldSource,
    /// Path into JSON.
    pub path: Vec<PathStep>,
    /// The last step is `->>`.
    pub as_text: bool,
    /// Converted to.
    pub cast: Option<ColumnType>,
}

impl Field {
    /// A plain column.
    pub fn column(position: usize) -> Field {
        Field { source: FieldSource::Column(position), path: Vec::new(), as_text: false, cast: None }
    }

    /// The column, when the field is nothing but a column.
    pub fn plain(&self) -> Option<usize> {
        match self.source {
            FieldSource::Column(position) if self.path.is_empty() && self.cast.is_none() => Some(position),
            _ => None,
        }
    }

    /// The type of its values.
    pub fn kind(&self, table: &TableInfo) -> ColumnType {
        match (self.cast, self.path.is_empty(), self.source) {
            (Some(cast), ..) => cast,
            (None, false, _) if self.as_text => ColumnType::Text,
            (None, false, _) => ColumnType::Jsonb,
            (None, true, FieldSource::Column(position)) => table.kind(position),
            (None, true, FieldSource::Computed(position)) => match table.table.computed[position].formula {
                Formula::Length(_) => ColumnType::Int4,
            },
        }
    }

    /// Its value in a row.
    pub fn value(&self, table: &TableInfo, row: &Row) -> Result<Value, StoreError> {
        self.of(table, row)
    }

    /// The same in a row of which only what is asked for is read.
    pub(crate) fn of(&self, table: &TableInfo, row: &dyn Columns) -> Result<Value, StoreError> {
        let start = match self.source {
            FieldSource::Column(position) => row.value(position)?.into_owned(),
            FieldSource::Computed(position) => computed(&table.table.computed[position].formula, table, row)?,
        };
        let value = if self.path.is_empty() { start } else { self.follow(&start) };
        match self.cast {
            None => Ok(value),
            Some(kind) => Ok(cast(value, kind)?),
        }
    }

    fn follow(&self, start: &Value) -> Value {
        // What is no document is taken as one, as `to_jsonb` makes it.
        let document = match start {
            Value::Null => return Value::Null,
            Value::Json(text) => json::parse(text).unwrap_or_default(),
            other => models::convert::to_json(other),
        };
        match json::follow(&document, &self.path) {
            None => Value::Null,
            Some(found) if self.as_text => json::as_text(found).map_or(Value::Null, Value::Text),
            Some(found) => Value::Json(number_digits::write(&found.to_string()).into_owned()),
        }
    }
}

fn computed(formula: &Formula, table: &TableInfo, row: &dyn Columns) -> Result<Value, StoreError> {
    match formula {
        Formula::Length(column) => Ok(match &*row.value(table.at(column))? {
            Value::Text(text) => Value::Int(text.chars().count() as i64),
            _ => Value::Null,
        }),
    }
}
