//! Conversations as a client has them.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::common::Server;

/// Starts on a folder with the tiny model, which holds more than the fixture says.
pub fn start(folder: &Path) -> Server {
    start_with(folder, &[])
}

/// The same with extra environment.
pub fn start_with(folder: &Path, environment: &[(&str, &str)]) -> Server {
    let model = tiny_model(folder);
    let mut all = vec![("PLAYHOUSE_CHAT_MODEL", model.as_str())];
    all.extend_from_slice(environment);
    Server::start(&folder.join("data"), &all)
}

/// The path of the tiny model, which is made in a folder.
pub fn tiny_model(folder: &Path) -> String {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/language/llama-tiny");
    let model = folder.join("tiny");
    if !model.exists() {
        std::fs::create_dir_all(&model).expect("a folder");
        for name in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(format!("{fixture}/{name}"), model.join(name)).expect("a fixture");
        }
        let config = std::fs::read_to_string(format!("{fixture}/config.json")).expect("a fixture");
        let config = config.replace("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 4096");
        // What a model calls itself is not what it is called here.
        let config = config.replacen('{', "{\"_name_or_path\": \"/home/somebody/other\",", 1);
        std::fs::write(model.join("config.json"), config).expect("a config");
    }
    model.to_string_lossy().to_string()
}

pub fn conversation(server: &Server, user: &str, token: &str) -> String {
    let body = json!({"user_id": user, "title": "Test"});
    let (status, rows) = server.call("POST", "/rest/v1/conversations", token, Some(&body));
    assert_eq!(status, 201, "{rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

pub fn character(server: &Server, user: &str, token: &str, extra: Json) -> String {
    let mut body =
        json!({"user_id": user, "name": "Mira", "description": "A lighthouse keeper.", "is_public": false});
    for (key, value) in extra.as_object().expect("an object") {
        body[key] = value.clone();
    }
    let (status, rows) = server.call("POST", "/rest/v1/characters", token, Some(&body));
    assert_eq!(status, 201, "{rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

pub fn invoke(server: &Server, token: &str, name: &str, body: Json) -> (u16, Json) {
    server.call("POST", &format!("/functions/v1/{name}"), token, Some(&body))
}

pub fn say(server: &Server, token: &str, conversation: &str, message: &str) -> (u16, Json) {
    let body = json!({"conversation_id": conversation, "message": message, "seed": 1, "max_tokens": 24});
    invoke(server, token, "playground-chat", body)
}

/// Sender and text of each message, in order.
pub fn messages_of(server: &Server, token: &str, conversation: &str) -> Vec<(String, String)> {
    let path =
        format!("/rest/v1/messages?conversation_id=eq.{conversation}&select=sender,content&order=created_at");
    let (status, rows) = server.call("GET", &path, token, None);
    assert_eq!(status, 200, "{rows}");
    let text = |value: &Json| value.as_str().expect("text").to_string();
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| (text(&row["sender"]), text(&row["content"]))).collect()
}

pub fn user(text: &str) -> (String, String) {
    ("user".into(), text.into())
}

pub fn assistant(text: &str) -> (String, String) {
    ("assistant".into(), text.into())
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(400), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
