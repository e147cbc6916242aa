//! What is left for others while some take all they can get? 64 clients read and write for half a minute, first alone,
//! then beside heavy reads of an account, a drawing and chats; after that come clients that take nothing of what they
//! asked for and bodies that never end. No request of the 64 may fail, the slowest hundredth of their reads may take
//! twice as long as alone, and the process may take a gibibyte and must give it back within ten seconds.
//!
//! `cargo bench --bench hostile -- [SECONDS]`; `TESTED_BINARY` names another binary than the one that cargo built.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Server;
use serde_json::{Value as Json, json};

const SECONDS: u64 = 30;
const CLIENTS: usize = 64;
const HEAVY: usize = 24;
const MEMORY_MIB_MAX: usize = 1024;
const BACK: Duration = Duration::from_secs(10);
/// What is not given back at once, beside what was there before.
const SLACK_MIB: usize = 96;
/// As it would be on a machine with 4 GiB.
const MEMORY_BYTES_MAX: &str = "536870912";
const LARGE: &str = "/rest/v1/characters?select=id,description&name=like.large*";

/// A line of the process's status, in MiB.
fn memory(server: &Server, line: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let value = status.lines().find_map(|found| found.strip_prefix(line)).expect("a line");
    let value = value.trim_start_matches(':').trim().trim_end_matches(" kB");
    value.parse::<usize>().expect("a number") / 1024
}

struct Account {
    id: String,
    token: String,
}

fn account(server: &Server, name: &str) -> Account {
    let (id, token) = server.sign_up(&format!("{name}@example.com"));
    Account { id, token }
}

/// The times of the reads, and how many requests of any kind failed.
fn clients(server: &Server, accounts: &[Account], time: Duration) -> (Vec<Duration>, usize) {
    let one = |account: &Account| {
        let (mut times, mut failed) = (Vec::new(), 0);
        let begun = Instant::now();
        for number in 0.. {
            if begun.elapsed() >= time {
                break;
            }
            let asked = Instant::now();
            let path = "/rest/v1/characters?select=id,name&order=created_at.desc&limit=20&name=like.small*";
            failed += usize::from(server.call("GET", path, &account.token, None).0 != 200);
            times.push(asked.elapsed());
            if number % 10 == 0 {
                let row =
                    json!({"user_id": account.id, "name": format!("small {number}"), "description": "x"});
                failed += usize::from(
                    server.call("POST", "/rest/v1/characters", &account.token, Some(&row)).0 != 201,
                );
            }
        }
        (times, failed)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let all = (0..CLIENTS).map(|client| &accounts[client % accounts.len()]);
        let running: Vec<_> = all.map(|account| scope.spawn(move || one(account))).collect();
        running.into_iter().map(|client| client.join().expect("no client fails")).collect()
    });
    let failed = results.iter().map(|(_, failed)| failed).sum();
    let mut times: Vec<Duration> = results.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_unstable();
    (times, failed)
}

fn say(what: &str, (times, failed): &(Vec<Duration>, usize)) -> Duration {
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{what}: {} reads, {failed} requests failed, median {:?}, p99 {:?}",
        times.len(),
        at(0.5),
        at(0.99)
    );
    at(0.99)
}

/// Takes one large answer after another off the wire and drops it: what is measured is the server's work, and the other
/// end of a heavy neighbour's connection is another machine.
fn keep_reading(server: &Server, stop: &AtomicBool, token: &str) {
    let request = format!(
        "GET {LARGE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    while !stop.load(Ordering::Relaxed) {
        let _ = std::io::copy(&mut open(server, request.as_bytes()), &mut std::io::sink());
    }
}

/// What a neighbour got done while the clients were asked.
#[derive(Default)]
struct Done {
    processing: AtomicUsize,
    completed: AtomicUsize,
    replies: AtomicUsize,
    refused: AtomicUsize,
}

