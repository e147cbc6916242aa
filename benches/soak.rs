//! Does a server that works for long stay as it was? Accounts read, write, upload, chat, remove and sign in, round after
//! round, and leave nothing behind. Memory, open files, threads and disk must be flat at the end: the line through what
//! the second half of the time shows may rise by no more than a little, and what is left after a pause may be no more
//! than what was there when that half began.
//!
//! `cargo bench --bench soak -- [SECONDS [REQUESTS A SECOND]]`: a minute as fast as it goes, or as asked (an hour: 3600 20).
//! `TESTED_BINARY` names another binary than the one that cargo built.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::Server;
use serde_json::{Value as Json, json};

const SECONDS: u64 = 60;
const ACCOUNTS: usize = 4;
/// Each account signs in anew, and chats, once in so many rounds.
const SIGN_IN_EVERY: usize = 50;
const CHAT_EVERY: usize = 10;
/// Growth that is no growth: a part of what was there, or so much of it. Up to 64 MiB of the store's files may be of no use
/// before they are written anew.
const SLACK: f64 = 0.15;
const SLACKS: [f64; 4] = [24.0, 8.0, 4.0, 64.0];
/// The audit trail is as long as it may be before half of the time is over, in bytes: it is looked at every ten minutes.
const AUDIT_BYTES: &str = "4194304";
/// The cache of read chats is full before half of the time is over.
const CHAT_CACHE_BYTES: &str = "1048576";
/// Without requests, memory goes back and unused threads end.
const PAUSE: Duration = Duration::from_secs(20);

/// What a server takes.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    memory_mib: f64,
    files: f64,
    threads: f64,
    disk_mib: f64,
}

fn taken(server: &Server, folder: &Path) -> Taken {
    let process = format!("/proc/{}", server.pid());
    let status = std::fs::read_to_string(format!("{process}/status")).expect("a status");
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).expect("a number")
    };
    Taken {
        memory_mib: number("VmRSS:") / 1024.0,
        files: std::fs::read_dir(format!("{process}/fd")).expect("files").count() as f64,
        threads: number("Threads:"),
        disk_mib: size(folder) as f64 / f64::from(1 << 20),
    }
}

fn size(path: &Path) -> u64 {
    let Ok(about) = std::fs::symlink_metadata(path) else { return 0 };
    if !about.is_dir() {
        return about.len();
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
}

/// One account at work, at its part of the pace.
struct Worker<'s> {
    server: &'s Server,
    name: String,
    user: String,
    token: String,
    every: Duration,
    next: Instant,
    requests: u64,
}

impl Worker<'_> {
    fn call(&mut self, method: &str, path: &str, body: Option<&Json>, headers: &[(&str, &str)]) -> Json {
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
        self.next = (self.next + self.every).max(Instant::now() - self.every);
        self.requests += 1;
        let (status, answer) = self.server.call_with(method, path, &self.token, body, headers);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// One round; leaves nothing behind.
    fn round(&mut self, number: usize) {
        let user = self.user.clone();
        let whole = [("prefer", "return=representation")];
        if number.is_multiple_of(SIGN_IN_EVERY) {
            let who = json!({"email": self.name, "password": "correct horse"});
            let session = self.call("POST", "/auth/v1/token?grant_type=password", Some(&who), &[]);
            self.token = session["access_token"].as_str().expect("a token").to_string();
        }
        let row =
            json!({"user_id": user, "name": "soak", "description": "x".repeat(1000 + number * 997 % 50_000)});
        let made = self.call("POST", "/rest/v1/characters", Some(&row), &whole);
        let id = made[0]["id"].as_str().expect("an id").to_string();
        for path in ["/rest/v1/characters?order=name&limit=50", "/rest/v1/profiles?limit=1", "/auth/v1/user"]
        {
            self.call("GET", path, None, &[]);
        }
        let path = format!("/rest/v1/characters?id=eq.{id}");
        self.call("PATCH", &path, Some(&json!({"description": "y".repeat(1000)})), &whole);
        let file = format!("/storage/v1/object/user-library/{user}/soak.png");
        let text = json!("z".repeat(20_000 + number % 1000));
        self.call("POST", &file, Some(&text), &[("content-type", "image/png"), ("x-upsert", "true")]);
        self.call("DELETE", &file, None, &[]);
        self.call("DELETE", &path, None, &[]);
        if number.is_multiple_of(CHAT_EVERY) {
            let talk = json!({"user_id": user, "title": "soak"});
            let made = self.call("POST", "/rest/v1/conversations", Some(&talk), &whole);
            let id = made[0]["id"].as_str().expect("an id").to_string();
            let said = json!({"conversation_id": id, "message": format!("Hello {number}"), "max_tokens": 8});
            self.call("POST", "/functions/v1/playground-chat", Some(&said), &[]);
            self.call("DELETE", &format!("/rest/v1/conversations?id=eq.{id}"), None, &[]);
        }
    }
}

