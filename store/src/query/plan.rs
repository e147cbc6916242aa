//! Chooses how to find the rows of a query: by key, through an index (equality prefix, one range, order), or by
//! reading the table.
//!
//! Only conditions that must hold for every result count: the top-level conjunction of the filter, and what the row
//! policy implies for this caller. The filter itself is still evaluated on every row that is found.

use std::collections::HashMap;

use models::expr::{self, Expr};
use models::schema::{IndexInfo, KeyPart};
use models::table::IndexKind;
use models::{Command, TableInfo, Value};

use super::filter::{Comparison, Filter, Is, Operator, Test};
use super::word_search::{Search, WORDS};
use super::{Embed, Link, Order, OrderBy, Query, Reader, run, schema, union, word_search};
use crate::encode;
use crate::error::StoreError;
use crate::implied::{self, Implied};
use crate::keys;

/// Longest `in` list that becomes one range per value.
const LISTED_MAX: usize = 200;
/// Fewer pairs are looked at and sorted rather than more walked in order.
const FEW: usize = 64;
/// What a use of an index is worth: by a column that has one value, by an order that ends at a limit, by a unique key.
pub(super) const BOUND: u32 = 10;
pub(super) const ORDERED: u32 = 6;
const UNIQUE: u32 = 1000;

/// From, and up to but without; no end when there is none.
pub(crate) type KeyRange = (Vec<u8>, Option<Vec<u8>>);

/// How to find the rows.
#[derive(Debug)]
pub(crate) struct Plan {
    pub access: Access,
    /// Rows come in the order that the query asks for.
    pub ordered: bool,
    /// Whatever the index has is a result, without a look at the rows.
    pub covered: bool,
    /// Columns bound by equality, for people.
    pub(super) bound: Vec<usize>,
    /// The indexes of a union with the columns that each binds, for people.
    pub(super) union: Vec<(usize, Vec<usize>)>,
}

/// Where the rows are found.
#[derive(Debug)]
pub(crate) enum Access {
    /// Nowhere.
    Nothing,
    /// Under this primary key.
    Key(Vec<u8>),
    /// In these key ranges; `index` is `None` for the rows themselves.
    Ranges {
        index: Option<usize>,
        ranges: Vec<KeyRange>,
        descending: bool,
        /// Bytes of each range's keys that come before the order; then the ranges are merged by the rest.
        merged: Option<Vec<usize>>,
    },
}

impl Plan {
    /// Whether one row is looked at, at most.
    pub fn is_point(&self) -> bool {
        matches!(self.access, Access::Nothing | Access::Key(_))
    }

    /// Whether less than a whole table or index is read.
    pub fn is_bounded(&self) -> bool {
        self.is_point() || !self.bound.is_empty()
    }

    /// `nothing`, `key`, `index NAME (columns)`, `scan`; with `, sorted` when rows are sorted afterwards.
    pub fn describe(&self, table: &TableInfo) -> String {
        let names = |columns: &[usize]| {
            let names: Vec<&str> = columns.iter().map(|column| table.table.columns[*column].name).collect();
            names.join(", ")
        };
        let by_index = |index: usize, bound: &[usize]| {
            format!("index {} ({})", table.indexes[index].names[0], names(bound))
        };
        if !self.union.is_empty() {
            let parts: Vec<String> =
                self.union.iter().map(|(index, bound)| by_index(*index, bound)).collect();
            return format!("merge of {}", parts.join(" and "));
        }
        let found = match &self.access {
            Access::Nothing => "nothing".to_string(),
            Access::Key(_) => "key".to_string(),
            Access::Ranges { index: None, ranges, .. } if ranges.len() == 1 && self.bound.is_empty() => {
                "scan".to_string()
            }
            Access::Ranges { index: None, .. } => format!("key range ({})", names(&self.bound)),
            Access::Ranges { index: Some(index), .. } => by_index(*index, &self.bound),
        };
        if self.ordered { found } else { format!("{found}, sorted") }
    }
}

/// What is known of every result row.
#[derive(Default)]
pub(super) struct Facts {
    pub equal: HashMap<usize, Value>,
    pub listed: HashMap<usize, Vec<Value>>,
    /// `(lower, upper)`, each with whether the bound itself is included.
    pub ranges: HashMap<usize, (Bound, Bound)>,
    not_null: Vec<usize>,
    pub searches: Vec<Search>,
    contains: Vec<(usize, Value)>,
}

pub(super) struct Candidate {
    pub score: u32,
    pub plan: Plan,
}

