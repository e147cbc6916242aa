//! Conditions on rows, with SQL's three-valued truth.

use models::{TableInfo, Value};

use super::expression::Expression;
use super::field::{Field, FieldSource};
use super::pattern::Like;
use super::reader::size;
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

    /// Whether it admits one row, where no embed is asked for.
    pub fn admits(&self, table: &TableInfo, row: &models::Row) -> Result<bool, StoreError> {
        Ok(self.truth(table, row, &|_| Ok(false))? == Some(true))
    }

    /// About how many bytes are read to try it on one row: each test counts what it reads, several times where it has to be
    /// taken apart. An error where regular expressions could take more steps than these.
    pub fn steps(
        &self,
        table: &TableInfo,
        row: &models::Row,
        expressions_max: usize,
    ) -> Result<usize, StoreError> {
        let mut steps = Steps { expressions_left: expressions_max, all: 0 };
        steps.add(self, table, row)?;
        Ok(steps.all)
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

    /// Truth for a row; `exists` answers for embeds.
    pub(crate) fn truth(
        &self,
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
                    match part.truth(table, row, exists)? {
                        Some(truth) if truth == decisive => return Ok(Some(decisive)),
                        None => unknown = true,
                        _ => {}
                    }
                }
                Ok(if unknown { None } else { Some(!decisive) })
            }
            Filter::Not(inner) => Ok(inner.truth(table, row, exists)?.map(|truth| !truth)),
            Filter::Embed { embed, exists: wanted } => Ok(Some(exists(*embed)? == *wanted)),
            Filter::Test(test) => match test.field.plain() {
                Some(position) => test.operator.truth(row.value(position)?.as_ref()),
                None => test.operator.truth(&test.field.of(table, row)?),
            },
        }
    }
}

/// What a byte of a document counts that has to be parsed, and a byte of a text that is taken apart into words.
const PARSED_STEPS: usize = 4;
/// Bytes that a comparison takes in one step.
const COMPARED_BYTES: usize = 16;

/// Counts what a filter reads of a row.
struct Steps {
    expressions_left: usize,
    all: usize,
}

impl Steps {
    fn add(&mut self, filter: &Filter, table: &TableInfo, row: &models::Row) -> Result<(), StoreError> {
        match filter {
            Filter::And(parts) | Filter::Or(parts) => {
                parts.iter().try_for_each(|part| self.add(part, table, row))
            }
            Filter::Not(inner) => self.add(inner, table, row),
            Filter::All | Filter::Embed { .. } => Ok(()),
            Filter::Test(test) => self.add_test(test, table, row),
        }
    }

    fn add_test(&mut self, test: &Test, table: &TableInfo, row: &models::Row) -> Result<(), StoreError> {
        let bytes = match test.field.source {
            FieldSource::Column(position) => size(&row[position..=position]),
            FieldSource::Computed(_) => size(row),
        };
        let has_to_parse = !test.field.path.is_empty() || test.field.cast.is_some();
        let read = if has_to_parse { PARSED_STEPS * bytes } else { 0 };
        let tested = match &test.operator {
            Operator::Is(_) => 1,
            Operator::Compare(..) | Operator::Distinct(_) => 1 + bytes / COMPARED_BYTES,
            Operator::In(values) => values.len() * (1 + bytes / COMPARED_BYTES),
            Operator::Like(_) => bytes,
            Operator::Search(_) => PARSED_STEPS * bytes,
            Operator::Contains(other) | Operator::ContainedBy(other) | Operator::Overlaps(other) => {
                contained_steps(bytes, size(std::slice::from_ref(other)))
            }
            Operator::Match(expression) => {
                let value = test.field.value(table, row)?;
                let steps = value.as_str().map_or(0, |text| expression.steps(text));
                self.expressions_left = self.expressions_left.checked_sub(steps).ok_or_else(|| {
                    StoreError::raised("54000", "the regular expression is too complex for the text")
                })?;
                bytes.saturating_add(steps)
            }
        };
        self.all = self.all.saturating_add(read).saturating_add(tested);
        Ok(())
    }
}

/// Both are parsed, and each element of one may be compared with each of the other.
fn contained_steps(one: usize, other: usize) -> usize {
    let compared = one.saturating_mul(other) / (COMPARED_BYTES * COMPARED_BYTES);
    compared.saturating_add(PARSED_STEPS * (one + other))
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
        (Value::Json(whole), Value::Json(part)) => {
            Some(models::json::contains(&models::json::parse(whole)?, &models::json::parse(part)?))
        }
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
