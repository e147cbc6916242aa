//! What does the call cost that every screen makes, the newest 20 of one owner, against SQLite with the same rows, the
//! same index and the same JSON?
//!
//! `cargo bench -p store --bench list`

use std::fmt::Write;
use std::time::Instant;

use models::{Claims, ColumnType, Row, Value, convert, schema};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use store::query::{Limits, Query, Reader};
use store::{Caller, OpenOptions, Store, StoreError};
use uuid::Uuid;

const OWNERS: u128 = 50;
const ROWS_EACH: u128 = 200;
const LISTED: u64 = 20;
const CALLS: u128 = 2_000;
const PAIRS: usize = 9;
/// Goals: SQLite's time by ours.
const RATIO_MIN: f64 = 1.5;
const COUNTED_RATIO_MIN: f64 = 1.0;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn character(number: u128) -> Row {
    let table = schema().known("characters");
    let mut row = table.default_row();
    let mut set = |column: &str, value: Value| row[table.at(column)] = value;
    set("id", Value::Uuid(Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))));
    set("user_id", Value::Uuid(Uuid::from_u128(number % OWNERS + 1)));
    set("name", Value::Text(format!("Mira {number}")));
    set("description", Value::text("Keeps the \"light\" of the harbour and counts the ships that pass.\n"));
    set(
        "persona",
        Value::text("Calm, exact, a little tired; speaks of the sea as of an old friend. ".repeat(4)),
    );
    set("backstory", Value::text("Born in the tower, she has never seen the town by day. ".repeat(6)));
    set("appearance_tags", Value::TextArray(["red coat", "grey eyes"].map(|it| Some(it.into())).to_vec()));
    set("appearance", Value::Json(r#"{"hair":"short","coat":{"colour":"red","worn":true}}"#.into()));
    set("is_public", Value::Bool(number % 10 == 0));
    set("created_at", Value::Timestamp(1_700_000_000_000_000 + number as i64 * 1_000_003));
    row
}

fn our_store(folder: &std::path::Path) -> Store {
    let (store, _) = Store::open(folder, schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| {
            let caller = Caller::new(&claims);
            for owner in 1..=OWNERS {
                for name in ["auth.users", "profiles"] {
                    let table = schema().known(name);
                    let mut row = table.default_row();
                    row[table.at("id")] = Value::Uuid(Uuid::from_u128(owner));
                    transaction.insert(&caller, table, row)?;
                }
            }
            for number in 0..OWNERS * ROWS_EACH {
                transaction.insert(&caller, schema().known("characters"), character(number))?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    store
}

/// The same rows in SQLite: identifiers and times as text, as a server in front of it would keep them.
fn sqlite(file: &std::path::Path) -> Connection {
    let table = schema().known("characters");
    let mut connection = Connection::open(file).expect("a database");
    connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    let columns: Vec<&str> = table.table.columns.iter().map(|column| column.name).collect();
    let create = format!("CREATE TABLE characters ({}, PRIMARY KEY (id)) WITHOUT ROWID", columns.join(", "));
    connection.execute(&create, []).expect("a table");
    connection.execute("CREATE INDEX newest ON characters (user_id, created_at DESC)", []).expect("an index");
    let transaction = connection.transaction().expect("a transaction");
    let holders = vec!["?"; columns.len()].join(", ");
    for number in 0..OWNERS * ROWS_EACH {
        let row = character(number);
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
fn listed_by_sqlite(connection: &Connection, owner: Uuid, counted: bool) -> (String, Option<u64>) {
    let table = schema().known("characters");
    let mut select = connection
        .prepare_cached("SELECT * FROM characters WHERE user_id = ?1 ORDER BY created_at DESC LIMIT ?2")
        .expect("a statement");
    let mut rows = select.query(params![owner.to_string(), LISTED as i64]).expect("rows");
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

fn listed_by_us(store: &Store, owner: Uuid, counted: bool) -> (String, Option<u64>) {
    let claims = Claims::user(owner);
    let caller = Caller::new(&claims);
    let reader = Reader::new(store.reads(), &caller, Limits::default());
    let query = Query::all(schema().known("characters").id)
        .equal("user_id", Value::Uuid(owner))
        .order("created_at", true)
        .limit(LISTED);
    let rows = reader.select_json(&query, counted).expect("rows").expect("text");
    (rows.pieces.concat(), rows.total)
}

/// Microseconds of a call.
fn measure(list: impl Fn(Uuid) -> (String, Option<u64>)) -> f64 {
    let started = Instant::now();
    for call in 0..CALLS {
        std::hint::black_box(list(Uuid::from_u128(call % OWNERS + 1)));
    }
    started.elapsed().as_secs_f64() * 1e6 / CALLS as f64
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = our_store(&folder.path().join("data"));
    let connection = sqlite(&folder.path().join("rows.db"));
    let owner = Uuid::from_u128(7);
    let (ours, theirs) = (listed_by_us(&store, owner, true), listed_by_sqlite(&connection, owner, true));
    assert_eq!(ours, theirs, "the same rows and the same JSON");
    println!("{} bytes of JSON", ours.0.len());
    for (name, counted, goal) in
        [("list of 20", false, RATIO_MIN), ("list of 20, counted", true, COUNTED_RATIO_MIN)]
    {
        let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            of_ours.push(measure(|owner| listed_by_us(&store, owner, counted)));
            of_theirs.push(measure(|owner| listed_by_sqlite(&connection, owner, counted)));
        }
        let ratios = of_ours.iter().zip(&of_theirs).map(|(ours, theirs)| theirs / ours).collect();
        println!(
            "{name}: {:.0} µs, SQLite {:.0} µs, ratio {:.2} (goal: at least {goal})",
            median(of_ours),
            median(of_theirs),
            median(ratios)
        );
    }
}
