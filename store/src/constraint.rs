//! Not-null, checks, unique keys, foreign keys and what cascades from a deletion.

use models::convert::to_text;
use models::table::OnDelete;
use models::{Claims, Row, TableId, TableInfo, Value};

use crate::error::StoreError;
use crate::guard::Caller;
use crate::keys;
use crate::read::Reads;
use crate::source::Source;
use crate::transaction::Transaction;

/// Not-null and check constraints of one row.
pub(crate) fn check_row(table: &TableInfo, row: &Row) -> Result<(), StoreError> {
    for (position, column) in table.table.columns.iter().enumerate() {
        if !column.is_nullable && row[position].is_null() {
            return Err(StoreError::NotNull {
                table: table.table.name.into(),
                column: column.name.into(),
                row: failing(table, row),
            });
        }
    }
    for (name, check) in &table.checks {
        if check.truth(row) == Some(false) {
            return Err(StoreError::Check {
                table: table.table.name.into(),
                constraint: name.clone(),
                row: failing(table, row),
            });
        }
    }
    Ok(())
}

/// Characters of a value that a failing row shows.
const SHOWN_CHARS: usize = 64;

/// A row as PostgreSQL shows one that is refused. What only the server may read of it is left out.
fn failing(table: &TableInfo, row: &Row) -> String {
    if table.table.schema != "public" {
        return String::new();
    }
    let shown = row.iter().map(|value| {
        let text = to_text(value).unwrap_or_else(|| "null".into());
        match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    });
    format!("({})", shown.collect::<Vec<_>>().join(", "))
}

/// The primary key and every unique key; `before` is the row before an update, with its key.
pub(crate) fn check_unique(
    reads: &Reads,
    table: &TableInfo,
    row: &Row,
    before: Option<(&Row, &[u8])>,
) -> Result<(), StoreError> {
    let own = before.map(|(_, key)| key);
    let primary_key = keys::primary_key(table, row);
    let stored = keys::row(&reads.ids[table.id], &primary_key);
    if own != Some(primary_key.as_slice()) && reads.source.get(&stored)?.is_some() {
        return Err(duplicate(table, table.primary_key_name(), &table.primary_key, row));
    }
    for (position, index) in table.indexes.iter().enumerate().filter(|(_, index)| index.unique) {
        // What it held before it holds still.
        if before.is_some_and(|(old, _)| keys::same_fields(index, old, row)) {
            continue;
        }
        if let Some(holder) = reads.holder(table, position, row)?
            && own != Some(holder.as_slice())
        {
            let columns: Vec<usize> = index.parts.iter().map(|part| part.column).collect();
            return Err(duplicate(table, index.names[0].clone(), &columns, row));
        }
    }
    Ok(())
}

fn duplicate(table: &TableInfo, constraint: String, columns: &[usize], row: &Row) -> StoreError {
    let names: Vec<&str> = columns.iter().map(|column| table.table.columns[*column].name).collect();
    let values: Vec<String> =
        columns.iter().map(|column| to_text(&row[*column]).unwrap_or_else(|| "null".into())).collect();
    let key = format!("({})=({})", names.join(", "), values.join(", "));
    StoreError::Duplicate { table: table.table.name.into(), constraint, key }
}

/// Foreign keys are judged at the end, so that rows which refer to each other may come in any order.
#[derive(Default)]
pub(crate) struct Deferred {
    /// `(referring table, relation, value)` that must exist.
    refers: Vec<(TableId, usize, Value)>,
    /// `(referring table, relation, value)` that must not exist any more.
    gone: Vec<(TableId, usize, Value)>,
    /// `(referring table, column, value)` of rows that their author may not see.
    hidden: Vec<(TableId, usize, Value)>,
}

impl Deferred {
    /// Notes what a new row refers to.
    pub fn refers(&mut self, table: &TableInfo, old: Option<&Row>, row: &Row) {
        for (position, relation) in
            table.relations.iter().enumerate().filter(|(_, relation)| relation.enforced)
        {
            let value = &row[relation.column];
            if !value.is_null() && old.is_none_or(|old| old[relation.column] != *value) {
                self.refers.push((table.id, position, value.clone()));
            }
        }
    }

    /// Notes a reference to a row that its author may not see: it is judged as if there was no such row.
    pub fn hidden(&mut self, table: &TableInfo, column: usize, value: Value) {
        self.hidden.push((table.id, column, value));
    }

