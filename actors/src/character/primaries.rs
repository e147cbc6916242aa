//! One anchor of a character is its primary one, and one canonical output of each type.

use models::{Row, Value};
use store::{Caller, Event, StoreError, Transaction};

/// Takes the mark off the row that had it, when another one gets it.
pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let table = event.table;
    let [id, character, primary] = ["id", "character_id", "is_primary"].map(|column| table.at(column));
    let is_primary = |row: &Row| row[primary] == Value::Bool(true);
    let Some(new) = new.filter(|new| is_primary(new)) else { return Ok(()) };
    if event.old.is_some_and(|old| is_primary(old) && old[character] == new[character]) {
        return Ok(());
    }
    // Pictures and videos have a primary one each.
    let kind = table.column("output_type");
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    for other in transaction.reads().referring(table, character, &new[character])? {
        let is_alike = kind.is_none_or(|kind| other[kind] == new[kind]);
        if is_alike && is_primary(&other) && other[id] != new[id] {
            let mut row = other.clone();
            row[primary] = Value::Bool(false);
            transaction.update(&service, table, &other, row)?;
        }
    }
    Ok(())
}
