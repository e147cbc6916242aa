//! `characters.likes_count` follows the rows of `character_likes`.

use models::{Row, Value, schema};
use store::{Caller, Event, StoreError, Transaction};

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let by = match (event.old, new) {
        (None, Some(_)) => 1,
        (Some(_), None) => -1,
        _ => return Ok(()),
    };
    let Some(like) = new.or(event.old) else { return Ok(()) };
    let characters = schema().known("characters");
    let id = &like[event.table.at("character_id")];
    let Some(old) = transaction.reads().get(characters, std::slice::from_ref(id))? else { return Ok(()) };
    let mut row = old.clone();
    let column = characters.at("likes_count");
    let count = row[column].as_i64().unwrap_or(0).saturating_add(by).clamp(0, i64::from(i32::MAX));
    row[column] = Value::Int(count);
    let service = event.claims.elevated();
    transaction.update(&Caller::new(&service), characters, &old, row).map(|_| ())
}
