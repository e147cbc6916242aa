//! What does a durable write cost, a new row and a changed field, by 64 clients at one time: against axum over SQLite,
//! which syncs each commit (`synchronous=FULL`) and lets the writes that wait share one?
//!
//! The server over SQLite checks no token, no policy and no reference, and keeps no audit trail.
//!
//! `cargo bench --bench writes`

#[path = "../store/benches/baseline/mod.rs"]
mod baseline;
#[path = "../tests/common/mod.rs"]
mod common;
mod load;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{patch, post};
use baseline::character;
use common::Server;
use load::{cpu_s, median, requests_each, start_self};
use models::{convert, schema};
use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, Value as Sql};
use serde_json::{Map, Value as Json, json};
use tokio::sync::oneshot;
use uuid::Uuid;

const CLIENTS: usize = 64;
const CALLS: usize = 6_400;
const PAIRS: usize = 5;
/// Rows of others that are there before.
const ROWS: u128 = 2_000;
/// Makes this program the server over the SQLite file that the variable names.
const SQLITE: &str = "PLAYHOUSE_BENCH_SQLITE";
/// Goals: of calls for each second, and for each second of the server's processor time.
const CREATE_RATIOS_MIN: (f64, f64) = (1.0, 0.6);
const UPDATE_RATIOS_MIN: (f64, f64) = (0.8, 0.5);

/// A write that waits for its commit.
struct Write {
    statement: String,
    values: Vec<Sql>,
    done: oneshot::Sender<usize>,
}

/// Takes what waits into one transaction, and answers once that is on the disk.
fn write_groups(connection: &mut Connection, writes: &mpsc::Receiver<Write>) {
    while let Ok(first) = writes.recv() {
        let group: Vec<Write> = std::iter::once(first).chain(writes.try_iter()).collect();
        let transaction = connection.transaction().expect("a transaction");
        let mut answers = Vec::with_capacity(group.len());
        for Write { statement, values, done } in group {
            let mut statement = transaction.prepare_cached(&statement).expect("a statement");
            let changed = statement.execute(rusqlite::params_from_iter(values)).expect("a write");
            answers.push((done, changed));
        }
        transaction.commit().expect("committed");
        for (done, changed) in answers {
            let _ = done.send(changed);
        }
    }
}

fn sql(value: &Json) -> Sql {
    match value {
        Json::Null => Sql::Null,
        Json::Bool(truth) => Sql::Integer(i64::from(*truth)),
        Json::Number(number) => number.as_i64().map_or(Sql::Null, Sql::Integer),
        Json::String(text) => Sql::Text(text.clone()),
        other => Sql::Text(other.to_string()),
    }
}

fn now() -> Sql {
    let mut text = String::new();
    convert::write_json(&models::Value::now(), &mut text);
    Sql::Text(text.trim_matches('"').to_string())
}

#[derive(serde::Deserialize)]
struct ListQuery {
    id: Uuid,
}

type Writes = mpsc::Sender<Write>;

async fn write(writes: Writes, statement: String, values: Vec<Sql>, done_as: StatusCode) -> StatusCode {
    let (done, answer) = oneshot::channel();
    writes.send(Write { statement, values, done }).expect("the writer runs");
    match answer.await {
        Ok(1) => done_as,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Adds a row with the columns of the body, and those that the database fills in.
async fn create(State(writes): State<Writes>, body: axum::Json<Map<String, Json>>) -> StatusCode {
    let table = schema().known("characters");
    let (mut names, mut values) = (vec!["id", "created_at", "updated_at"], Vec::new());
    values.extend([Sql::Text(Uuid::new_v4().to_string()), now(), now()]);
    for (name, value) in body.iter() {
        let Some(column) = table.column(name) else { return StatusCode::BAD_REQUEST };
        names.push(table.table.columns[column].name);
        values.push(sql(value));
    }
    let holders = vec!["?"; names.len()].join(",");
    let statement = format!("INSERT INTO characters ({}) VALUES ({holders})", names.join(","));
    write(writes, statement, values, StatusCode::CREATED).await
}

/// Sets the columns of the body in one row.
async fn change(
    State(writes): State<Writes>,
    Query(asked): Query<ListQuery>,
    body: axum::Json<Map<String, Json>>,
) -> StatusCode {
    let table = schema().known("characters");
    let (mut set, mut values) = (String::from("updated_at = ?"), vec![now()]);
    for (name, value) in body.iter() {
        let Some(column) = table.column(name) else { return StatusCode::BAD_REQUEST };
        set.push_str(", ");
        set.push_str(table.table.columns[column].name);
        set.push_str(" = ?");
        values.push(sql(value));
    }
    values.push(Sql::Text(asked.id.to_string()));
    write(writes, format!("UPDATE characters SET {set} WHERE id = ?"), values, StatusCode::NO_CONTENT).await
}

fn over_sqlite(file: &Path) {
    let mut connection = baseline::connect(file);
    connection.pragma_update(None, "synchronous", "FULL").expect("syncs");
    let (writes, waiting) = mpsc::channel();
    std::thread::spawn(move || write_groups(&mut connection, &waiting));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let router =
            axum::Router::new().route("/", post(create)).route("/", patch(change)).with_state(writes);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        axum::serve(listener, router).await.expect("it serves");
    });
}

