//! Connections of clients that are plain, slow, many, or still there when the server is to stop.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::Server;
use serde_json::{Value as Json, json};

/// A connection on which something has been said.
fn say(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    // A server that refuses a body does not read all of it.
    let _ = stream.write_all(bytes);
    stream
}

/// The head of a POST whose body has `length` bytes.
fn post(server: &Server, length: usize) -> Vec<u8> {
    let head = format!(
        "POST /rest/v1/characters HTTP/1.1\r\nhost: x\r\nconnection: close\r\napikey: {}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
        server.anon
    );
    head.into_bytes()
}

/// The status and JSON of the next answer.
fn answer(stream: &mut TcpStream) -> (u16, Json) {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or(Json::Null))
}

#[test]
fn targets_are_taken_as_curl_sends_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("plain@example.com");
    let row = json!({"user_id": user, "name": "Mira <3", "description": "a", "appearance": {"hp": 7}});
    assert_eq!(server.call("POST", "/rest/v1/characters", &token, Some(&row)).0, 201);
    // Twice on one connection, with a body between.
    let read = format!(
        "GET /rest/v1/characters?select=appearance->>hp&name=in.(\"Mira <3\") HTTP/1.1\r\nhost: x\r\n\
         authorization: Bearer {token}\r\n"
    )
    .replace("Mira <3", "Mira%20<3");
    let between = "POST /rest/v1/rpc/verify_user_age HTTP/1.1\r\nhost: x\r\ncontent-length: 27\r\n\r\n\
                   {\"user_birth_date\": null}>>";
    let all = format!("{read}\r\n{between}{read}connection: close\r\n\r\n");
    let mut stream = say(&server, all.as_bytes());
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answers");
    assert_eq!(text.matches(r#"[{"hp":"7"}]"#).count(), 2, "{text}");
}

#[test]
fn bodies_together_take_no_more_memory_than_they_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_BODIES_BYTES_MAX", "1000000")]);
    let large = format!("[{{\"name\":\"{}\"}}]", "x".repeat(900_000)).into_bytes();
    let mut first = say(&server, &[post(&server, large.len()), large[..large.len() - 1].to_vec()].concat());
    let waiting = Instant::now();
    // The first bytes of a body are not counted.
    let is_taken = |health: &Json| health["bodies_bytes"].as_u64().is_some_and(|bytes| bytes > 800_000);
    while !is_taken(&server.call("GET", "/health", &server.service, None).1) {
        assert!(waiting.elapsed() < Duration::from_secs(60), "it is not read");
    }
    let mut second = say(&server, &[post(&server, large.len()), large.clone()].concat());
    let (status, body) = answer(&mut second);
    assert_eq!((status, &body["code"]), (429, &json!("429")), "{body}");
    // Small ones still find room, and the large one that was there first goes on.
    let small = json!({"user_birth_date": "2000-01-01"});
    let answered = server.call("POST", "/rest/v1/rpc/verify_user_age", &server.anon, Some(&small));
    assert_eq!(answered, (200, json!(true)));
    first.write_all(&large[large.len() - 1..]).expect("the last byte");
    assert_eq!(answer(&mut first).0, 401);
    // What they took is free again.
    let mut third = say(&server, &[post(&server, large.len()), large].concat());
    assert_eq!(answer(&mut third).0, 401);
}

/// Memory of a process, in bytes.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("a number");
    kilobytes << 10
}

#[test]
fn clients_that_read_slowly_cost_a_bounded_amount_of_memory() {
    const MAX: u64 = 60_000_000;
    // More than the system itself keeps of an answer on its way.
    const ROWS: usize = 24;
    let folder = tempfile::tempdir().expect("a folder");
    // Half of it is for bodies.
    let limits =
        [("PLAYHOUSE_MEMORY_BYTES_MAX", &*(2 * MAX).to_string()), ("PLAYHOUSE_ANSWER_PAUSE_S_MAX", "600")];
    let server = Server::start(folder.path(), &limits);
    let (user, token) = server.sign_up("slow@example.com");
    let text = "x".repeat(1_000_000);
    for number in 0..ROWS {
        let row = json!({"user_id": user, "name": format!("Mira {number}"), "description": text, "is_public": false});
        assert_eq!(server.call("POST", "/rest/v1/characters", &token, Some(&row)).0, 201);
    }
    let ask = format!(
        "GET /rest/v1/characters?select=description HTTP/1.0\r\nhost: x\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    // One answer first, so that what it takes to make one is not counted.
    let mut stream = say(&server, ask.as_bytes());
    let (status, rows) = answer(&mut stream);
    assert_eq!((status, rows.as_array().map(Vec::len)), (200, Some(ROWS)));
    let before = memory(&server);
    let held = || {
        let (_, health) = server.call("GET", "/health", &server.service, None);
        health["memory_bytes"].as_u64().expect("a number")
    };
    let (mut clients, mut statuses) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        // None reads more than the beginning of the first line.
        let mut client = say(&server, ask.as_bytes());
        let mut line = [0; 12];
        client.read_exact(&mut line).expect("a status line");
        assert!(held() <= MAX);
        statuses.push(String::from_utf8_lossy(&line[9..]).to_string());
        clients.push(client);
    }
    let taken = statuses.iter().filter(|status| *status == "200").count();
    assert!((1..=2).contains(&taken), "{statuses:?}");
    assert!(statuses.iter().all(|status| status == "200" || status == "429"), "{statuses:?}");
    assert!(held() > 0);
    let grown = memory(&server).saturating_sub(before);
    // All of them would be 384 MB.
    assert!(grown < 200_000_000, "{grown} bytes more");
    // One of those that are read comes whole, and its room is free again.
    let (client, _) = clients.iter_mut().zip(&statuses).find(|(_, status)| *status == "200").expect("one");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the rest");
    assert!(rest.len() > ROWS * 1_000_000 && rest.ends_with(b"}]"), "{} bytes", rest.len());
    drop(clients);
    let waiting = Instant::now();
    while held() > 0 {
        assert!(waiting.elapsed() < Duration::from_secs(60), "no client reads any more");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut again = say(&server, ask.as_bytes());
    assert_eq!(answer(&mut again).0, 200);
}

#[test]
fn a_client_that_never_ends_does_not_keep_the_server_from_stopping() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let begun = [post(&server, 100), b"{".to_vec()].concat();
    let slow = [say(&server, &begun), say(&server, b"GET /health HT"), say(&server, b"")];
    std::thread::sleep(Duration::from_millis(200));
    let stopping = Instant::now();
    server.stop();
    assert!(stopping.elapsed() < Duration::from_secs(60), "{:?}", stopping.elapsed());
    drop(slow);
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.check()["faults"], 0);
}
