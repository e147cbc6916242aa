//! Stories: how far the making of one has come is for the server to say.

use models::Row;
use store::{Event, StoreError, Transaction};

use super::style_names;

/// Columns that only the server writes.
const SERVERS_OWN: [&str; 4] = ["generation_status", "generation_error", "progress", "progress_updated_at"];
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 255;

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let table = event.table;
    if new[table.at("title")].as_str().is_some_and(|title| title.chars().count() > TITLE_CHARS_MAX) {
        let message = format!("value too long for type character varying({TITLE_CHARS_MAX})");
        return Err(StoreError::raised("22001", message));
    }
    if !event.claims.is_service() {
        let defaults = table.default_row();
        for name in SERVERS_OWN {
            let column = table.at(name);
            match event.old {
                None => new[column] = defaults[column].clone(),
                Some(old) if old[column] != new[column] => {
                    let table = table.table.name.to_string();
                    return Err(StoreError::GuardedColumn { table, column: name.into() });
                }
                Some(_) => {}
            }
        }
    }
    let style = table.at("default_image_style");
    if event.old.is_none_or(|old| old[style] != new[style]) {
        let project = &new[table.at("project_id")];
        style_names::check(transaction, "stories.default_image_style", project, &new[style])?;
    }
    Ok(())
}
