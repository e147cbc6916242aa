//! A changed row in the dialect's words.

use actors::events::row_change::{Columns, RowChange};
use models::{Command, Row, TableInfo, Value, convert};
use store::query::{self, Name, Rows};

use super::limits::{RECORD_BYTES_MAX, SMALL_VALUE_BYTES};

/// The `data` of `postgres_changes`: `{schema, table, commit_timestamp, commit, type, columns, record, old_record, errors}`.
pub(super) fn data(change: &RowChange, columns: &Columns) -> String {
    let table = change.table();
    let kind = match change.command() {
        Command::Insert => "INSERT",
        Command::Update => "UPDATE",
        Command::Delete => "DELETE",
        Command::Select => "",
    };
    let all: Vec<usize> = (0..table.table.columns.len()).collect();
    let chosen: &[usize] = columns.as_deref().unwrap_or(&all);
    let described: Vec<String> = chosen
        .iter()
        .map(|position| {
            let (name, kind) = (table.table.columns[*position].name, table.kind(*position).wire_name());
            format!(r#"{{"name":"{name}","type":"{kind}"}}"#)
        })
        .collect();
    let mut text = format!(
        r#"{{"schema":"{}","table":"{}","commit_timestamp":"{}","commit":{},"type":"{kind}","columns":[{}]"#,
        table.table.schema,
        table.table.name,
        convert::format_timestamp(change.commit().at_micros),
        change.commit().number,
        described.join(","),
    );
    let mut errors = "null";
    if let Some(row) = change.new_row() {
        text.push_str(",\"record\":");
        let is_large = query::size(row) > RECORD_BYTES_MAX;
        let sent = |position: &usize| !is_large || query::size(&row[*position..=*position]) <= SMALL_BYTES;
        let sent: Vec<usize> = chosen.iter().copied().filter(sent).collect();
        if sent.len() < chosen.len() {
            errors = r#"["Error 413: Payload Too Large"]"#;
        }
        write(table, row, &sent, &mut text);
    }
    if let Some(row) = change.old() {
        text.push_str(",\"old_record\":");
        write(table, row, &table.primary_key, &mut text);
    }
    text.push_str(",\"errors\":");
    text.push_str(errors);
    text.push('}');
    text
}

/// A small value with what it takes to hold it.
const SMALL_BYTES: usize = SMALL_VALUE_BYTES + size_of::<Value>();

fn write(table: &TableInfo, row: &Row, positions: &[usize], text: &mut String) {
    let columns = positions.iter().map(|position| Name::from(table.table.columns[*position].name)).collect();
    let values: Vec<Value> = positions.iter().map(|position| row[*position].clone()).collect();
    Rows { columns, ..Rows::default() }.write_row(&values, text);
}
