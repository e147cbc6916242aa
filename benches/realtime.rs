//! Does a change reach a thousand sockets with five subscriptions each, how soon, and what do they cost: memory while
//! idle, and commits that are not made meanwhile?
//!
//! `cargo bench --bench realtime`; fewer sockets with `PLAYHOUSE_BENCH_SOCKETS=100`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Server;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// Goals.
const LAST_MS_MAX: f64 = 1000.0;
const MEDIAN_MS_MAX: f64 = 100.0;
const IDLE_KIB_MAX: f64 = 40.0;
const COMMITS_SHARE_MIN: f64 = 0.8;

const CHANGES: usize = 20;
const COMMITS_FOR: Duration = Duration::from_secs(5);
const WRITERS: usize = 8;

fn main() {
    let sockets =
        std::env::var("PLAYHOUSE_BENCH_SOCKETS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (user, token) = server.sign_up("writer@example.com");

    let alone = commits_per_s(&runtime, &server, &user, &token);
    let before = resident_kib(&server);
    let (heard, mut arrivals) = mpsc::unbounded_channel();
    let counting = Arc::new(AtomicBool::new(false));
    for number in 0..sockets {
        let (url, key) = (server.url.clone(), server.anon.clone());
        let (heard, counting) = (heard.clone(), counting.clone());
        runtime.block_on(async {
            let stream = open(&url, &key, &format!("bench-{number}")).await;
            tokio::spawn(listen(stream, heard, counting));
        });
    }
    let idle = (resident_kib(&server) - before) / sockets as f64;

    counting.store(true, Ordering::Release);
    let (mut all, mut lasts) = (Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let row =
            json!({"name": format!("row {number}"), "description": "d", "is_public": true, "user_id": user});
        let begun = Instant::now();
        let (status, answer) = server.call("POST", "/rest/v1/characters", &token, Some(&row));
        assert_eq!(status, 201, "{answer}");
        let mut times = Vec::with_capacity(sockets);
        while times.len() < sockets {
            let at = runtime
                .block_on(async { tokio::time::timeout(Duration::from_secs(60), arrivals.recv()).await });
            let at: Instant = at.ok().flatten().expect("a change reaches every socket");
            times.push(at.saturating_duration_since(begun).as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        lasts.push(times[times.len() - 1]);
        all.extend(times);
    }
    counting.store(false, Ordering::Release);
    all.sort_by(f64::total_cmp);
    lasts.sort_by(f64::total_cmp);
    let (median, last) = (all[all.len() / 2], lasts[lasts.len() - 1]);
    let watched = commits_per_s(&runtime, &server, &user, &token);
    let share = watched / alone;

    println!("{sockets} sockets, 5 subscriptions each");
    report("a change has reached half of them, ms", median, median <= MEDIAN_MS_MAX);
    report("a change has reached all of them, ms", last, last <= LAST_MS_MAX);
    report("memory of an idle socket, KiB", idle, idle <= IDLE_KIB_MAX);
    println!("commits per second: {alone:.0} without sockets, {watched:.0} with");
    report("commits with sockets, as a share of those without", share, share >= COMMITS_SHARE_MIN);
}

fn report(what: &str, value: f64, reached: bool) {
    println!("{what}: {value:.2}{}", if reached { "" } else { "   (goal missed)" });
}

type Stream = tokio_tungstenite::WebSocketStream<TcpStream>;

/// A socket that has joined a channel with five bindings, one of which every change meets.
async fn open(url: &str, key: &str, name: &str) -> Stream {
    let host = url.trim_start_matches("http://");
    let stream = TcpStream::connect(host).await.expect("a connection");
    let target = format!("ws://{host}/realtime/v1/websocket?apikey={key}&vsn=2.0.0");
    let (mut stream, _) = tokio_tungstenite::client_async(target, stream).await.expect("a socket");
    let binding = |table: &str| json!({"event": "*", "schema": "public", "table": table});
    let mut bindings: Vec<Json> = ["jobs", "workspace_assets", "character_scenes"].map(binding).into();
    bindings.push(json!({"event": "INSERT", "schema": "public", "table": "characters"}));
    bindings
        .push(json!({"event": "*", "schema": "public", "table": "characters", "filter": "name=eq.nothing"}));
    let join =
        json!(["1", "1", format!("realtime:{name}"), "phx_join", {"config": {"postgres_changes": bindings}}]);
    stream.send(Message::Text(join.to_string().into())).await.expect("it is sent");
    loop {
        let frame = stream.next().await.expect("an answer").expect("a frame");
        if frame.to_text().is_ok_and(|text| text.contains("\"system\"")) {
            return stream;
        }
    }
}

/// Notes when changes come, and says every 25 s that it is there.
async fn listen(mut stream: Stream, heard: mpsc::UnboundedSender<Instant>, counting: Arc<AtomicBool>) {
    let mut beat = tokio::time::interval(Duration::from_secs(25));
    loop {
        tokio::select! {
            _ = beat.tick() => {
                let beat = r#"[null,"2","phoenix","heartbeat",{}]"#;
                if stream.send(Message::Text(beat.into())).await.is_err() {
                    return;
                }
            }
            frame = stream.next() => {
                let Some(Ok(frame)) = frame else { return };
                if frame.to_text().is_ok_and(|text| text.contains("\"postgres_changes\""))
                    && counting.load(Ordering::Acquire) {
                        let _ = heard.send(Instant::now());
                    }
            }
        }
    }
}

/// Rows that several writers add, each in a commit of its own, and none for others: what is measured is the looking,
/// not a thousand frames for each commit.
fn commits_per_s(runtime: &tokio::runtime::Runtime, server: &Server, user: &str, token: &str) -> f64 {
    let client = language::http_client().build().expect("a client");
    let (begun, count) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (client, count) = (client.clone(), count.clone());
            let (url, token) = (format!("{}/rest/v1/characters", server.url), token.to_string());
            let row = json!({"name": "written", "description": "d", "is_public": false, "user_id": user});
            runtime.spawn(async move {
                while begun.elapsed() < COMMITS_FOR {
                    let sent =
                        client.post(&url).bearer_auth(&token).json(&row).send().await.expect("an answer");
                    assert_eq!(sent.status(), 201);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for writer in writers {
            writer.await.expect("a writer");
        }
    });
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// Memory of the server that is in use, in KiB.
fn resident_kib(server: &Server) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