impl Done {
    fn count(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Has one picture after the other drawn, and looks how each fares.
    fn draw(&self, server: &Server, stop: &AtomicBool, token: &str, drawing: &Json) {
        while !stop.load(Ordering::Relaxed) {
            let (status, job) = server.call("POST", "/functions/v1/queue-job", token, Some(drawing));
            let Some(id) = job["jobId"].as_str().filter(|_| status == 200) else {
                Done::count(&self.refused);
                std::thread::sleep(Duration::from_millis(200));
                continue;
            };
            let path = format!("/rest/v1/jobs?id=eq.{id}&select=status");
            let mut is_processing = false;
            while !stop.load(Ordering::Relaxed) {
                let (_, rows) = server.call("GET", &path, token, None);
                match rows[0]["status"].as_str() {
                    Some("processing") if !is_processing => {
                        is_processing = true;
                        Done::count(&self.processing);
                    }
                    Some("completed") => {
                        Done::count(&self.completed);
                        break;
                    }
                    Some("failed" | "cancelled") => break,
                    _ => {}
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Talks without a pause.
    fn talk(&self, server: &Server, stop: &AtomicBool, token: &str, chat: &Json) {
        while !stop.load(Ordering::Relaxed) {
            let (status, _) = server.call("POST", "/functions/v1/playground-chat", token, Some(chat));
            Done::count(if status == 200 { &self.replies } else { &self.refused });
        }
    }

    fn of(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }
}

fn open(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("a connection");
    let _ = stream.write_all(bytes);
    stream
}

/// Everything at once that held gigabytes: answers that are not taken, and bodies that do not end.
fn attack(server: &Server, greedy: &Account) -> Vec<TcpStream> {
    let bearer = format!("authorization: Bearer {}\r\n", greedy.token);
    let read = |more: &str| format!("GET {LARGE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
    let body = format!(
        "POST /rest/v1/rpc/verify_user_age HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        9 << 20,
        " ".repeat((9 << 20) - 1)
    );
    let strangers = (0..40).map(|_| open(server, read("").as_bytes()));
    let heavy = (0..HEAVY).map(|_| open(server, read(&bearer).as_bytes()));
    let idle = (0..37).map(|_| open(server, body.as_bytes()));
    strangers.chain(heavy).chain(idle).collect()
}

fn main() {
    let asked = std::env::args().filter_map(|argument| argument.parse().ok()).next_back();
    let time = Duration::from_secs(asked.unwrap_or(SECONDS));
    let folder = tempfile::tempdir().expect("a folder");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/language/llama-tiny");
    let settings = [("PLAYHOUSE_CHAT_MODEL", model), ("PLAYHOUSE_MEMORY_BYTES_MAX", MEMORY_BYTES_MAX)];
    let server = Server::start(folder.path(), &settings);
    let greedy = account(&server, "greedy");
    let text = "x".repeat(1 << 20);
    for number in 0..HEAVY {
        let row = json!({"user_id": greedy.id, "name": format!("large {number}"), "is_public": true,
            "content_rating": "sfw", "description": text});
        let minimal = [("prefer", "return=minimal")];
        assert_eq!(
            server.call_with("POST", "/rest/v1/characters", &greedy.token, Some(&row), &minimal).0,
            201
        );
    }
    let accounts: Vec<Account> = (0..8).map(|number| account(&server, &format!("client{number}"))).collect();
    let talk = json!({"user_id": greedy.id, "title": "talk"});
    let (_, talk) = server.call("POST", "/rest/v1/conversations", &greedy.token, Some(&talk));
    let chat = json!({"conversation_id": talk[0]["id"], "message": "Hello", "max_tokens": 24});
    let drawing = json!({"job_type": "sdxl_image_fast", "prompt": "a robot waving in a forest", "steps": 20});

    clients(&server, &accounts, time / 10);
    let alone = say("alone", &clients(&server, &accounts, time));
    let (stop, done) = (AtomicBool::new(false), Done::default());
    let beside = std::thread::scope(|scope| {
        let (server, stop, greedy) = (&server, &stop, &greedy);
        for _ in 0..HEAVY {
            scope.spawn(|| keep_reading(server, stop, &greedy.token));
        }
        scope.spawn(|| done.talk(server, stop, &greedy.token, &chat));
        scope.spawn(|| done.draw(server, stop, &greedy.token, &drawing));
        let beside = clients(server, &accounts, time);
        stop.store(true, Ordering::Relaxed);
        beside
    });
    let failed = beside.1;
    let slowed = say("beside heavy neighbours", &beside);
    let (processing, completed) = (Done::of(&done.processing), Done::of(&done.completed));
    let (replies, refused) = (Done::of(&done.replies), Done::of(&done.refused));
    println!(
        "beside the clients: {processing} pictures being drawn, {completed} drawn, {replies} replies, {refused} refusals"
    );
    println!("p99 beside / alone: {:.2}", slowed.as_secs_f64() / alone.as_secs_f64());

    let before = memory(&server, "VmRSS");
    let attackers = attack(&server, &greedy);
    std::thread::sleep(Duration::from_secs(5));
    let most = memory(&server, "VmHWM");
    let row = server.call("GET", "/rest/v1/profiles?limit=1", &accounts[0].token, None);
    drop(attackers);
    let dropped = Instant::now();
    while memory(&server, "VmRSS") > before + SLACK_MIB && dropped.elapsed() < 6 * BACK {
        std::thread::sleep(Duration::from_millis(100));
    }
    let back = dropped.elapsed();
    println!(
        "memory: {before} MiB before, {most} MiB at most, {} MiB {back:?} after it",
        memory(&server, "VmRSS")
    );
    assert_eq!(row.0, 200, "another account reads during the attack: {}", row.1);
    assert!(processing + completed > 0, "nothing was drawn beside the clients");
    assert!(replies > 0, "nothing was said beside the clients");
    assert_eq!(failed, 0, "requests of the clients failed");
    assert!(slowed <= 2 * alone, "reads are slowed");
    assert!(most <= MEMORY_MIB_MAX, "too much memory");
    assert!(back <= BACK, "memory does not come back");
}