/// Chooses.
pub(crate) fn choose(reader: &Reader, query: &Query, commands: &[Command]) -> Result<Plan, StoreError> {
    let table = &schema().tables[query.table];
    let mut facts = Facts::default();
    facts.learn(&query.filter);
    // One row at most: nothing finds it faster, and whether the policy admits it is asked of the row.
    let key = table.primary_key.iter().map(|column| facts.equal.get(column).cloned());
    if let Some(key) = key.collect::<Option<Vec<Value>>>() {
        let access = Access::Key(keys::primary_key_of(&key));
        return Ok(Plan { access, covered: false, ..nothing() });
    }
    let key_parts: Vec<KeyPart> = table
        .primary_key
        .iter()
        .map(|column| KeyPart { column: *column, descending: false, null_as_empty: false })
        .collect();
    let ids = &reader.reads.ids[table.id];
    for command in commands {
        match implied::implied(&reader.reads, reader.caller, table, *command)? {
            Implied::Nothing => return Ok(nothing()),
            Implied::Anything => {}
            Implied::Equal(equalities) => {
                for (column, value) in equalities {
                    if facts.equal.get(&column).is_some_and(|other| *other != value) {
                        return Ok(nothing());
                    }
                    facts.equal.insert(column, value);
                }
            }
        }
    }
    for embed in query.embeds.iter().filter(|embed| embed.inner) {
        facts.learn_join(reader, embed)?;
    }
    let mut best = facts.candidate(query, None, &key_parts, true, keys::prefix(ids.id, 0));
    for (position, index) in table.indexes.iter().enumerate() {
        if !ids.is_filled(position) || !facts.implies_filter(index) {
            continue;
        }
        let prefix = keys::prefix(ids.id, ids.indexes[position]);
        let candidate = match index.kind {
            IndexKind::Gin => facts.element_candidate(index, position, prefix),
            IndexKind::Words => facts.word_candidate(reader, query, table, position, &prefix)?,
            IndexKind::Btree => {
                Some(facts.candidate(query, Some(position), &index.parts, index.unique, prefix))
            }
        };
        if let Some(candidate) = candidate
            && candidate.score > best.score
        {
            best = candidate;
        }
    }
    if query.order.is_empty() {
        best.plan.ordered = true;
    }
    let is_served = best.plan.ordered && (query.order.is_empty() || best.plan.is_bounded());
    if let ([command], false) = (commands, is_served || best.score >= WORDS)
        && let Some(union) = union::candidate(reader, query, &facts, table, *command)?
        && !(best.plan.is_bounded() && run::finds_few(reader, table, &best.plan.access, FEW)?)
    {
        return Ok(union.plan);
    }
    best.plan.covered = facts.is_covered(reader, query, commands, table, &best.plan)?;
    Ok(best.plan)
}

pub(super) fn nothing() -> Plan {
    let (bound, union) = (Vec::new(), Vec::new());
    Plan { access: Access::Nothing, ordered: true, covered: true, bound, union }
}

