//! Conditions on rows, with SQL's three-valued truth.

use models::{TableInfo, Value};

use super::field::Field;
use super::pattern::{Expression, Like};
use super::text_search::TextQuery;
use crate::codec::Columns;
use crate::error::StoreError;

/// A condition.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Every row.
    All,
    /// All of them.
    And(Vec<Filter>),
    /// Any of them.
    Or(Vec<Filter>),
    /// The opposite.
    Not(Box<Filter>),
    /// One test of one field.
    Test(Test),
    /// Whether the embed at this position has rows.
    Embed {
        /// Position in the query's embeds.
        embed: usize,
        /// Wanted answer.
        exists: bool,
    },
}

/// One test of one field.
#[derive(Clone, Debug)]
pub struct Test {
    /// Of what.
    pub field: Field,
    /// Which.
    pub operator: Operator,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// What `is` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// NULL.
    Null,
    /// Anything but NULL.
    NotNull,
    /// True.
    True,
    /// False.
    False,
    /// Neither true nor false.
    Unknown,
}

/// Tests; values already have the field's type.
#[derive(Clone, Debug)]
pub enum Operator {
    /// Order or equality.
    Compare(Comparison, Value),
    /// NULL and truth.
    Is(Is),
    /// One of a list.
    In(Vec<Value>),
    /// Different, with NULL as an ordinary value.
    Distinct(Value),
    /// `LIKE`, `ILIKE`.
    Like(Like),
    /// `~`, `~*`.
    Match(Expression),
    /// `@>` on arrays and JSON.
    Contains(Value),
    /// `<@` on arrays and JSON.
    ContainedBy(Value),
    /// `&&` on arrays.
    Overlaps(Value),
    /// Text search.
    Search(TextQuery),
}

impl Filter {
    /// `column = value`.
    pub fn equal(column: usize, value: Value) -> Filter {
        let operator = if value.is_null() {
            Operator::Is(Is::Null)
        } else {
            Operator::Compare(Comparison::Equal, value)
        };
        Filter::Test(Test { field: Field::column(column), operator })
    }

    /// `column` is one of `values`.
    pub fn one_of(column: usize, values: Vec<Value>) -> Filter {
        Filter::Test(Test { field: Field::column(column), operator: Operator::In(values) })
    }

    /// A comparison of a column.
    pub fn compare(column: usize, comparison: Comparison, value: Value) -> Filter {
        Filter::Test(Test { field: Field::column(column), operator: Operator::Compare(comparison, value) })
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Filter) -> Filter {
        match (self, other) {
            (Filter::All, only) | (only, Filter::All) => only,
            (Filter::And(mut parts), other) => {
                parts.push(other);
                Filter::And(parts)
            }
            (first, second) => Filter::And(vec![first, second]),
        }
    }

    /// Whether it admits one row, where no embed is asked for; an error where a regular expression could take more steps
    /// than these.
    pub fn admits(&self, table: &TableInfo, row: &models::Row, steps_max: usize) -> Result<bool, StoreError> {
        if self.steps(table, row)? > steps_max {
            return Err(StoreError::raised("54000", "the regular expression is too complex for the text"));
        }
        Ok(self.truth(&|| Ok(()), table, row, &|_| Ok(false))? == Some(true))
    }

    fn steps(&self, table: &TableInfo, row: &models::Row) -> Result<usize, StoreError> {
        match self {
            Filter::And(parts) | Filter::Or(parts) => {
                parts.iter().try_fold(0, |sum: usize, part| Ok(sum.saturating_add(part.steps(table, row)?)))
            }
            Filter::Not(inner) => inner.steps(table, row),
            Filter::Test(Test { field, operator: Operator::Match(expression) }) => {
                Ok(field.value(table, row)?.as_str().map_or(0, |text| expression.steps(text)))
            }
            Filter::All | Filter::Embed { .. } | Filter::Test(_) => Ok(0),
        }
    }

    /// The value that a column must have, where one of the conditions says so.
    pub fn pinned(&self) -> Option<(usize, &Value)> {
        match self {
            Filter::And(parts) => parts.iter().find_map(Filter::pinned),
            Filter::Test(Test { field, operator: Operator::Compare(Comparison::Equal, value) }) => {
                field.plain().map(|column| (column, value))
            }
            _ => None,
        }
    }

