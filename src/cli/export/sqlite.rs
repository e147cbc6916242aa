//! One SQLite file with every table. Numbers, truth and texts are SQLite's own; times, arrays and JSON are texts as
//! PostgreSQL writes them, and numerics keep their digits as texts.

use std::path::Path;

use models::convert::to_text;
use models::table::{IndexKind, OnDelete};
use models::{ColumnType, Row, TableInfo, Value, schema};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Map, Value as Json};
use store::Store;

use super::rows;

/// Writes a new file, whole or not at all.
pub(super) fn write(store: &Store, path: &Path) -> Result<Json, String> {
    let failed = |error: rusqlite::Error| format!("{}: {error}", path.display());
    let mut file = Connection::open(path).map_err(failed)?;
    // Tables refer to tables that come later.
    file.pragma_update(None, "foreign_keys", false).map_err(failed)?;
    let transaction = file.transaction().map_err(failed)?;
    let mut counts = Map::new();
    for table in &schema().tables {
        transaction.execute_batch(&definition(table)).map_err(failed)?;
        let places = vec!["?"; table.table.columns.len()].join(", ");
        let insert = format!("INSERT INTO {} VALUES ({places})", name(table));
        let mut insert = transaction.prepare(&insert).map_err(failed)?;
        let count = rows::each(store, table, &mut |row| {
            insert.execute(rusqlite::params_from_iter(cells(row))).map(|_| ()).map_err(failed)
        })?;
        counts.insert(table.name(), count.into());
    }
    for table in &schema().tables {
        transaction.execute_batch(&indexes(table)).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    Ok(Json::Object(counts))
}

fn name(table: &TableInfo) -> String {
    quoted(&table.name())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn definition(table: &TableInfo) -> String {
    let mut parts: Vec<String> = table
        .table
        .columns
        .iter()
        .map(|column| {
            let null = if column.is_nullable { "" } else { " NOT NULL" };
            format!("{} {}{null}", quoted(column.name), kind(column.kind))
        })
        .collect();
    let columns = |list: &[&str]| list.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    parts.push(format!("PRIMARY KEY ({})", columns(table.table.primary_key)));
    for key in table.table.unique.iter().filter(|key| key.iter().all(|part| !part.contains('('))) {
        parts.push(format!("UNIQUE ({})", columns(key)));
    }
    for key in table.table.foreign_keys {
        let rule = match key.on_delete {
            OnDelete::NoAction => "",
            OnDelete::Cascade => " ON DELETE CASCADE",
            OnDelete::SetNull => " ON DELETE SET NULL",
        };
        let (column, target) = (quoted(key.column), quoted(key.target));
        parts.push(format!("FOREIGN KEY ({column}) REFERENCES {} ({target}){rule}", quoted(key.table)));
    }
    format!("CREATE TABLE {} (\n  {}\n);", name(table), parts.join(",\n  "))
}

fn kind(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int4 | ColumnType::Int8 | ColumnType::Bool => "INTEGER",
        ColumnType::Float8 => "REAL",
        _ => "TEXT",
    }
}

/// Ordinary indexes; those over the members of arrays and documents have no counterpart.
fn indexes(table: &TableInfo) -> String {
    let mut script = String::new();
    for index in table.table.indexes.iter().chain(table.table.own_indexes) {
        if index.kind == IndexKind::Gin || index.columns.iter().any(|part| part.contains('(')) {
            continue;
        }
        let columns: Vec<String> = index
            .columns
            .iter()
            .map(|part| match part.strip_suffix(" desc") {
                Some(column) => format!("{} DESC", quoted(column)),
                None => quoted(part),
            })
            .collect();
        let unique = if index.is_unique { "UNIQUE " } else { "" };
        let filter = index.filter.map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let (own, columns) = (quoted(index.name), columns.join(", "));
        script.push_str(&format!("CREATE {unique}INDEX {own} ON {} ({columns}){filter};\n", name(table)));
    }
    script
}

fn cells(row: &Row) -> Vec<Cell> {
    row.iter()
        .map(|value| match value {
            Value::Null => Cell::Null,
            Value::Bool(truth) => Cell::Integer(i64::from(*truth)),
            Value::Int(number) => Cell::Integer(*number),
            Value::Float(number) => Cell::Real(*number),
            other => to_text(other).map_or(Cell::Null, Cell::Text),
        })
        .collect()
}
