//! What does the whole way through HTTP cost? Reading a row against a bare handler that returns the same JSON, creating
//! rows against the store's own group commit; and how much memory an idle server takes.
//!
//! `cargo bench --bench http`

#[path = "../tests/common/mod.rs"]
mod common;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::Server;
use models::{Claims, Value, schema};
use serde_json::json;
use store::{Caller, OpenOptions, Store, StoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PAIRS: usize = 7;
const CLIENTS: usize = 64;
const READS: usize = 20_000;
const WRITES: usize = 6_400;
/// Makes this program the bare server that answers with the variable's text.
const BARE: &str = "PLAYHOUSE_BENCH_BARE";
/// Goals.
const RATIO_MIN: f64 = 0.6;
const RSS_MB_MAX: f64 = 80.0;

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// One kept connection: bytes out, one whole answer in.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Client { stream, buffer: Vec::with_capacity(8192) }
    }

    async fn send(&mut self, request: &[u8], status: &[u8]) {
        self.stream.write_all(request).await.expect("sent");
        self.buffer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.buffer).await.expect("read") > 0, "closed");
            let Some(head) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.buffer[..head]).expect("a head");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if self.buffer.len() >= head + 4 + length {
                assert_eq!(&self.buffer[9..12], status, "{}", String::from_utf8_lossy(&self.buffer));
                return;
            }
        }
    }
}

/// Requests a second over so many connections.
fn requests(
    address: SocketAddr,
    clients: usize,
    total: usize,
    status: &[u8],
    request: impl Fn(usize) -> Vec<u8>,
) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connections = Vec::new();
        for number in 0..clients {
            connections.push((Client::connect(address).await, request(number)));
        }
        let started = Instant::now();
        let local = tokio::task::LocalSet::new();
        for (mut client, request) in connections {
            let status = status.to_vec();
            local.spawn_local(async move {
                for _ in 0..total / clients {
                    client.send(&request, &status).await;
                }
            });
        }
        local.await;
        (total / clients * clients) as f64 / started.elapsed().as_secs_f64()
    })
}

/// What a handler costs that only returns JSON it has.
fn bare(body: String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let handler = move || {
            let body = body.clone();
            async move { ([("content-type", "application/json")], body) }
        };
        let router = axum::Router::new().route("/", axum::routing::get(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        axum::serve(listener, router).await.expect("it serves");
    });
}

fn start_bare(body: &str) -> (std::process::Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(BARE, body)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().expect("output"));
    std::io::BufRead::read_line(&mut output, &mut line).expect("an address");
    (child, line.trim().parse().expect("an address"))
}

fn rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

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
        return bare(body);
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
    report("GET by id/s", "bare handler/s", ours, yardstick);

    let store = own_store(&folder.path().join("own"));
    let body = row.to_string();
    let create = format!(
        "POST /rest/v1/projects HTTP/1.1\r\n{head}content-type: application/json\r\nprefer: return=minimal\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let ours = || requests(address, CLIENTS, WRITES, b"201", |_| create.clone().into_bytes());
    report("durable POST/s", "group commits/s", ours, || commits(&store));
    println!("busy server: {:.0} MB resident", rss_mb(server.pid()));
    let _ = bare.kill();
    let _ = bare.wait();
}

/// Measures both in turns, after one turn to warm up.
fn report(name: &str, yardstick_name: &str, ours: impl Fn() -> f64, yardstick: impl Fn() -> f64) {
    ours();
    yardstick();
    let (mut of_ours, mut of_yardstick) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        of_ours.push(ours());
        of_yardstick.push(yardstick());
    }
    let ratios = of_ours.iter().zip(&of_yardstick).map(|(ours, yardstick)| ours / yardstick).collect();
    println!(
        "{name}: {:.0}, {yardstick_name}: {:.0}, ratio {:.2} (goal: at least {RATIO_MIN})",
        median(of_ours),
        median(of_yardstick),
        median(ratios)
    );
}