impl Facts {
    /// Whether every pair that a plan finds is a result.
    fn is_covered(
        &self,
        reader: &Reader,
        query: &Query,
        commands: &[Command],
        table: &TableInfo,
        plan: &Plan,
    ) -> Result<bool, StoreError> {
        let filter = &query.filter;
        let is_bound = match plan.access {
            Access::Ranges { index: None, .. } => self.is_bound(table, filter, &plan.bound),
            Access::Ranges { index: Some(index), .. } => {
                let index = &table.indexes[index];
                index.kind == IndexKind::Btree && self.covers(table, index, filter, &plan.bound)
            }
            Access::Nothing | Access::Key(_) => false,
        };
        if !is_bound || query.embeds.iter().any(|embed| embed.inner) {
            return Ok(false);
        }
        let known = |column: usize| self.equal.get(&column).filter(|_| plan.bound.contains(&column)).cloned();
        for command in commands {
            if !implied::surely(&reader.reads, reader.caller, table, *command, &known)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn learn(&mut self, filter: &Filter) {
        self.searches.extend(word_search::search(filter));
        match filter {
            Filter::And(parts) => parts.iter().for_each(|part| self.learn(part)),
            Filter::Test(Test { field, operator }) => {
                if let Some(column) = field.plain() {
                    self.learn_test(column, operator);
                }
            }
            _ => {}
        }
    }

    fn learn_test(&mut self, column: usize, operator: &Operator) {
        let bounds = self.ranges.entry(column).or_default();
        match operator {
            Operator::Compare(Comparison::Equal, value) => {
                self.equal.insert(column, value.clone());
            }
            Operator::Compare(Comparison::Greater, value) => bounds.0 = Some((value.clone(), false)),
            Operator::Compare(Comparison::GreaterOrEqual, value) => bounds.0 = Some((value.clone(), true)),
            Operator::Compare(Comparison::Less, value) => bounds.1 = Some((value.clone(), false)),
            Operator::Compare(Comparison::LessOrEqual, value) => bounds.1 = Some((value.clone(), true)),
            Operator::Is(Is::Null) => {
                self.equal.insert(column, Value::Null);
            }
            Operator::Is(Is::True) => {
                self.equal.insert(column, Value::Bool(true));
            }
            Operator::Is(Is::False) => {
                self.equal.insert(column, Value::Bool(false));
            }
            Operator::Is(Is::NotNull) => self.not_null.push(column),
            Operator::In(values) if values.len() <= LISTED_MAX => {
                self.listed.insert(column, values.iter().filter(|value| !value.is_null()).cloned().collect());
            }
            Operator::Like(like) => {
                if let Some(prefix) = like.prefix().filter(|prefix| prefix.len() < encode::TEXT_BYTES_MAX) {
                    let mut end = prefix.clone().into_bytes();
                    // The next text after all that begin with the prefix, if it is still text.
                    if let Some(last) = end.last_mut()
                        && *last < 0x7f
                    {
                        *last += 1;
                        if let Ok(end) = String::from_utf8(end) {
                            *bounds = (Some((Value::Text(prefix), true)), Some((Value::Text(end), false)));
                        }
                    }
                }
            }
            Operator::Contains(value) => {
                self.contains.push((column, value.clone()));
                self.not_null.push(column);
            }
            _ => {}
        }
        if self.ranges.get(&column).is_some_and(|(lower, upper)| lower.is_none() && upper.is_none()) {
            self.ranges.remove(&column);
        }
    }

    /// An embed that drops its parents: where an index finds few rows to embed, their keys bound the parents.
    fn learn_join(&mut self, reader: &Reader, embed: &Embed) -> Result<(), StoreError> {
        let Link::Direct { own, column, to_one: true } = embed.link else { return Ok(()) };
        if self.equal.contains_key(&own) || self.listed.contains_key(&own) {
            return Ok(());
        }
        if let Some(values) = run::few(reader, &embed.query, column, LISTED_MAX)? {
            self.listed.insert(own, values);
        }
        Ok(())
    }

    /// Whether every result row is in a partial index.
    fn implies_filter(&self, index: &IndexInfo) -> bool {
        index.filter.as_ref().is_none_or(|filter| self.implies(filter))
    }

    fn implies(&self, filter: &Expr) -> bool {
        match filter {
            Expr::And(parts) => parts.iter().all(|part| self.implies(part)),
            Expr::Compare(left, expr::Comparison::Equal, right) => match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Constant(value)) => self.equal.get(column) == Some(value),
                _ => false,
            },
            Expr::In(needle, values) => match needle.as_ref() {
                Expr::Column(column) => match (self.equal.get(column), self.listed.get(column)) {
                    (Some(value), _) => values.contains(value),
                    (None, Some(listed)) => listed.iter().all(|value| values.contains(value)),
                    (None, None) => false,
                },
                _ => false,
            },
            Expr::Not(inner) => match inner.as_ref() {
                Expr::IsNull(column) => match column.as_ref() {
                    Expr::Column(column) => {
                        self.equal.get(column).is_some_and(|value| !value.is_null())
                            || self.listed.contains_key(column)
                            || self.ranges.contains_key(column)
                            || self.not_null.contains(column)
                    }
                    _ => false,
                },
                _ => false,
            },
            _ => false,
        }
    }

    /// The use of an ordered index (or the primary key) for this query.
    fn candidate(
        &self,
        query: &Query,
        index: Option<usize>,
        parts: &[KeyPart],
        unique: bool,
        prefix: Vec<u8>,
    ) -> Candidate {
        let mut prefixes = vec![prefix];
        let mut bound = Vec::new();
        let mut score = 0;
        let mut used = 0;
        let mut listed = false;
        for part in parts {
            if let Some(value) = self.equal.get(&part.column) {
                prefixes.iter_mut().for_each(|prefix| append(part, value, prefix));
                score += BOUND;
            } else if let Some(values) = self.listed.get(&part.column).filter(|_| !listed) {
                listed = true;
                score += 8;
                prefixes = expand(&prefixes, part, values);
            } else {
                break;
            }
            bound.push(part.column);
            used += 1;
        }
        if unique && used == parts.len() && !parts.is_empty() {
            score += UNIQUE;
        }
        let order = self.order_match(&query.order, &parts[used..]);
        let ordered = order.is_some();
        let descending = order.unwrap_or(false);
        if ordered && !query.order.is_empty() {
            score += if query.limit.is_some() { ORDERED } else { 2 };
        }
        let merged = (ordered && !query.order.is_empty() && prefixes.len() > 1)
            .then(|| prefixes.iter().map(Vec::len).collect());
        let range = parts.get(used).and_then(|part| Some((part, self.ranges.get(&part.column)?)));
        let ranges = match range {
            Some((part, bounds)) => {
                score += 5;
                bound.push(part.column);
                prefixes.iter().map(|prefix| bounded(prefix, part, bounds)).collect()
            }
            None => prefixes.iter().map(|prefix| (prefix.clone(), crate::open::prefix_end(prefix))).collect(),
        };
        Candidate {
            score,
            plan: Plan {
                access: Access::Ranges { index, ranges, descending, merged },
                ordered,
                covered: false,
                bound,
                union: Vec::new(),
            },
        }
    }

