//! Whether an index alone says that a row is a result: then rows are counted and skipped without being read.

use models::schema::IndexInfo;
use models::{ColumnType, TableInfo, Value};

use super::filter::{Comparison, Filter, Is, Operator, Test};
use super::plan::Facts;
use crate::encode;

impl Facts {
    /// Whether every entry of the ranges that bind these columns of an index satisfies the filter.
    pub(super) fn covers(
        &self,
        table: &TableInfo,
        index: &IndexInfo,
        filter: &Filter,
        bound: &[usize],
    ) -> bool {
        index.parts.iter().all(|part| !part.null_as_empty) && self.is_bound(table, filter, bound)
    }

    /// The same for the ranges of a primary key.
    pub(super) fn is_bound(&self, table: &TableInfo, filter: &Filter, bound: &[usize]) -> bool {
        match filter {
            Filter::All => true,
            Filter::And(parts) => parts.iter().all(|part| self.is_bound(table, part, bound)),
            Filter::Test(Test { field, operator }) => field.plain().is_some_and(|column| {
                bound.contains(&column) && is_exact(table.kind(column)) && self.says(column, operator)
            }),
            Filter::Or(_) | Filter::Not(_) | Filter::Embed { .. } => false,
        }
    }

    /// Whether what a range binds a column to is all that a test says.
    fn says(&self, column: usize, operator: &Operator) -> bool {
        let equal = self.equal.get(&column);
        let (listed, range) = (self.listed.get(&column), self.ranges.get(&column));
        match (operator, equal) {
            (Operator::Compare(Comparison::Equal, value), Some(known)) => {
                !value.is_null() && value == known && is_short(value)
            }
            (Operator::Is(Is::Null), Some(known)) => known.is_null(),
            (Operator::Is(Is::True), Some(known)) => *known == Value::Bool(true),
            (Operator::Is(Is::False), Some(known)) => *known == Value::Bool(false),
            (_, Some(_)) => false,
            (Operator::In(values), None) if range.is_none() => listed.is_some_and(|listed| {
                values.iter().all(|value| is_short(value) && (value.is_null() || listed.contains(value)))
                    && listed.iter().all(|value| values.contains(value))
            }),
            (Operator::Compare(comparison, value), None) if listed.is_none() => {
                let Some((lower, upper)) = range else { return false };
                let wanted = match comparison {
                    Comparison::Greater => (lower, false),
                    Comparison::GreaterOrEqual => (lower, true),
                    Comparison::Less => (upper, false),
                    Comparison::LessOrEqual => (upper, true),
                    Comparison::Equal | Comparison::NotEqual => return false,
                };
                is_short(value)
                    && wanted.0.as_ref().is_some_and(|(known, is_in)| known == value && *is_in == wanted.1)
            }
            _ => false,
        }
    }
}

/// Whether two values of the type are equal, or ordered, exactly if their keys are.
fn is_exact(kind: ColumnType) -> bool {
    match kind {
        ColumnType::Uuid
        | ColumnType::Text
        | ColumnType::Inet
        | ColumnType::Enum(_)
        | ColumnType::Bool
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::Timestamptz
        | ColumnType::Date => true,
        ColumnType::Float8
        | ColumnType::Numeric
        | ColumnType::Jsonb
        | ColumnType::TextArray
        | ColumnType::UuidArray => false,
    }
}

/// Whether a key holds all of a value.
fn is_short(value: &Value) -> bool {
    value.as_str().is_none_or(|text| text.len() < encode::TEXT_BYTES_MAX)
}
