//! Looks of a character: one is active in each story, and the default one stays.

use models::{Row, TableInfo, Value, schema};
use store::{Caller, Event, StoreError, Transaction};

pub(crate) fn before_write(transaction: &Transaction, event: &Event, new: &Row) -> Result<(), StoreError> {
    let table = event.table;
    let default = table.at("is_default");
    let gives_up = event.old.is_some_and(|old| is(old, default)) && !is(new, default);
    if gives_up && others(transaction, table, new)?.iter().all(|other| !is(other, default)) {
        let message =
            "character_variants.is_default: the default look stays the default until another one is";
        return Err(StoreError::raised("PT400", message));
    }
    Ok(())
}

/// The default look goes only with its character, or with its story.
pub(crate) fn before_delete(transaction: &Transaction, event: &Event) -> Result<(), StoreError> {
    let table = event.table;
    let Some(look) = event.old.filter(|look| is(look, table.at("is_default"))) else { return Ok(()) };
    let (characters, stories) = (schema().known("characters"), schema().known("stories"));
    let reads = transaction.reads();
    let story = &look[table.at("story_id")];
    let has_character =
        reads.get(characters, std::slice::from_ref(&look[table.at("character_id")]))?.is_some();
    let has_story = story.is_null() || reads.get(stories, std::slice::from_ref(story))?.is_some();
    match has_character && has_story {
        true => Err(StoreError::raised("PT400", "the default look of a character cannot be deleted")),
        false => Ok(()),
    }
}

/// A look that becomes active or the default ends that of the others.
pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (table, Some(new)) = (event.table, new) else { return Ok(()) };
    let (active, default) = (table.at("is_active_for_story"), table.at("is_default"));
    let story = table.at("story_id");
    let becomes = |column: usize| {
        is(new, column) && event.old.is_none_or(|old| !is(old, column) || old[story] != new[story])
    };
    if !becomes(active) && !becomes(default) {
        return Ok(());
    }
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    for other in others(transaction, table, new)? {
        let mut row = other.clone();
        if becomes(active) && other[story] == new[story] {
            row[active] = Value::Bool(false);
        }
        if becomes(default) {
            row[default] = Value::Bool(false);
        }
        if row != other {
            transaction.update(&service, table, &other, row)?;
        }
    }
    Ok(())
}

fn is(row: &Row, column: usize) -> bool {
    row[column].as_bool() == Some(true)
}

/// The other looks of a character.
fn others(transaction: &Transaction, table: &TableInfo, new: &Row) -> Result<Vec<Row>, StoreError> {
    let character = table.at("character_id");
    let mut all = transaction.reads().referring(table, character, &new[character])?;
    all.retain(|row| row[table.at("id")] != new[table.at("id")]);
    Ok(all)
}