    /// Whether a term of an order names a column with one value.
    pub(super) fn orders_nothing(&self, term: &Order) -> bool {
        match &term.by {
            OrderBy::Field(field) => field.plain().is_some_and(|column| self.equal.contains_key(&column)),
            OrderBy::Embedded(..) | OrderBy::Output(_) => false,
        }
    }

    /// Whether an index whose next columns are `parts` gives the order: forwards (`false`) or backwards (`true`).
    pub(super) fn order_match(&self, order: &[Order], parts: &[KeyPart]) -> Option<bool> {
        let mut parts = parts.iter();
        let mut direction = None;
        for term in order {
            let OrderBy::Field(field) = &term.by else { return None };
            let column = field.plain()?;
            if self.orders_nothing(term) {
                continue;
            }
            let part = parts.next().filter(|part| part.column == column && !part.null_as_empty)?;
            // Forwards, an ascending part ends with NULLs and a descending one begins with them.
            let backwards = term.descending != part.descending;
            let nulls_first = part.descending != backwards;
            if nulls_first != term.nulls_first || direction.is_some_and(|known| known != backwards) {
                return None;
            }
            direction = Some(backwards);
        }
        Some(direction.unwrap_or(false))
    }

    /// The use of an index by element for `@>`.
    fn element_candidate(&self, index: &IndexInfo, position: usize, prefix: Vec<u8>) -> Option<Candidate> {
        let column = index.parts[0].column;
        let (_, value) = self.contains.iter().find(|(other, _)| *other == column)?;
        let element = keys::elements(value).into_iter().max_by_key(Vec::len)?;
        let mut from = prefix;
        from.extend_from_slice(&element);
        let ranges = vec![(from.clone(), crate::open::prefix_end(&from))];
        let access = Access::Ranges { index: Some(position), ranges, descending: false, merged: None };
        let plan = Plan { access, ordered: false, covered: false, bound: vec![column], union: Vec::new() };
        Some(Candidate { score: 9, plan })
    }
}

pub(super) fn append(part: &KeyPart, value: &Value, prefix: &mut Vec<u8>) {
    if part.null_as_empty && value.is_null() {
        encode::value(&Value::text(""), part.descending, prefix);
    } else {
        encode::value(value, part.descending, prefix);
    }
}

fn expand(prefixes: &[Vec<u8>], part: &KeyPart, values: &[Value]) -> Vec<Vec<u8>> {
    let mut expanded = Vec::new();
    for prefix in prefixes {
        for value in values {
            let mut longer = prefix.clone();
            append(part, value, &mut longer);
            expanded.push(longer);
        }
    }
    expanded.sort_unstable();
    expanded.dedup();
    expanded
}

/// A value and whether it is included itself.
pub(super) type Bound = Option<(Value, bool)>;

/// Where the values within bounds lie; NULL is never within them.
pub(super) fn bounded(prefix: &[u8], part: &KeyPart, (lower, upper): &(Bound, Bound)) -> KeyRange {
    // In a descending part the greater value comes first.
    let (first, last) = if part.descending { (upper, lower) } else { (lower, upper) };
    let edge = |value: &Value| {
        let mut key = prefix.to_vec();
        encode::value(value, part.descending, &mut key);
        key
    };
    let values = || {
        let mut values = prefix.to_vec();
        values.push(encode::present(part.descending));
        values
    };
    let long = |value: &Value| value.as_str().is_some_and(|text| text.len() > encode::TEXT_BYTES_MAX);
    let from = match first {
        Some((value, _)) if long(value) => values(),
        Some((value, true)) => edge(value),
        Some((value, false)) => encode::after_prefix(&edge(value)).unwrap_or_else(|| edge(value)),
        None => values(),
    };
    let to = match last {
        Some((value, _)) if long(value) => encode::after_prefix(&values()),
        Some((value, true)) => encode::after_prefix(&edge(value)),
        Some((value, false)) => Some(edge(value)),
        None => encode::after_prefix(&values()),
    };
    (from, to)
}
