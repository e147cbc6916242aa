//! Every change of a model or a provider is kept, as it was and as it is, in `model_config_history`.

use models::{Command, Row, Value, schema};
use serde_json::json;
use store::{Caller, Event, StoreError, Transaction};

use crate::rows;

/// Keeps a change of `api_models` or `api_providers`.
pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (table, history) = (event.table, schema().known("model_config_history"));
    let Some(row) = new.or(event.old) else { return Ok(()) };
    let changes = |old: &Row, new: &Row| {
        (0..old.len()).any(|column| Some(column) != table.updated_at && old[column] != new[column])
    };
    if let (Some(old), Some(new)) = (event.old, new)
        && !changes(old, new)
    {
        return Ok(());
    }
    let is_model = table.table.name == "api_models";
    // The document knows two kinds; whatever else is shown by its own.
    let kind = match is_model.then(|| row[table.at("modality")].as_str()).flatten() {
        Some("image") => "SDXL",
        Some("video") => "WAN",
        Some(other) => other,
        None => "provider",
    };
    let name = row[table.at(if is_model { "model_key" } else { "name" })].as_str().unwrap_or_default();
    let object = |row: Option<&Row>| row.map(|row| rows::object(table, row));
    let what = match event.command {
        Command::Insert => "added",
        Command::Delete => "removed",
        Command::Update | Command::Select => "changed",
    };
    let is_active = new.is_some_and(|new| new[table.at("is_active")] == Value::Bool(true));
    let mut entry = history.default_row();
    let mut set = |column: &str, value: Value| entry[history.at(column)] = value;
    set("model_type", Value::text(kind));
    set("config_name", Value::text(name));
    set(
        "config_data",
        Value::json(&json!({"table": table.table.name, "old": object(event.old), "new": object(new)})),
    );
    set("is_active", Value::Bool(is_active));
    set("created_by", author(transaction, event)?);
    set("notes", Value::text(format!("{} {what}", if is_model { "model" } else { "provider" })));
    let service = event.claims.elevated();
    transaction.insert(&Caller::new(&service), history, entry).map(|_| ())
}

/// The account that made the change, if it still is one.
fn author(transaction: &Transaction, event: &Event) -> Result<Value, StoreError> {
    let Some(user) = event.claims.user_id.map(Value::Uuid) else { return Ok(Value::Null) };
    let profiles = schema().known("profiles");
    let is_there = transaction.reads().get(profiles, std::slice::from_ref(&user))?.is_some();
    Ok(if is_there { user } else { Value::Null })
}
