//! The audit trail: old and new value, actor and request of every change, in the change's own commit.
//!
//! A row that comes or goes is kept whole; of one that changes the columns that differ, an empty one as `null`. What the
//! others were stands in the entries before.

use models::table::Column;
use models::{Command, Row, TableInfo, Value, convert, schema};
use serde_json::Value as Json;
use store::{Caller, Event, StoreError, Transaction, guard};
use uuid::Uuid;

use crate::adjust::author;

/// Longest JSON of a row kept in the trail; a longer one is replaced by a note of its size.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Writes the audit row of a change.
pub(crate) fn record(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let table = event.table;
    if !table.table.audited || table.table.schema != "public" {
        return Ok(());
    }
    if event.claims.is_service()
        && let (Some(old), Some(new)) = (event.old, new)
        && only_touched(table, old, new)
    {
        return Ok(());
    }
    let audit = schema().known("audit_logs");
    let mut row = audit.default_row();
    let mut set = |column: &str, value: Value| row[audit.at(column)] = value;
    set("entity_type", Value::text(table.table.name));
    set("entity_id", Value::Uuid(entity_id(table, event.old.or(new))));
    let action = match event.command {
        Command::Insert => "create",
        Command::Delete => "delete",
        Command::Update | Command::Select => "update",
    };
    set("action", Value::text(action));
    set("request_id", event.claims.request_id.clone().map_or(Value::Null, Value::Text));
    let (old_value, new_value) = match (event.old, new) {
        (Some(old), Some(new)) => differences(table, old, new),
        (old, new) => (whole(table, old), whole(table, new)),
    };
    set("old_value", old_value);
    set("new_value", new_value);
    // In the order of their keys entries are in the order of their time: the engine appends them to one page, and the
    // oldest are the first (`telemetry/prune_audit.rs`).
    set("id", Value::Uuid(Uuid::now_v7()));
    set("user_id", named_user(transaction, event, event.old.or(new))?);
    let service = event.claims.elevated();
    transaction.insert(&Caller::new(&service), audit, row).map(|_| ())
}

/// Whether only the time of the last change moved, as a conversation's does with each message, or a count that the server
/// keeps: what is counted says more.
fn only_touched(table: &TableInfo, old: &Row, new: &Row) -> bool {
    let differ = |column: &usize| old[*column] != new[*column];
    let counts = ["interaction_count", "likes_count", "usage_count"];
    let is_count = |column: usize| counts.contains(&table.table.columns[column].name);
    (0..old.len()).filter(differ).all(|column| Some(column) == table.updated_at || is_count(column))
}

/// The acting account, unless this very change removes it. It reads its own trail: what a cascade or the server did on
/// its behalf to rows that it may not see is shown to admins alone, under the same request.
fn named_user(transaction: &Transaction, event: &Event, row: Option<&Row>) -> Result<Value, StoreError> {
    let (Some(user), Some(row)) = (event.claims.user_id, row) else { return Ok(Value::Null) };
    let reads = transaction.reads();
    if !reads.has(schema().known("profiles"), &[Value::Uuid(user)])? {
        return Ok(Value::Null);
    }
    let claims = author(event);
    let seen = !event.claims.is_service()
        || guard::allows(&reads, &Caller::new(&claims), event.table, Command::Select, row)?;
    Ok(if seen { Value::Uuid(user) } else { Value::Null })
}

fn entity_id(table: &TableInfo, row: Option<&Row>) -> Uuid {
    let Some(row) = row else { return Uuid::nil() };
    match table.primary_key.as_slice() {
        [only] if row[*only].as_uuid().is_some() => row[*only].as_uuid().unwrap_or_default(),
        // Other keys get a stable name-based id, so that their history can be found too.
        columns => {
            let key: Vec<String> =
                columns.iter().filter_map(|column| convert::to_text(&row[*column])).collect();
            Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}:{}", table.table.name, key.join(":")).as_bytes())
        }
    }
}

/// All that a row has.
fn whole(table: &TableInfo, row: Option<&Row>) -> Value {
    let Some(row) = row else { return Value::Null };
    bounded(document(table.table.columns.iter().zip(row).filter(|(_, value)| !value.is_null())))
}

/// What a row had and has in the columns that changed; where that is too long, of JSON objects the members that changed.
fn differences(table: &TableInfo, old: &Row, new: &Row) -> (Value, Value) {
    let changed: Vec<usize> = (0..old.len()).filter(|at| old[*at] != new[*at]).collect();
    let of = |row: &Row| document(changed.iter().map(|at| (&table.table.columns[*at], &row[*at])));
    let (before, after) = (of(old), of(new));
    if before.len().max(after.len()) <= VALUE_BYTES_MAX {
        return (Value::Json(before), Value::Json(after));
    }
    let (mut old, mut new) = (old.clone(), new.clone());
    for at in &changed {
        if let (Some(Json::Object(mut was)), Some(Json::Object(mut is))) =
            (old[*at].as_json(), new[*at].as_json())
        {
            let common = was.clone();
            was.retain(|name, value| is.get(name) != Some(value));
            is.retain(|name, value| common.get(name) != Some(value));
            (old[*at], new[*at]) = (Value::json(&Json::Object(was)), Value::json(&Json::Object(is)));
        }
    }
    (bounded(of(&old)), bounded(of(&new)))
}

fn bounded(text: String) -> Value {
    match text.len() > VALUE_BYTES_MAX {
        true => Value::Json(format!("{{\"omitted_bytes\":{}}}", text.len())),
        false => Value::Json(text),
    }
}

fn document<'r>(columns: impl Iterator<Item = (&'r Column, &'r Value)>) -> String {
    let mut text = String::from("{");
    for (column, value) in columns {
        if text.len() > 1 {
            text.push(',');
        }
        convert::write_json_string(column.name, &mut text);
        text.push(':');
        convert::write_json(value, &mut text);
    }
    text.push('}');
    text
}