/// Calls for each second, and for each second of the server's processor time.
fn rates(pid: u32, run: impl Fn() -> f64) -> (f64, f64) {
    let before = cpu_s(pid);
    let calls = run();
    (calls, CALLS as f64 / (cpu_s(pid) - before).max(0.01))
}

fn report(name: &str, goals: (f64, f64), ours: impl Fn() -> (f64, f64), theirs: impl Fn() -> (f64, f64)) {
    ours();
    theirs();
    let pairs: Vec<_> = (0..PAIRS).map(|_| (ours(), theirs())).collect();
    for (what, goal, of) in [
        ("s", goals.0, (|rates: (f64, f64)| rates.0) as fn((f64, f64)) -> f64),
        ("CPU s", goals.1, |rates: (f64, f64)| rates.1),
    ] {
        println!(
            "{name}/{what}: {:.0}, axum + SQLite/{what}: {:.0}, ratio {:.2} (goal: at least {goal})",
            median(pairs.iter().map(|pair| of(pair.0)).collect()),
            median(pairs.iter().map(|pair| of(pair.1)).collect()),
            median(pairs.iter().map(|pair| of(pair.0) / of(pair.1)).collect()),
        );
    }
}

fn request(method: &str, target: &str, head: &str, body: &Json) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "{method} {target} HTTP/1.1\r\n{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn main() {
    if let Some(file) = std::env::var_os(SQLITE) {
        return over_sqlite(Path::new(&file));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[("PLAYHOUSE_LOG", "error")]);
    let (user, token) = server.sign_up("bench@example.com");
    let file = folder.path().join("rows.db");
    drop(baseline::sqlite(&file, (0..ROWS).map(|number| character(number, baseline::owner(number)))));
    let (mut sqlite, sqlite_address) = start_self(SQLITE, &file.display().to_string());
    let address: SocketAddr = server.url.trim_start_matches("http://").parse().expect("an address");

    let id = |number: usize| Uuid::from_u128(0x5eed << 64 | number as u128);
    let new = |id: Option<Uuid>| {
        let mut row = json!({
            "user_id": user,
            "name": "Mira of the harbour",
            "description": "Keeps the \"light\" of the harbour and counts the ships that pass.\n",
            "persona": "Calm, exact, a little tired; speaks of the sea as of an old friend. ".repeat(4),
            "backstory": "Born in the tower, she has never seen the town by day. ".repeat(6),
        });
        if let Some(id) = id {
            row["id"] = json!(id);
        }
        row
    };
    for number in 0..CLIENTS {
        let row = new(Some(id(number)));
        let (status, answer) = server.call("POST", "/rest/v1/characters", &token, Some(&row));
        assert_eq!(status, 201, "{answer}");
        let mut row = row.as_object().expect("an object").clone();
        row.retain(|name, _| name != "id");
        let connection = baseline::connect(&file);
        connection.busy_timeout(std::time::Duration::from_secs(5)).expect("patience");
        let names: Vec<&str> = row.keys().map(String::as_str).collect();
        let holders = vec!["?"; names.len() + 1].join(",");
        let statement = format!("INSERT INTO characters (id,{}) VALUES ({holders})", names.join(","));
        let values = std::iter::once(Sql::Text(id(number).to_string())).chain(row.values().map(sql));
        let values = values.map(ToSqlOutput::Owned);
        connection.execute(&statement, rusqlite::params_from_iter(values)).expect("a row");
    }

    let head = format!(
        "host: x\r\nauthorization: Bearer {token}\r\napikey: {}\r\nprefer: return=minimal\r\n",
        server.anon
    );
    let row = new(None);
    let ours = request("POST", "/rest/v1/characters", &head, &row);
    let theirs = request("POST", "/", "host: x\r\n", &row);
    let create = |address, status: &'static [u8], request: &[u8]| {
        let request = request.to_vec();
        requests_each(address, CLIENTS, CALLS, status, move |_, _| request.clone())
    };
    report(
        "durable create",
        CREATE_RATIOS_MIN,
        || rates(server.pid(), || create(address, b"201", &ours)),
        || rates(sqlite.id(), || create(sqlite_address, b"201", &theirs)),
    );

    let changes = std::cell::Cell::new(0);
    let update = |address, target: &'static str, head: &str| {
        let head = head.to_string();
        changes.set(changes.get() + 1);
        let turn = changes.get();
        requests_each(address, CLIENTS, CALLS, b"204", move |client, call| {
            let target = format!("{target}{}", id(client));
            let body = json!({"description": format!("Counts the ships: {turn} times {call} until now.")});
            request("PATCH", &target, &head, &body)
        })
    };
    report(
        "durable update",
        UPDATE_RATIOS_MIN,
        || rates(server.pid(), || update(address, "/rest/v1/characters?id=eq.", &head)),
        || rates(sqlite.id(), || update(sqlite_address, "/?id=", "host: x\r\n")),
    );
    let _ = sqlite.kill();
    let _ = sqlite.wait();
}
