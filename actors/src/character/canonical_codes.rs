//! Canonical codes of a project's characters: the smallest that is free, each once.

use models::{Row, Value, schema};
use store::{Event, StoreError, Transaction};
use webtoon::drawing::codes;

/// Gives a character of a project its code, and takes it from one of none.
pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    let (code, project) = (table.at("canonical_code"), table.at("project_id"));
    let same = |column: usize| event.old.is_some_and(|old| old[column] == new[column]);
    if same(code) && same(project) {
        return Ok(());
    }
    if new[project].is_null() {
        new[code] = Value::Null;
        return Ok(());
    }
    if new[code].is_null() && same(project) {
        // A code stays with its character.
        new[code] = event.old.map_or(Value::Null, |old| old[code].clone());
        return Ok(());
    }
    let given = new[code].as_str().map(str::to_string);
    if let Some(given) = given.as_deref().filter(|given| !codes::is_code(given)) {
        let shown: String = given.chars().take(60).collect();
        let message = format!(
            "characters.canonical_code: {shown:?} is no code; CHAR_A to CHAR_Z, CHAR_AA and so on are, of {} characters at \
             most, and without one the server gives the next",
            codes::CHARS_MAX
        );
        return Err(StoreError::raised("PT400", message));
    }
    let used = used(transaction, &new[project], &new[table.at("id")])?;
    match given {
        Some(given) if used.contains(&given) => {
            // One that moves takes a code of the project that it comes to.
            match same(code) {
                true => new[code] = next(&used)?,
                false => {
                    let message = format!("characters.canonical_code: {given} is taken in the project");
                    return Err(StoreError::raised("PT409", message));
                }
            }
        }
        Some(_) => {}
        None => new[code] = next(&used)?,
    }
    Ok(())
}

fn next(used: &[String]) -> Result<Value, StoreError> {
    let next = codes::next(used).map(Value::Text);
    next.ok_or_else(|| StoreError::raised("PT409", "the project has no code left for a character"))
}

/// The codes of a project's other characters.
fn used(transaction: &Transaction, project: &Value, but: &Value) -> Result<Vec<String>, StoreError> {
    let table = schema().known("characters");
    let all = transaction.reads().referring(table, table.at("project_id"), project)?;
    let others = all.iter().filter(|row| row[table.at("id")] != *but);
    Ok(others.filter_map(|row| row[table.at("canonical_code")].as_str().map(str::to_string)).collect())
}