/// How much a straight line through the values rises from their begin to their end.
fn rise(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / count;
    let (mut up, mut along) = (0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let from = place as f64 - middle;
        up += from * (value - mean);
        along += from * from;
    }
    if along > 0.0 { up / along * (count - 1.0) } else { 0.0 }
}

fn main() {
    let asked: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let seconds = asked.first().copied().unwrap_or(SECONDS);
    let every =
        asked.get(1).map_or(Duration::ZERO, |rate| Duration::from_secs(ACCOUNTS as u64) / *rate as u32);
    let folder = tempfile::tempdir().expect("a folder");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/language/llama-tiny");
    let server = Server::start(
        folder.path(),
        &[
            ("PLAYHOUSE_CHAT_MODEL", model),
            ("PLAYHOUSE_AUDIT_BYTES", AUDIT_BYTES),
            ("PLAYHOUSE_CHAT_CACHE_BYTES", CHAT_CACHE_BYTES),
        ],
    );
    let sign_up = |number: usize| {
        let name = format!("soak{number}@example.com");
        let (user, token) = server.sign_up(&name);
        Worker { server: &server, name, user, token, every, next: Instant::now(), requests: 0 }
    };
    let workers: Vec<Worker> = (0..ACCOUNTS).map(sign_up).collect();
    let (begun, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut seen = Vec::new();
    let requests: u64 = std::thread::scope(|scope| {
        let work = |mut worker: Worker<'_>| {
            let mut round = 0;
            while begun.elapsed() < time {
                worker.round(round);
                round += 1;
            }
            worker.requests
        };
        let running: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || work(worker))).collect();
        let mut said = Instant::now();
        while begun.elapsed() < time && !running.iter().any(|worker| worker.is_finished()) {
            std::thread::sleep((time / 120).clamp(Duration::from_millis(250), Duration::from_secs(10)));
            let now = taken(&server, folder.path());
            seen.push(now);
            if said.elapsed() >= Duration::from_secs(60) {
                said = Instant::now();
                println!("{:>5} s {now:?}", begun.elapsed().as_secs());
            }
        }
        running.into_iter().map(|worker| worker.join().expect("no round fails")).sum()
    });
    std::thread::sleep(PAUSE);
    let rest = taken(&server, folder.path());
    let (first, second) = seen.split_at(seen.len() / 2);
    println!("{requests} requests in {seconds} s");
    let mut grown = Vec::new();
    for ((name, of), slack) in [
        ("memory in MiB", (|taken| taken.memory_mib) as fn(&Taken) -> f64),
        ("open files", |taken| taken.files),
        ("threads", |taken| taken.threads),
        ("disk in MiB", |taken| taken.disk_mib),
    ]
    .into_iter()
    .zip(SLACKS)
    {
        let values: Vec<f64> = second.iter().map(of).collect();
        let (before, rose) = (values.first().copied().unwrap_or_default(), rise(&values));
        let begin = first.first().map(of).unwrap_or_default();
        println!(
            "{name}: {begin:.1} at first, {before:.1} at half time, rises by {rose:.1} from there to the end, {:.1} after a pause",
            of(&rest)
        );
        let allowed = (before * SLACK).max(slack);
        if rose > allowed || of(&rest) > before + allowed {
            grown.push(name);
        }
    }
    assert_eq!(server.check()["faults"], 0);
    assert!(grown.is_empty(), "grown: {grown:?}");
}
