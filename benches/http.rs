//! What does the whole way through HTTP cost? Reading a row against a bare handler that returns the same JSON, creating
//! rows against the store's own group commit; and how much memory an idle server takes.
//!
//! `cargo bench --bench http`

#[path = "../tests/common/mod.rs"]
mod common;
mod load;

use std::net::SocketAddr;
use std::time::Instant;

use common::Server;
use load::{BARE, report, requests, rss_mb, start_bare};
use models::{Claims, Value, schema};
use serde_json::json;
use store::{Caller, OpenOptions, Store, StoreError};

const CLIENTS: usize = 64;
const READS: usize = 20_000;
const WRITES: usize = 6_400;
/// Goals.
const GET_RATIO_MIN: f64 = 0.7;
const POST_RATIO_MIN: f64 = 0.6;
const RSS_MB_MAX: f64 = 80.0;

/// Durable single-row commits a second, without HTTP, actors and triggers.
fn commits(store: &Store) -> f64 {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let claims = Claims::service();
                let table = schema().known("projects");
                for _ in 0..WRITES / CLIENTS {
                    let (_, durable) = store
                        .transact(&claims, |transaction| {
                            let mut row = table.default_row();
                            row[table.at("user_id")] = Value::Uuid(uuid::Uuid::nil());
                            row[table.at("original_prompt")] = Value::text("a lighthouse in the fog");
                            row[table.at("media_type")] = Value::text("image");
                            transaction.insert(&Caller::new(&claims), table, row)
                        })
                        .map_err(|error: StoreError| error.to_string())
                        .expect("the row fits");
                    durable.wait_blocking().expect("durable");
                }
            });
        }
    });
    WRITES as f64 / started.elapsed().as_secs_f64()
}

fn own_store(folder: &std::path::Path) -> Store {
    let (store, _) = Store::open(folder, schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let (_, durable) = store
        .transact(&claims, |transaction| {
            for name in ["auth.users", "profiles"] {
                let table = schema().known(name);
                let mut row = table.default_row();
                row[table.at("id")] = Value::Uuid(uuid::Uuid::nil());
                transaction.insert(&Caller::new(&claims), table, row)?;
            }
            Ok::<_, StoreError>(())
        })
        .expect("an account");
    durable.wait_blocking().expect("durable");
    store
}

fn main() {
    if let Ok(body) = std::env::var(BARE) {
        return load::bare(body);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[("PLAYHOUSE_LOG", "error")]);
    let idle = rss_mb(server.pid());
    println!("idle server: {idle:.0} MB resident (goal: at most {RSS_MB_MAX})");
    let (user, token) = server.sign_up("bench@example.com");
    let row = json!({"user_id": user, "original_prompt": "a lighthouse in the fog", "media_type": "image"});
    let (status, made) = server.call("POST", "/rest/v1/projects", &token, Some(&row));
    assert_eq!(status, 201, "{made}");
    let id = made[0]["id"].as_str().expect("an id");
    let address: SocketAddr = server.url.trim_start_matches("http://").parse().expect("an address");
    let (mut bare, bare_address) = start_bare(&json!([made[0]]).to_string());

    let head = format!("host: x\r\nauthorization: Bearer {token}\r\napikey: {}\r\n", server.anon);
    let read = |path: &str| format!("GET {path} HTTP/1.1\r\n{head}\r\n").into_bytes();
    let path = format!("/rest/v1/projects?id=eq.{id}");
    let ours = || requests(address, CLIENTS, READS, b"200", |_| read(&path));
    let yardstick = || requests(bare_address, CLIENTS, READS, b"200", |_| read("/"));
    report("GET by id/s", "bare handler/s", GET_RATIO_MIN, ours, yardstick);

    let store = own_store(&folder.path().join("own"));
    let body = row.to_string();
    let create = format!(
        "POST /rest/v1/projects HTTP/1.1\r\n{head}content-type: application/json\r\nprefer: return=minimal\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let ours = || requests(address, CLIENTS, WRITES, b"201", |_| create.clone().into_bytes());
    report("durable POST/s", "group commits/s", POST_RATIO_MIN, ours, || commits(&store));
    println!("busy server: {:.0} MB resident", rss_mb(server.pid()));
    let _ = bare.kill();
    let _ = bare.wait();
}
