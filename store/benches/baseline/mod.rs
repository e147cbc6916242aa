//! The same characters in our store and in SQLite, and the newest of one owner as JSON from there: what a small server in
//! front of an embedded database does.

// Each bench uses a part of it.
#![allow(dead_code)]

use std::fmt::Write;

use models::{ColumnType, Row, Value, convert, schema};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use uuid::Uuid;

pub const OWNERS: u128 = 50;
pub const ROWS_EACH: u128 = 200;
pub const LISTED: u64 = 20;

/// The owner of a row, by its number.
pub fn owner(number: u128) -> Uuid {
    Uuid::from_u128(number % OWNERS + 1)
}

/// A row with 62 columns of which a third has a value.
pub fn character(number: u128, owner: Uuid) -> Row {
    let table = schema().known("characters");
    let mut row = table.default_row();
    let mut set = |column: &str, value: Value| row[table.at(column)] = value;
    set("id", Value::Uuid(Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))));
    set("user_id", Value::Uuid(owner));
    set("name", Value::Text(format!("Mira {number}")));
    set("description", Value::text("Keeps the \"light\" of the harbour and counts the ships that pass.\n"));
    set(
        "persona",
        Value::text("Calm, exact, a little tired; speaks of the sea as of an old friend. ".repeat(4)),
    );
    set("backstory", Value::text("Born in the tower, she has never seen the town by day. ".repeat(6)));
    set("appearance_tags", Value::TextArray(["red coat", "grey eyes"].map(|it| Some(it.into())).to_vec()));
    set("appearance", Value::Json(r#"{"hair":"short","coat":{"colour":"red","worn":true}}"#.into()));
    set("is_public", Value::Bool(number.is_multiple_of(10)));
    for time in ["created_at", "updated_at"] {
        set(time, Value::Timestamp(1_700_000_000_000_000 + number as i64 * 1_000_003));
    }
    row
}

/// A connection whose cache holds all rows, as ours does.
pub fn connect(file: &std::path::Path) -> Connection {
    let connection = Connection::open(file).expect("a database");
    connection.pragma_update(None, "cache_size", -65_536).expect("a cache");
    // Else a statement is prepared anew whenever another owner is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).expect("stable plans");
    connection
}

/// The same rows in SQLite: identifiers and times as text, as a server in front of it would keep them. A table with row
/// numbers, for without them rows of this size lie in pages that SQLite reads from the file each time.
pub fn sqlite(file: &std::path::Path, rows: impl Iterator<Item = Row>) -> Connection {
    let table = schema().known("characters");
    let mut connection = connect(file);
    connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    let columns: Vec<&str> = table.table.columns.iter().map(|column| column.name).collect();
    let create = format!("CREATE TABLE characters ({}, PRIMARY KEY (id))", columns.join(", "));
    connection.execute(&create, []).expect("a table");
    connection.execute("CREATE INDEX newest ON characters (user_id, created_at DESC)", []).expect("an index");
    let transaction = connection.transaction().expect("a transaction");
    let holders = vec!["?"; columns.len()].join(", ");
    for row in rows {
        let values = row.iter().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Bool(truth) => rusqlite::types::Value::Integer(i64::from(*truth)),
            Value::Int(number) => rusqlite::types::Value::Integer(*number),
            Value::Text(text) | Value::Json(text) => rusqlite::types::Value::Text(text.clone()),
            other => {
                let mut text = String::new();
                convert::write_json(other, &mut text);
                rusqlite::types::Value::Text(text.trim_matches('"').to_string())
            }
        });
        let mut insert = transaction
            .prepare_cached(&format!("INSERT INTO characters VALUES ({holders})"))
            .expect("a statement");
        insert.execute(rusqlite::params_from_iter(values)).expect("a row");
    }
    transaction.commit().expect("committed");
    connection
}

/// The list as JSON, and how many there are.
pub fn listed(connection: &Connection, owner: Uuid, counted: bool) -> (String, Option<u64>) {
    let table = schema().known("characters");
    let mut select = connection
        .prepare_cached("SELECT * FROM characters WHERE user_id = ?1 ORDER BY created_at DESC LIMIT 20")
        .expect("a statement");
    let mut rows = select.query([owner.to_string()]).expect("rows");
    let mut text = String::from("[");
    while let Some(row) = rows.next().expect("a row") {
        text.push(if text.len() == 1 { '{' } else { ',' });
        if text.ends_with(',') {
            text.push('{');
        }
        for (position, column) in table.table.columns.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            convert::write_json_string(column.name, &mut text);
            text.push(':');
            match (row.get_ref(position).expect("a value"), column.kind) {
                (ValueRef::Null, _) => text.push_str("null"),
                (ValueRef::Integer(number), ColumnType::Bool) => {
                    text.push_str(if number != 0 { "true" } else { "false" })
                }
                (ValueRef::Integer(number), _) => write!(text, "{number}").expect("text"),
                (ValueRef::Text(bytes), ColumnType::Jsonb | ColumnType::TextArray) => {
                    text.push_str(std::str::from_utf8(bytes).expect("text"))
                }
                (ValueRef::Text(bytes), _) => {
                    convert::write_json_string(std::str::from_utf8(bytes).expect("text"), &mut text)
                }
                _ => panic!("no such value was written"),
            }
        }
        text.push('}');
    }
    text.push(']');
    let total = counted.then(|| {
        let mut count = connection
            .prepare_cached("SELECT count(*) FROM characters WHERE user_id = ?1")
            .expect("a statement");
        let count: i64 = count.query_row([owner.to_string()], |row| row.get(0)).expect("a number");
        count as u64
    });
    (text, total)
}
