//! Fields: a column, a computed column, or a path into JSON, with an optional cast.

use models::convert;
use models::json::{self, PathStep};
use models::table::Formula;
use models::{ColumnType, Row, TableInfo, Value};
use rust_decimal::prelude::FromPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::error::StoreError;

const DAY_MICROS: i64 = 86_400_000_000;

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
        let start = match self.source {
            FieldSource::Column(position) => row[position].clone(),
            FieldSource::Computed(position) => computed(&table.table.computed[position].formula, table, row),
        };
        let value = if self.path.is_empty() { start } else { self.follow(&start) };
        match self.cast {
            None => Ok(value),
            Some(kind) => cast(value, kind),
        }
    }

    fn follow(&self, start: &Value) -> Value {
        let Some(document) = start.as_json() else { return Value::Null };
        match json::follow(&document, &self.path) {
            None => Value::Null,
            Some(found) if self.as_text => json::as_text(found).map_or(Value::Null, Value::Text),
            Some(found) => Value::json(found),
        }
    }
}

/// A value as another type, as PostgreSQL casts it.
pub(crate) fn cast(value: Value, kind: ColumnType) -> Result<Value, StoreError> {
    let is_whole = matches!(kind, ColumnType::Int4 | ColumnType::Int8);
    let text = match (kind, value) {
        (_, Value::Null) => return Ok(Value::Null),
        (_, Value::Json(json)) if json == "null" && !matches!(kind, ColumnType::Jsonb | ColumnType::Text) => {
            return Ok(Value::Null);
        }
        (ColumnType::Date, Value::Timestamp(micros)) => {
            let days = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX);
            return Ok(Value::Date(days));
        }
        (ColumnType::Timestamptz, Value::Date(days)) => {
            return Ok(Value::Timestamp(i64::from(days).saturating_mul(DAY_MICROS)));
        }
        (ColumnType::Bool, Value::Int(number)) => return Ok(Value::Bool(number != 0)),
        (_, Value::Bool(truth)) if is_whole => return Ok(Value::Int(i64::from(truth))),
        (_, value) => match number(&value).filter(|_| is_whole) {
            Some(number) => {
                number.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_string()
            }
            None => convert::to_text(&value).unwrap_or_default(),
        },
    };
    Ok(convert::from_text(kind, &text)?)
}

/// The number that a value is, if it has digits after the point or may have.
fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Numeric(number) => Some(*number),
        Value::Float(number) => Decimal::from_f64(*number),
        Value::Json(text) => text.parse().ok(),
        _ => None,
    }
}

fn computed(formula: &Formula, table: &TableInfo, row: &Row) -> Value {
    match formula {
        Formula::Length(column) => match &row[table.at(column)] {
            Value::Text(text) => Value::Int(text.chars().count() as i64),
            _ => Value::Null,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_follow_postgresql() {
        let decimal = |text: &str| Value::Numeric(text.parse().expect("a number"));
        let day = 20_000;
        for (value, kind, wanted) in [
            (Value::Null, ColumnType::Date, Value::Null),
            (Value::Timestamp(day * DAY_MICROS + 5), ColumnType::Date, Value::Date(20_000)),
            (Value::Timestamp(-1), ColumnType::Date, Value::Date(-1)),
            (Value::Date(20_000), ColumnType::Timestamptz, Value::Timestamp(day * DAY_MICROS)),
            (decimal("2.5"), ColumnType::Int4, Value::Int(3)),
            (decimal("-2.5"), ColumnType::Int8, Value::Int(-3)),
            (Value::Float(1.4), ColumnType::Int4, Value::Int(1)),
            (Value::Json("2.5".into()), ColumnType::Int4, Value::Int(3)),
            (Value::Json("null".into()), ColumnType::Int4, Value::Null),
            (Value::Json("7".into()), ColumnType::Text, Value::text("7")),
            (Value::Bool(true), ColumnType::Int4, Value::Int(1)),
            (Value::Int(2), ColumnType::Bool, Value::Bool(true)),
            (Value::text("12"), ColumnType::Int4, Value::Int(12)),
        ] {
            assert_eq!(cast(value.clone(), kind).ok(), Some(wanted), "{value:?} as {kind:?}");
        }
        assert!(cast(decimal("3000000000.1"), ColumnType::Int4).is_err());
        assert!(cast(Value::text("2.5"), ColumnType::Int4).is_err());
    }
}
