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
    while server.call("GET", "/health", &server.anon, None).1["bodies_bytes"] != json!(large.len() - 1) {
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
