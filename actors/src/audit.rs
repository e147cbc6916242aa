//! The audit trail: old and new value, actor and request of every change, in the change's own commit.

use models::{Command, Row, TableInfo, Value, convert, schema};
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

/// Longest JSON of a row kept in the trail; a longer one is replaced by a note of its size.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Writes the audit row of a change.
pub(crate) fn record(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let table = event.table;
    if !table.table.audited || table.table.schema != "public" {
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
    set("old_value", event.old.map_or(Value::Null, |row| document(table, row)));
    set("new_value", new.map_or(Value::Null, |row| document(table, row)));
    set("user_id", known_user(transaction, event)?);
    let service = event.claims.elevated();
    transaction.insert(&Caller::new(&service), audit, row).map(|_| ())
}

/// The acting account, unless this very change removes it.
fn known_user(transaction: &Transaction, event: &Event) -> Result<Value, StoreError> {
    let Some(user) = event.claims.user_id else { return Ok(Value::Null) };
    let profiles = schema().known("profiles");
    let exists = transaction.reads().get(profiles, &[Value::Uuid(user)])?.is_some();
    Ok(if exists { Value::Uuid(user) } else { Value::Null })
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

fn document(table: &TableInfo, row: &Row) -> Value {
    let mut text = String::from("{");
    for (column, value) in table.table.columns.iter().zip(row).filter(|(_, value)| !value.is_null()) {
        if text.len() > 1 {
            text.push(',');
        }
        convert::write_json_string(column.name, &mut text);
        text.push(':');
        convert::write_json(value, &mut text);
    }
    text.push('}');
    if text.len() > VALUE_BYTES_MAX {
        text = format!("{{\"omitted_bytes\":{}}}", text.len());
    }
    Value::Json(text)
}
