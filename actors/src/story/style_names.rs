//! Styles by name or id, as scenes, stories and episodes name them.

use models::{Command, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, StoreError, Transaction};

/// The style that is always there.
const DEFAULT: &str = "default";

/// Refuses the name of a style of pictures that is neither the server's nor the project's.
pub(crate) fn check(
    transaction: &Transaction,
    field: &str,
    project: &Value,
    style: &Value,
) -> Result<(), StoreError> {
    let Some(style) = style.as_str().filter(|style| *style != DEFAULT) else { return Ok(()) };
    let table = schema().known("style_presets");
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    let mut is_known = false;
    let images = Query::all(table.id).equal("style_type", Value::text("image"));
    let reader = Reader::new(transaction.reads(), &caller, Limits::default());
    reader.each_stored(&images, Command::Select, &mut |row| {
        let is_here =
            row[table.at("is_system")].as_bool() == Some(true) || row[table.at("project_id")] == *project;
        let id = row[table.at("id")].as_uuid().map(|id| id.to_string());
        let is_named = row[table.at("name")].as_str() == Some(style) || id.as_deref() == Some(style);
        is_known = is_here && is_named;
        Ok(!is_known)
    })?;
    match is_known {
        true => Ok(()),
        false => {
            let shown: String = style.chars().take(100).collect();
            Err(StoreError::raised("PT400", format!("{field}: unknown image style {shown:?}")))
        }
    }
}
