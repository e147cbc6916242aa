//! Reference pictures of a character: one of each type is the primary one, and it is approved.

use models::{Row, TableInfo, Value};
use store::{Caller, Event, StoreError, Transaction};

pub(crate) fn before_write(event: &Event, new: &Row) -> Result<(), StoreError> {
    let table = event.table;
    if is(new, table.at("is_primary")) && !is(new, table.at("approved")) {
        let message = "character_reference_images.is_primary: only an approved picture can be primary";
        return Err(StoreError::raised("PT400", message));
    }
    Ok(())
}

/// A picture that becomes primary takes the place of the one before.
pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (table, Some(new)) = (event.table, new) else { return Ok(()) };
    let (primary, kind) = (table.at("is_primary"), table.at("ref_type"));
    if !is(new, primary) || event.old.is_some_and(|old| is(old, primary) && old[kind] == new[kind]) {
        return Ok(());
    }
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    for other in of_character(transaction, table, &new[table.at("character_id")])? {
        if other[table.at("id")] != new[table.at("id")] && is(&other, primary) && other[kind] == new[kind] {
            let mut row = other.clone();
            row[primary] = Value::Bool(false);
            transaction.update(&service, table, &other, row)?;
        }
    }
    Ok(())
}

/// Whether a character has an approved picture of its face.
pub(crate) fn has_approved_face(transaction: &Transaction, character: &Value) -> Result<bool, StoreError> {
    let table = models::schema().known("character_reference_images");
    let all = of_character(transaction, table, character)?;
    let is_face = |row: &Row| row[table.at("ref_type")].as_str() == Some("face");
    Ok(all.iter().any(|row| is_face(row) && is(row, table.at("approved"))))
}

fn is(row: &Row, column: usize) -> bool {
    row[column].as_bool() == Some(true)
}

fn of_character(
    transaction: &Transaction,
    table: &TableInfo,
    character: &Value,
) -> Result<Vec<Row>, StoreError> {
    transaction.reads().referring(table, table.at("character_id"), character)
}
