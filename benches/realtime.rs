//! Does a change reach a thousand sockets with five subscriptions each, how soon, and what do they cost: memory while
//! idle, the server's processor time for a frame, and commits that are not made meanwhile?
//!
//! The sockets stand for a hundred accounts and, every second one, for callers without an account. Clients and writers run
//! on the same processors as the server, so commits are counted for each second of the server's own processor time too.
//!
//! `cargo bench --bench realtime`; fewer sockets with `PLAYHOUSE_BENCH_SOCKETS=100`, other accounts with
//! `PLAYHOUSE_BENCH_ACCOUNTS=0`.

#[path = "../tests/common/mod.rs"]
mod common;
mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Server;
use futures_util::{SinkExt, StreamExt};
use load::cpu_s;
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
    let (sockets, accounts) =
        (count("PLAYHOUSE_BENCH_SOCKETS", 1000), count("PLAYHOUSE_BENCH_ACCOUNTS", 100));
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (user, token) = server.sign_up("writer@example.com");

    let tokens: Vec<String> =
        (0..accounts).map(|number| server.sign_up(&format!("reader-{number}@example.com")).1).collect();

    let alone = commits_per_s(&runtime, &server, &user, &token);
    let before = resident_kib(&server);
    let (heard, mut arrivals) = mpsc::unbounded_channel();
    let counting = Arc::new(AtomicBool::new(false));
    for number in 0..sockets {
        let (url, key) = (server.url.clone(), server.anon.clone());
        let (heard, counting) = (heard.clone(), counting.clone());
        let with_account = number % 2 == 0 && !tokens.is_empty();
        let token = with_account.then(|| tokens[number / 2 % tokens.len()].clone());
        runtime.block_on(async {
            let stream = open(&url, &key, token.as_deref(), &format!("bench-{number}")).await;
            tokio::spawn(listen(stream, heard, counting));
        });
    }
    let idle = (resident_kib(&server) - before) / sockets as f64;

    counting.store(true, Ordering::Release);
    let (mut all, mut lasts) = (Vec::new(), Vec::new());
    let busy = cpu_s(server.pid());
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
    let frame_us = (cpu_s(server.pid()) - busy) * 1e6 / all.len() as f64;
    counting.store(false, Ordering::Release);
    all.sort_by(f64::total_cmp);
    lasts.sort_by(f64::total_cmp);
    let (median, last) = (all[all.len() / 2], lasts[lasts.len() - 1]);
    let watched = commits_per_s(&runtime, &server, &user, &token);
    println!("{sockets} sockets, 5 subscriptions each, of {accounts} accounts and of callers without one");
    report("a change has reached half of them, ms", median, median <= MEDIAN_MS_MAX);
    report("a change has reached all of them, ms", last, last <= LAST_MS_MAX);
    report("memory of an idle socket, KiB", idle, idle <= IDLE_KIB_MAX);
    println!("the server's processor time for a frame to a socket, µs: {frame_us:.1}");
    for (what, commits) in [("without sockets", &alone), ("with", &watched)] {
        let Commits { per_s, per_cpu_s } = commits;
        println!("commits {what}: {per_s:.0} per second, {per_cpu_s:.0} for each second of processor time");
    }
    let share = watched.per_s / alone.per_s;
    report("commits with sockets, as a share of those without", share, share >= COMMITS_SHARE_MIN);
    println!("the same for each second of processor time: {:.2}", watched.per_cpu_s / alone.per_cpu_s);
}

/// A number in the environment.
fn count(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn report(what: &str, value: f64, reached: bool) {
    println!("{what}: {value:.2}{}", if reached { "" } else { "   (goal missed)" });
}

type Stream = tokio_tungstenite::WebSocketStream<TcpStream>;

/// How fast rows are written.
struct Commits {
    per_s: f64,
    /// For each second of the server's processor time.
    per_cpu_s: f64,
}

/// A socket that has joined a channel with five bindings, one of which every change meets.
async fn open(url: &str, key: &str, token: Option<&str>, name: &str) -> Stream {
    let host = url.trim_start_matches("http://");
    let stream = TcpStream::connect(host).await.expect("a connection");
    let target = format!("ws://{host}/realtime/v1/websocket?apikey={key}&vsn=2.0.0");
    let (mut stream, _) = tokio_tungstenite::client_async(target, stream).await.expect("a socket");
    let binding = |table: &str| json!({"event": "*", "schema": "public", "table": table});
    let mut bindings: Vec<Json> = ["jobs", "workspace_assets", "character_scenes"].map(binding).into();
    bindings.push(json!({"event": "INSERT", "schema": "public", "table": "characters"}));
    bindings
        .push(json!({"event": "*", "schema": "public", "table": "characters", "filter": "name=eq.nothing"}));
    let asked = json!({"config": {"postgres_changes": bindings}, "access_token": token});
    let join = json!(["1", "1", format!("realtime:{name}"), "phx_join", asked]);
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
fn commits_per_s(runtime: &tokio::runtime::Runtime, server: &Server, user: &str, token: &str) -> Commits {
    let client = language::http_client().build().expect("a client");
    let busy = cpu_s(server.pid());
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
    let made = count.load(Ordering::Relaxed) as f64;
    Commits {
        per_s: made / begun.elapsed().as_secs_f64(),
        per_cpu_s: made / (cpu_s(server.pid()) - busy).max(0.01),
    }
}

/// Memory of the server that is in use, in KiB.
fn resident_kib(server: &Server) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