    /// Notes that nothing may refer to a key that an update replaced.
    pub fn key_changed(&mut self, table: &TableInfo, old: &Row, row: &Row) {
        for (referrer, relation) in &table.referenced_by {
            let info = &models::schema().tables[*referrer].relations[*relation];
            let before = &old[info.target_column];
            if info.enforced && *before != row[info.target_column] {
                self.gone.push((*referrer, *relation, before.clone()));
            }
        }
    }

    /// Judges everything noted.
    pub fn check(&self, reads: &Reads) -> Result<(), StoreError> {
        let schema = models::schema();
        for (table, relation, value) in &self.refers {
            let table = &schema.tables[*table];
            let relation = &table.relations[*relation];
            let target = &schema.tables[relation.target];
            let is_hidden = self
                .hidden
                .iter()
                .any(|(of, column, hidden)| (*of, *column, hidden) == (table.id, relation.column, value));
            if (is_hidden || !target_exists(reads, target, relation.target_column, value)?)
                && refers_still(reads, table, relation.column, value)?
            {
                return Err(StoreError::ReferenceMissing {
                    table: table.table.name.into(),
                    constraint: relation.name.clone(),
                    column: table.table.columns[relation.column].name.into(),
                    value: to_text(value).unwrap_or_default(),
                    target: target.table.name.into(),
                });
            }
        }
        for (referrer, relation, value) in &self.gone {
            let referrer = &schema.tables[*referrer];
            let relation = &referrer.relations[*relation];
            let target = &schema.tables[relation.target];
            if refers_still(reads, referrer, relation.column, value)?
                && !target_exists(reads, target, relation.target_column, value)?
            {
                return Err(StoreError::ReferenceInUse {
                    table: target.table.name.into(),
                    constraint: relation.name.clone(),
                    referrer: referrer.table.name.into(),
                    value: to_text(value).unwrap_or_default(),
                });
            }
        }
        Ok(())
    }
}

fn target_exists(
    reads: &Reads,
    target: &TableInfo,
    column: usize,
    value: &Value,
) -> Result<bool, StoreError> {
    if target.primary_key == [column] {
        let key = keys::row(&reads.ids[target.id], &keys::primary_key_of(std::slice::from_ref(value)));
        return Ok(reads.source.get(&key)?.is_some());
    }
    refers_still(reads, target, column, value)
}

fn refers_still(reads: &Reads, table: &TableInfo, column: usize, value: &Value) -> Result<bool, StoreError> {
    let mut found = false;
    reads.each_referring(table, column, value, &mut |_| {
        found = true;
        false
    })?;
    Ok(found)
}

/// Applies the ON DELETE actions of everything that refers to a removed row.
pub(crate) fn cascade(transaction: &Transaction, table: &TableInfo, row: &Row) -> Result<(), StoreError> {
    // Referential actions run with the server's rights, as in PostgreSQL.
    let claims: Claims = transaction.claims.elevated();
    let service = Caller::new(&claims);
    for (referrer, relation) in &table.referenced_by {
        let referrer = &models::schema().tables[*referrer];
        let relation = &referrer.relations[*relation];
        let value = &row[relation.target_column];
        if !relation.enforced || value.is_null() {
            continue;
        }
        let on_delete = match relation.on_delete {
            OnDelete::NoAction if transaction.purging.get() => {
                let nullable = referrer.table.columns[relation.column].is_nullable;
                if nullable { OnDelete::SetNull } else { OnDelete::Cascade }
            }
            declared => declared,
        };
        match on_delete {
            OnDelete::NoAction => {
                let position = referrer.relations.iter().position(|other| std::ptr::eq(other, relation));
                let note = (referrer.id, position.unwrap_or_default(), value.clone());
                transaction.constraints.borrow_mut().gone.push(note);
            }
            OnDelete::Cascade => {
                for child in transaction.reads().referring(referrer, relation.column, value)? {
                    // An earlier cascade of this deletion may have removed or changed it.
                    let now =
                        transaction.reads().get_encoded(referrer, &keys::primary_key(referrer, &child))?;
                    if let Some(child) = now {
                        transaction.delete(&service, referrer, &child)?;
                    }
                }
            }
            OnDelete::SetNull => {
                for child in transaction.reads().referring(referrer, relation.column, value)? {
                    let mut orphan = child.clone();
                    orphan[relation.column] = Value::Null;
                    transaction.update(&service, referrer, &child, orphan)?;
                }
            }
        }
    }
    Ok(())
}
