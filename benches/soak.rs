//! Does a server that works for long stay as it was? Accounts read, write, upload, remove and sign in, round after round;
//! memory, open files, threads and disk of the second half must not lie above those of the first.
//!
//! `cargo bench --bench soak -- [SECONDS]`: a minute, or as long as is asked for (an hour: 3600).

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::Server;
use serde_json::json;

const SECONDS: u64 = 60;
const ACCOUNTS: usize = 4;
/// Growth from the first half to the second that is no growth.
const SLACK: f64 = 1.15;
const SLACK_MIB: f64 = 24.0;

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

/// One round of one account; leaves nothing behind.
fn round(server: &Server, (user, token): &(String, String), number: usize) {
    let row = json!({"user_id": user, "name": "soak", "description": "x".repeat(1000 + number % 50_000)});
    let (status, made) = server.call("POST", "/rest/v1/characters", token, Some(&row));
    assert_eq!(status, 201, "{made}");
    let id = made[0]["id"].as_str().expect("an id");
    for path in ["/rest/v1/characters?order=name&limit=50", "/rest/v1/profiles?limit=1", "/auth/v1/user"] {
        let (status, read) = server.call("GET", path, token, None);
        assert_eq!(status, 200, "{read}");
    }
    let change = json!({"description": "y".repeat(1000)});
    let path = format!("/rest/v1/characters?id=eq.{id}");
    assert_eq!(server.call("PATCH", &path, token, Some(&change)).0, 200);
    let file = format!("/storage/v1/object/user-library/{user}/soak.txt");
    let text = json!("z".repeat(20_000 + number % 1000));
    let headers = [("content-type", "text/plain"), ("x-upsert", "true")];
    let (status, put) = server.call_with("POST", &file, token, Some(&text), &headers);
    assert_eq!(status, 200, "{put}");
    assert_eq!(server.call("DELETE", &file, token, None).0, 200);
    assert_eq!(server.call("DELETE", &path, token, None).0, 200);
}

fn mean(all: &[Taken], of: impl Fn(&Taken) -> f64) -> f64 {
    all.iter().map(of).sum::<f64>() / all.len().max(1) as f64
}

fn main() {
    let seconds =
        std::env::args().filter_map(|argument| argument.parse().ok()).next_back().unwrap_or(SECONDS);
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let accounts: Vec<_> =
        (0..ACCOUNTS).map(|number| server.sign_up(&format!("soak{number}@example.com"))).collect();
    let (begun, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut seen = Vec::new();
    let rounds: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = accounts
            .iter()
            .map(|account| {
                let server = &server;
                scope.spawn(move || {
                    let mut rounds = 0;
                    while begun.elapsed() < time {
                        round(server, account, rounds);
                        rounds += 1;
                    }
                    rounds
                })
            })
            .collect();
        while begun.elapsed() < time {
            std::thread::sleep((time / 60).clamp(Duration::from_millis(500), Duration::from_secs(30)));
            seen.push(taken(&server, folder.path()));
        }
        workers.into_iter().map(|worker| worker.join().expect("no round fails")).sum()
    });
    // What warms up belongs to neither half.
    let warm = seen.len() / 5;
    let (first, second) = seen[warm..].split_at((seen.len() - warm) / 2);
    println!("{rounds} rounds in {seconds} s");
    let mut grown = Vec::new();
    for (name, of) in [
        ("memory in MiB", (|taken| taken.memory_mib) as fn(&Taken) -> f64),
        ("open files", |taken| taken.files),
        ("threads", |taken| taken.threads),
        ("disk in MiB", |taken| taken.disk_mib),
    ] {
        let (before, after) = (mean(first, of), mean(second, of));
        println!("{name}: {before:.1} in the first half, {after:.1} in the second");
        if after > before * SLACK + SLACK_MIB {
            grown.push(name);
        }
    }
    assert_eq!(server.check()["faults"], 0);
    assert!(grown.is_empty(), "grown: {grown:?}");
}
