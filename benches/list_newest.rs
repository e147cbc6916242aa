//! What does the call cost that every screen makes, the newest 20 of one owner with 200 rows among 10,000, against axum
//! over SQLite with the same rows, index and JSON, and against a bare handler that has the text?
//!
//! `cargo bench --bench list_newest`

#[path = "../store/benches/baseline/mod.rs"]
mod baseline;
#[path = "../tests/common/mod.rs"]
mod common;
mod load;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;

use axum::extract::Query;
use axum::http::header;
use baseline::{LISTED, OWNERS, ROWS_EACH, character, owner};
use common::Server;
use load::{BARE, cpu_s, report, requests, start_bare, start_self};
use models::{Claims, Row, Value, schema};
use rusqlite::Connection;
use store::{Caller, OpenOptions, Store, StoreError};
use uuid::Uuid;

const CLIENTS: usize = 16;
const CALLS: usize = 4_000;
/// Makes this program the server over the SQLite file that the variable names.
const SQLITE: &str = "PLAYHOUSE_BENCH_SQLITE";
/// Goals.
const RATIO_MIN: f64 = 1.5;
const COUNTED_RATIO_MIN: f64 = 1.0;
const BARE_RATIO_MIN: f64 = 0.35;

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

#[derive(serde::Deserialize)]
struct ListQuery {
    user_id: Uuid,
    counted: bool,
}

/// A small server over SQLite: one connection for each thread that reads.
fn over_sqlite(file: String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let handler = move |Query(asked): Query<ListQuery>| {
            let file = file.clone();
            async move {
                let read = move || {
                    CONNECTION.with_borrow_mut(|connection| {
                        let connection =
                            connection.get_or_insert_with(|| baseline::connect(Path::new(&file)));
                        baseline::listed(connection, asked.user_id, asked.counted)
                    })
                };
                let (text, total) = tokio::task::spawn_blocking(read).await.expect("rows");
                let total = total.map_or("*".to_string(), |total| total.to_string());
                let range = format!("0-{}/{total}", LISTED - 1);
                (
                    [(header::CONTENT_TYPE, "application/json".to_string()), (header::CONTENT_RANGE, range)],
                    text,
                )
            }
        };
        let router = axum::Router::new().route("/", axum::routing::get(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        axum::serve(listener, router).await.expect("it serves");
    });
}

/// Rows of an account that the server made, and of others.
fn fill(folder: &Path, account: Uuid) -> Vec<Row> {
    let (store, _) = Store::open(folder, schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let owner = |number: u128| if number.is_multiple_of(OWNERS) { account } else { owner(number) };
    let (rows, durable) = store
        .transact(&claims, |transaction| {
            let caller = Caller::new(&claims);
            for number in 1..OWNERS {
                for name in ["auth.users", "profiles"] {
                    let table = schema().known(name);
                    let mut row = table.default_row();
                    row[table.at("id")] = Value::Uuid(owner(number));
                    transaction.insert(&caller, table, row)?;
                }
            }
            let rows = (0..OWNERS * ROWS_EACH).map(|number| {
                transaction.insert(&caller, schema().known("characters"), character(number, owner(number)))
            });
            rows.collect::<Result<Vec<Row>, StoreError>>()
        })
        .expect("the rows fit");
    durable.wait_blocking().expect("durable");
    rows
}

/// Calls for each second of a server's processor time.
fn calls_per_cpu_s(pid: u32, run: impl Fn() -> f64) -> f64 {
    let before = cpu_s(pid);
    run();
    CALLS as f64 / (cpu_s(pid) - before).max(0.01)
}

fn main() {
    if let Ok(body) = std::env::var(BARE) {
        return load::bare(body);
    }
    if let Ok(file) = std::env::var(SQLITE) {
        return over_sqlite(file);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let start = || Server::start(&data, &[("PLAYHOUSE_LOG", "error")]);
    let mut server = start();
    let (user, token) = server.sign_up("bench@example.com");
    server.stop();
    let rows = fill(&data, user.parse().expect("an id"));
    let server = start();
    let file = folder.path().join("rows.db");
    drop(baseline::sqlite(&file, rows.into_iter()));
    let (mut sqlite, sqlite_address) = start_self(SQLITE, &file.display().to_string());

    let path = format!("/rest/v1/characters?user_id=eq.{user}&order=created_at.desc&limit={LISTED}");
    let (status, listed) = server.call_with("GET", &path, &token, None, &[]);
    assert_eq!((status, listed.as_array().map(Vec::len)), (200, Some(LISTED as usize)), "{listed}");
    let (mut bare, bare_address) = start_bare(&listed.to_string());

    let address: SocketAddr = server.url.trim_start_matches("http://").parse().expect("an address");
    let head = format!("host: x\r\nauthorization: Bearer {token}\r\napikey: {}\r\n", server.anon);
    for (name, counted, goal) in [("list", false, RATIO_MIN), ("counted list", true, COUNTED_RATIO_MIN)] {
        let prefer = if counted { "prefer: count=exact\r\n" } else { "" };
        let ours = format!("GET {path} HTTP/1.1\r\n{head}{prefer}\r\n").into_bytes();
        let status: &[u8] = if counted { b"206" } else { b"200" };
        let theirs =
            format!("GET /?user_id={user}&counted={counted} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
        let ask_us = || requests(address, CLIENTS, CALLS, status, |_| ours.clone());
        let ask_them = || requests(sqlite_address, CLIENTS, CALLS, b"200", |_| theirs.clone());
        report(
            &format!("{name}/CPU s"),
            "axum + SQLite/CPU s",
            goal,
            || calls_per_cpu_s(server.pid(), ask_us),
            || calls_per_cpu_s(sqlite.id(), ask_them),
        );
    }
    let ours = format!("GET {path} HTTP/1.1\r\n{head}\r\n").into_bytes();
    let ask_us = || requests(address, CLIENTS, CALLS, b"200", |_| ours.clone());
    let ask_bare =
        || requests(bare_address, CLIENTS, CALLS, b"200", |_| b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec());
    report("list/s", "bare handler/s", BARE_RATIO_MIN, ask_us, ask_bare);
    for server in [&mut bare, &mut sqlite] {
        let _ = server.kill();
        let _ = server.wait();
    }
}
