//! Indexes of our own: the orders in which rows are listed that a caller may see.
//!
//! Screens list the newest rows of an owner, of a parent, or of what is public. For each of these parts of a table's
//! policy there is an index that begins with its columns and goes on with the time, so that a list reads the rows that it
//! shows and no others, and lists of several parts are merged.

use crate::expr::Expr;
use crate::policy::{Command, Rule};
use crate::schema::{IndexInfo, KeyPart, TableInfo, constraint_name};
use crate::table::IndexKind;
use crate::value::ColumnType;

/// When a row came to be, by whatever name.
const TIMES: [&str; 2] = ["created_at", "timestamp"];

impl TableInfo {
    /// The columns of each part of the select policy, followed by the time, newest first.
    pub(crate) fn listed_orders(&self) -> Vec<Vec<KeyPart>> {
        let Some(time) = TIMES.iter().find_map(|name| self.column(name)) else { return Vec::new() };
        let mut parts = Vec::new();
        bound_columns(self.rule(Command::Select), &mut parts);
        let orders = parts.iter().map(|columns| {
            let mut order: Vec<KeyPart> = columns
                .iter()
                .filter_map(|name| self.column(name))
                .map(|column| KeyPart { column, descending: false, null_as_empty: false })
                .collect();
            order.push(KeyPart { column: time, descending: true, null_as_empty: false });
            order
        });
        orders.filter(|order| order.len() > 1).collect()
    }

    /// The orders that the table declares.
    pub(crate) fn declared_orders(&self) -> Result<Vec<Vec<KeyPart>>, String> {
        let order = |columns: &&[&str]| columns.iter().map(|text| self.key_part(text)).collect();
        self.table.listed_by.iter().map(order).collect()
    }

    /// Adds an index of our own, unless one gives the same order forwards or backwards.
    pub(crate) fn add_own_index(&mut self, parts: Vec<KeyPart>) {
        let (last, bound) = (parts.len() - 1, &parts[..parts.len() - 1]);
        let serves = |existing: &IndexInfo| {
            existing.kind == IndexKind::Btree
                && existing.filter.is_none()
                && existing.parts.len() == parts.len()
                && existing.parts[..last] == *bound
                && existing.parts[last].column == parts[last].column
                && !existing.parts[last].null_as_empty
        };
        if self.indexes.iter().any(serves) {
            return;
        }
        let columns: Vec<&str> = parts.iter().map(|part| self.table.columns[part.column].name).collect();
        self.indexes.push(IndexInfo {
            names: vec![constraint_name(self.table.name, &columns.join("_"), "idx")],
            parts,
            kind: IndexKind::Btree,
            filter: None,
            unique: false,
            nulls_equal: false,
            is_own: true,
        });
    }

    /// Adds the index of the words in the columns that the table declares for it, followed by the time.
    pub(crate) fn add_word_index(&mut self) -> Result<(), String> {
        let table = self.table;
        if table.searched.is_empty() {
            return Ok(());
        }
        let time = TIMES.iter().find(|name| self.column(name).is_some());
        let time = time.ok_or("searched: the table has no time")?;
        let columns = table.searched.iter().chain([time]);
        let parts = columns.map(|name| self.key_part(name)).collect::<Result<Vec<_>, _>>()?;
        if let Some(part) =
            parts[..parts.len() - 1].iter().find(|it| self.kind(it.column) != ColumnType::Text)
        {
            return Err(format!("searched: {} is no text", table.columns[part.column].name));
        }
        self.indexes.push(IndexInfo {
            names: vec![constraint_name(table.name, "words", "idx")],
            parts,
            kind: IndexKind::Words,
            filter: None,
            unique: false,
            nulls_equal: false,
            is_own: true,
        });
        Ok(())
    }

    /// Leaves rows that refer to nothing out of the indexes which begin with a reference: most references of a new row are
    /// NULL, and each such entry is a pair to write and to keep. Indexes that the policy of reading asks for owners or for
    /// NULL, and unique ones, have all rows.
    pub(crate) fn leave_out_null_references(&mut self) {
        let mut kept = Vec::new();
        bound_or_null(self.rule(Command::Select), &mut |name| kept.extend(self.column(name)));
        let relations = &self.relations;
        let is_reference = |column: usize| relations.iter().any(|relation| relation.column == column);
        for index in self.indexes.iter_mut().filter(|index| index.kind == IndexKind::Btree && !index.unique) {
            let KeyPart { column, null_as_empty, .. } = index.parts[0];
            let may_be_null = self.table.columns[column].is_nullable && !null_as_empty;
            if may_be_null && is_reference(column) && !kept.contains(&column) && index.filter.is_none() {
                index.filter = Some(not_null(column));
            }
        }
    }

    /// An index that is the beginning of another one finds nothing which that one does not find; its names go there.
    pub(crate) fn drop_prefixes(&mut self) {
        let is_plain = |index: &IndexInfo| index.kind == IndexKind::Btree && index.filter.is_none();
        let mut position = 0;
        while position < self.indexes.len() {
            let index = &self.indexes[position];
            let longer = self.indexes.iter().position(|other| {
                is_plain(other)
                    && other.parts.len() > index.parts.len()
                    && other.parts[..index.parts.len()] == index.parts
            });
            match longer.filter(|_| is_plain(index) && !index.unique) {
                Some(longer) => {
                    let names = std::mem::take(&mut self.indexes[position].names);
                    self.indexes[longer].names.extend(names);
                    self.indexes.remove(position);
                }
                None => position += 1,
            }
        }
    }
}

impl IndexInfo {
    /// Whether every row stands in it that has a value in its first column.
    pub fn has_all_values(&self) -> bool {
        self.filter.as_ref().is_none_or(|filter| *filter == not_null(self.parts[0].column))
    }
}

fn not_null(column: usize) -> Expr {
    Expr::Not(Box::new(Expr::IsNull(Box::new(Expr::Column(column)))))
}

/// Columns of which a rule says whose row it is, or that they are NULL.
fn bound_or_null(rule: &Rule, found: &mut dyn FnMut(&str)) {
    match rule {
        Rule::Or(parts) | Rule::And(parts) => parts.iter().for_each(|part| bound_or_null(part, found)),
        Rule::Not(inner) => bound_or_null(inner, found),
        Rule::Owner(column) | Rule::Null(column) => found(column),
        _ => {}
    }
}

/// The columns that each alternative of a rule binds to one value.
fn bound_columns(rule: &Rule, found: &mut Vec<Vec<String>>) {
    match rule {
        Rule::Or(parts) => parts.iter().for_each(|part| bound_columns(part, found)),
        Rule::Owner(column) => found.push(vec![column.clone()]),
        Rule::Via { steps, .. } => found.extend(steps.first().map(|(column, _)| vec![column.clone()])),
        Rule::And(_) | Rule::IsTrue(_) | Rule::Equals(..) => {
            let mut columns = Vec::new();
            conditions(rule, &mut columns);
            found.push(columns);
        }
        _ => {}
    }
}

/// The columns of which a conjunction says what they hold.
fn conditions(rule: &Rule, columns: &mut Vec<String>) {
    match rule {
        Rule::And(parts) => parts.iter().for_each(|part| conditions(part, columns)),
        Rule::IsTrue(column) | Rule::Equals(column, _) | Rule::Owner(column) => columns.push(column.clone()),
        Rule::Via { steps, .. } if columns.is_empty() => {
            columns.extend(steps.first().map(|(column, _)| column.clone()));
        }
        _ => {}
    }
}