    /// Truth for a row; `tested` is asked before each test, and `exists` answers for embeds.
    pub(crate) fn truth(
        &self,
        tested: &dyn Fn() -> Result<(), StoreError>,
        table: &TableInfo,
        row: &dyn Columns,
        exists: &dyn Fn(usize) -> Result<bool, StoreError>,
    ) -> Result<Option<bool>, StoreError> {
        match self {
            Filter::All => Ok(Some(true)),
            Filter::And(parts) | Filter::Or(parts) => {
                let decisive = matches!(self, Filter::Or(_));
                let mut unknown = false;
                for part in parts {
                    match part.truth(tested, table, row, exists)? {
                        Some(truth) if truth == decisive => return Ok(Some(decisive)),
                        None => unknown = true,
                        _ => {}
                    }
                }
                Ok(if unknown { None } else { Some(!decisive) })
            }
            Filter::Not(inner) => Ok(inner.truth(tested, table, row, exists)?.map(|truth| !truth)),
            Filter::Embed { embed, exists: wanted } => Ok(Some(exists(*embed)? == *wanted)),
            Filter::Test(test) => {
                tested()?;
                match test.field.plain() {
                    Some(position) => test.operator.truth(row.value(position)?.as_ref()),
                    None => test.operator.truth(&test.field.of(table, row)?),
                }
            }
        }
    }
}

impl Operator {
    fn truth(&self, value: &Value) -> Result<Option<bool>, StoreError> {
        match self {
            Operator::Like(like) => {
                let Some(text) = value.as_str() else { return Ok(None) };
                like.check(text)?;
                Ok(Some(like.matches(text)))
            }
            Operator::Match(expression) => value.as_str().map(|text| expression.is_match(text)).transpose(),
            other => Ok(other.holds(value)),
        }
    }

    /// The truth of tests that never fail.
    fn holds(&self, value: &Value) -> Option<bool> {
        match self {
            Operator::Is(what) => {
                return Some(match what {
                    Is::Null => value.is_null(),
                    Is::NotNull => !value.is_null(),
                    Is::True => *value == Value::Bool(true),
                    Is::False => *value == Value::Bool(false),
                    Is::Unknown => value.is_null(),
                });
            }
            Operator::Distinct(other) => return Some(!same(value, other)),
            _ if value.is_null() => return None,
            _ => {}
        }
        match self {
            Operator::Compare(comparison, other) => {
                let order = value.compare(other)?;
                Some(match comparison {
                    Comparison::Equal => order.is_eq(),
                    Comparison::NotEqual => order.is_ne(),
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                })
            }
            Operator::In(values) => {
                if values.iter().any(|other| value.compare(other).is_some_and(|order| order.is_eq())) {
                    Some(true)
                } else if values.iter().any(Value::is_null) {
                    None
                } else {
                    Some(false)
                }
            }
            Operator::Contains(part) => contains(value, part),
            Operator::ContainedBy(whole) => contains(whole, value),
            Operator::Overlaps(other) => overlaps(value, other),
            Operator::Search(query) => match value {
                Value::Text(text) => Some(query.matches(text)),
                Value::Json(text) => Some(query.matches(text)),
                _ => None,
            },
            Operator::Is(_) | Operator::Distinct(_) | Operator::Like(_) | Operator::Match(_) => None,
        }
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.is_null(), b.is_null()) {
        (true, true) => true,
        (false, false) => a.compare(b).is_some_and(|order| order.is_eq()),
        _ => false,
    }
}

fn contains(whole: &Value, part: &Value) -> Option<bool> {
    match (whole, part) {
        (Value::TextArray(whole), Value::TextArray(part)) => {
            Some(part.iter().all(|element| element.is_some() && whole.contains(element)))
        }
        (Value::UuidArray(whole), Value::UuidArray(part)) => {
            Some(part.iter().all(|element| element.is_some() && whole.contains(element)))
        }
        (Value::Json(_), Value::Json(_)) => Some(models::json::contains(&whole.as_json()?, &part.as_json()?)),
        _ => None,
    }
}

fn overlaps(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::TextArray(a), Value::TextArray(b)) => {
            Some(a.iter().any(|element| element.is_some() && b.contains(element)))
        }
        (Value::UuidArray(a), Value::UuidArray(b)) => {
            Some(a.iter().any(|element| element.is_some() && b.contains(element)))
        }
        _ => None,
    }
}
