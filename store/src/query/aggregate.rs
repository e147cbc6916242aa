//! Statistics: count, sum, avg, min, max over groups.

use models::{ColumnType, TableInfo, Value};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::field::Field;
use crate::codec::Columns;
use crate::error::StoreError;

/// A statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Rows, or values that are not NULL.
    Count,
    /// Total.
    Sum,
    /// Mean.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
}

impl Function {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Avg => "avg",
            Function::Min => "min",
            Function::Max => "max",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Function> {
        match text {
            "count" => Some(Function::Count),
            "sum" => Some(Function::Sum),
            "avg" => Some(Function::Avg),
            "min" => Some(Function::Min),
            "max" => Some(Function::Max),
            _ => None,
        }
    }
}

/// A statistic in the making.
#[derive(Clone, Debug)]
pub(crate) struct Accumulator {
    function: Function,
    count: i64,
    total: Total,
    extreme: Value,
}

#[derive(Clone, Debug)]
enum Total {
    Exact(Decimal),
    Float(f64),
}

impl Accumulator {
    pub fn new(function: Function) -> Accumulator {
        Accumulator { function, count: 0, total: Total::Exact(Decimal::ZERO), extreme: Value::Null }
    }

    /// Takes a row in.
    pub fn add(
        &mut self,
        of: Option<&Field>,
        table: &TableInfo,
        row: &dyn Columns,
    ) -> Result<(), StoreError> {
        let Some(field) = of else {
            self.count += 1;
            return Ok(());
        };
        let value = field.of(table, row)?;
        if value.is_null() {
            return Ok(());
        }
        self.count += 1;
        match self.function {
            Function::Count => {}
            Function::Sum | Function::Avg => self.total = self.total.plus(&value, self.function)?,
            Function::Min | Function::Max => {
                let order = value.compare(&self.extreme);
                let wanted = if self.function == Function::Min {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Greater
                };
                if order.is_none_or(|order| order == wanted) {
                    self.extreme = value;
                }
            }
        }
        Ok(())
    }

    /// Takes so many rows in of which nothing else is asked.
    pub fn add_rows(&mut self, rows: i64) {
        self.count = self.count.saturating_add(rows);
    }

    /// Bytes that it holds beyond its own size.
    pub fn bytes(&self) -> usize {
        super::reader::size(std::slice::from_ref(&self.extreme))
    }

    /// The statistic.
    pub fn finish(self) -> Value {
        match (self.function, self.count) {
            (Function::Count, count) => Value::Int(count),
            (_, 0) => Value::Null,
            (Function::Sum, _) => match self.total {
                Total::Exact(total) => Value::Numeric(total),
                Total::Float(total) => Value::Float(total),
            },
            (Function::Avg, count) => match self.total {
                Total::Exact(total) => match total.checked_div(Decimal::from(count)) {
                    Some(mean) => Value::Numeric(mean.round_dp(16).normalize()),
                    None => Value::Null,
                },
                Total::Float(total) => Value::Float(total / count as f64),
            },
            (Function::Min | Function::Max, _) => self.extreme,
        }
    }
}

impl Total {
    fn plus(&self, value: &Value, function: Function) -> Result<Total, StoreError> {
        let addend = match value {
            Value::Int(number) => Decimal::from(*number),
            Value::Numeric(number) => *number,
            Value::Float(number) => return Ok(Total::Float(self.as_f64() + number)),
            _ => {
                let message =
                    format!("function {}({}) does not exist", function.name(), kind_of(value).sql_name());
                return Err(StoreError::raised("42883", message));
            }
        };
        Ok(match self {
            Total::Exact(total) => match total.checked_add(addend) {
                Some(total) => Total::Exact(total),
                None => Total::Float(self.as_f64() + addend.to_f64().unwrap_or(f64::NAN)),
            },
            Total::Float(total) => Total::Float(total + addend.to_f64().unwrap_or(f64::NAN)),
        })
    }

    fn as_f64(&self) -> f64 {
        match self {
            Total::Exact(total) => total.to_f64().unwrap_or(f64::NAN),
            Total::Float(total) => *total,
        }
    }
}

fn kind_of(value: &Value) -> ColumnType {
    match value {
        Value::Bool(_) => ColumnType::Bool,
        Value::Uuid(_) => ColumnType::Uuid,
        Value::Timestamp(_) => ColumnType::Timestamptz,
        Value::Date(_) => ColumnType::Date,
        Value::Json(_) => ColumnType::Jsonb,
        Value::TextArray(_) => ColumnType::TextArray,
        Value::UuidArray(_) => ColumnType::UuidArray,
        _ => ColumnType::Text,
    }
}

/// A statistic as the type that a cast asked for.
pub(crate) fn cast(value: Value, kind: Option<ColumnType>) -> Result<Value, StoreError> {
    match kind {
        None => Ok(value),
        Some(kind) => Ok(models::cast::cast(value, kind)?),
    }
}
