//! Counters that follow the library: assets of a collection, portraits of a character.

use models::{Row, TableInfo, Value};
use store::{Event, StoreError, Transaction};

use crate::adjust::adjust;

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let table = event.table;
    let collection =
        |row: Option<&Row>| row.map_or(Value::Null, |row| row[table.at("collection_id")].clone());
    let portrait_of = |row: Option<&Row>| match row {
        Some(row) if row[table.at("output_type")].as_str() == Some("portrait") => {
            row[table.at("character_id")].clone()
        }
        _ => Value::Null,
    };
    count(transaction, event, ("user_collections", "asset_count"), collection(event.old), collection(new))?;
    count(transaction, event, ("characters", "portrait_count"), portrait_of(event.old), portrait_of(new))
}

fn count(
    transaction: &Transaction,
    event: &Event,
    (table, column): (&'static str, &str),
    before: Value,
    after: Value,
) -> Result<(), StoreError> {
    if before == after {
        return Ok(());
    }
    let add = |by: i64| {
        move |table: &TableInfo, row: &mut Row| {
            let count = row[table.at(column)].as_i64().unwrap_or(0);
            row[table.at(column)] = Value::Int((count + by).max(0));
        }
    };
    if !before.is_null() {
        adjust(transaction, event, table, &before, add(-1))?;
    }
    if !after.is_null() {
        adjust(transaction, event, table, &after, add(1))?;
    }
    Ok(())
}
