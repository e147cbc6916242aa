//! `playhouse worker --chats`: the same binary answers the chats of another one, and either may start again.

mod common;
mod talk;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{binary, get};
use serde_json::{Value as Json, json};
use talk::{conversation, invoke, start_with, tiny_model, until};

const SECRET: &str = "between machines";

/// A worker, killed when it goes.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path, server: &str, port: u16) -> Worker {
        let mut command = Command::new(binary());
        command.args([
            "worker",
            "--server",
            server,
            "--draws",
            "nothing",
            "--chat-model",
            &tiny_model(folder),
        ]);
        command.args(["--chats", &format!("127.0.0.1:{port}"), "--data"]).arg(folder.join("worker"));
        command.env("PLAYHOUSE_CALLBACK_SECRET", SECRET).stdin(Stdio::null()).stdout(Stdio::null());
        let worker = Worker(command.spawn().expect("the binary starts"));
        let started = Instant::now();
        while get(&format!("http://127.0.0.1:{port}/health"), &[]).is_err() {
            assert!(started.elapsed() < Duration::from_secs(120), "the worker answers nothing");
            std::thread::sleep(Duration::from_millis(50));
        }
        worker
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_worker_answers_the_chats_of_a_server_and_others_stand_in_while_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let environment = [
        ("PLAYHOUSE_WORKER_PROBE_S", "1"),
        ("PLAYHOUSE_CALLBACK_SECRET", SECRET),
        ("PLAYHOUSE_CHAT_WORKER_KEY", SECRET),
    ];
    let server = start_with(folder.path(), &environment);
    let worker = Worker::start(folder.path(), &server.url, port);
    let url = format!("http://127.0.0.1:{port}");
    // It answers its server alone.
    let body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5});
    let chat = |key: &str| {
        let bearer = format!("Bearer {key}");
        common::send(
            "POST",
            &format!("{url}/v1/chat/completions"),
            &[("authorization", &bearer)],
            Some(&body),
        )
        .expect("an answer")
    };
    assert_eq!(chat("another key").0, 401);
    let (status, answer) = chat(SECRET);
    assert_eq!((status, &answer["object"]), (200, &json!("chat.completion")), "{answer}");
    let empty = common::send(
        "POST",
        &format!("{url}/v1/chat/completions"),
        &[("authorization", &format!("Bearer {SECRET}"))],
        Some(&json!({})),
    );
    assert_eq!(empty.expect("an answer").0, 400);

    let (id, token) = server.sign_up("admin@example.com");
    let role = json!({"user_id": id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let (status, answer) = invoke(&server, &token, "register-chat-worker", json!({"worker_url": url}));
    assert_eq!((status, &answer["healthStatus"]), (200, &json!("healthy")), "{answer}");
    let chat = conversation(&server, &id, &token);
    let answers = |provider: &str| {
        let body =
            json!({"conversation_id": chat, "message": "Good evening", "model_provider": "chat_worker"});
        let (status, answer): (u16, Json) = invoke(&server, &token, "playground-chat", body);
        // Until the next probe finds it gone a turn fails, and says with whom.
        assert!(status == 200 || answer["code"] == "PROVIDER_FAILED", "{status}: {answer}");
        status == 200 && answer["model_provider"] == provider
    };
    assert!(answers("chat_worker"));
    drop(worker);
    until("the server's own model stands in", || answers("local"));
    let _worker = Worker::start(folder.path(), &server.url, port);
    until("the worker is back", || answers("chat_worker"));
    assert_eq!(server.check()["faults"], 0);
}
