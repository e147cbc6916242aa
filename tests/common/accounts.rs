//! Accounts of a server without a mail server: its outbox has their links.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::Server;

pub const PASSWORD: &str = "correct horse";

pub fn outbox(data: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(data.join("outbox.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The outbox once it has so many links: they are made after the answer.
pub fn links(data: &Path, count: usize) -> Vec<Json> {
    let started = std::time::Instant::now();
    loop {
        let links = outbox(data);
        if links.len() >= count {
            return links;
        }
        assert!(started.elapsed().as_secs() < 60, "the outbox has {} of {count} links", links.len());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The code of the newest link of a kind to an address.
pub fn code(data: &Path, kind: &str, address: &str) -> String {
    let line = outbox(data).into_iter().rev().find(|line| line["kind"] == kind && line["email"] == address);
    let line = line.unwrap_or_else(|| panic!("no {kind} for {address} in the outbox"));
    line["email_otp"].as_str().expect("a code").to_string()
}

/// A server that waits for addresses to be confirmed.
pub fn careful(data: &Path) -> Server {
    std::fs::create_dir_all(data).expect("a folder");
    std::fs::write(data.join("playhouse.json"), json!({"autoconfirm": false}).to_string()).expect("a file");
    Server::start(data, &[])
}

pub fn auth(server: &Server, method: &str, path: &str, token: &str, body: &Json) -> (u16, Json) {
    server.call(method, &format!("/auth/v1/{path}"), token, Some(body))
}

pub fn verify(server: &Server, kind: &str, address: &str, code: &str) -> (u16, Json) {
    auth(server, "POST", "verify", &server.anon, &json!({"type": kind, "email": address, "token": code}))
}

pub fn sign_in(server: &Server, address: &str) -> (u16, Json) {
    let body = json!({"email": address, "password": PASSWORD});
    auth(server, "POST", "token?grant_type=password", &server.anon, &body)
}

pub fn refresh(server: &Server, session: &Json) -> (u16, Json) {
    let body = json!({"refresh_token": session["refresh_token"]});
    auth(server, "POST", "token?grant_type=refresh_token", &server.anon, &body)
}
