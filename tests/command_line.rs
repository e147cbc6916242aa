//! The command line as a newcomer uses it: pipes, names instead of numbers, mistyped settings, models, accounts.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::Server;
use serde_json::{Value as Json, json};

fn playhouse(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    playhouse(data, arguments).env("PLAYHOUSE_LOG", "warn").output().expect("the binary runs")
}

fn answer(data: &Path, arguments: &[&str]) -> Json {
    let output = run(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn refusal(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).to_string()
}

/// A server with arguments of its own, and what it logs.
struct Logged {
    child: Child,
    log: PathBuf,
    url: String,
}

impl Logged {
    fn start(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Logged {
        let log = data.with_extension("log");
        let file = std::fs::File::create(&log).expect("a file");
        let mut command = playhouse(data, &["serve"]);
        command.args(arguments).env("PLAYHOUSE_FETCH_CHAT_MODEL", "false");
        let child = command.envs(environment.iter().copied()).stderr(file).spawn().expect("the binary runs");
        let started = Instant::now();
        let url = loop {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "the server did not start: {log}");
            if let Some(url) = playhouse::running_at(data)
                && common::get(&format!("{url}/health"), &[]).is_ok()
            {
                break url;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Logged { child, log, url }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "set -o pipefail; \"$0\" schema --data \"$1\" | head -1";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_playhouse")])
        .arg(folder.path())
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !stderr.contains("panicked"), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[");
    // Neither does one that reads no complaints.
    let script = "\"$0\" check --data \"$1\" 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}";
    let status = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_playhouse")])
        .arg(folder.path().join("nothing"))
        .status()
        .expect("a shell");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn accounts_are_listed_at_rest_and_while_serving() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    assert!(refusal(&data, &["user", "list"]).contains("holds no store"));
    let create =
        ["user", "create", "--email", "ada@example.com", "--password", "correct horse", "--role", "admin"];
    answer(&data, &create);
    let listed = answer(&data, &["user", "list"]);
    assert_eq!(listed[0]["email"], "ada@example.com");
    assert_eq!(listed[0]["roles"], json!(["admin", "basic_user"]));
    let server = Server::start(&data, &[]);
    let (id, _) = server.sign_up("bob@example.com");
    let listed = answer(&data, &["user", "list"]);
    assert_eq!((listed.as_array().map(Vec::len), &listed[1]["id"]), (Some(2), &json!(id)));
}

#[test]
fn the_start_sums_up_what_is_there_and_names_what_cannot_be_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("models")).expect("a folder");
    let wrong = folder.path().join("modles");
    let chat = folder.path().join("chat.guff");
    std::fs::write(folder.path().join("chat.gguf"), b"x").expect("a file");
    let environment = [
        ("PLAYHOUSE_MODELS_DIR", &*wrong.to_string_lossy()),
        ("PLAYHOUSE_CHAT_MODEL", &*chat.to_string_lossy()),
        ("PLAYHOUSE_IMAGE_MODEL", "startr"),
        ("PLAYHOUSE_ROW_MAX", "5"),
        ("PLAYHOUSE_PUBLIC_URL", "https://studio.example.com/"),
    ];
    let data = folder.path().join("data");
    let server = Logged::start(&data, &["--listen", "localhost:0"], &environment);
    assert!(
        server.url.starts_with("http://127.0.0.1:") || server.url.starts_with("http://[::1]:"),
        "{}",
        server.url
    );
    let log = server.log();
    for said in [
        "PLAYHOUSE_ROW_MAX in the environment sets nothing; did you mean PLAYHOUSE_ROWS_MAX?",
        "modles is no folder; did you mean models?",
        "chat.guff does not exist; did you mean chat.gguf?",
        "image_model: there is no \"startr\", there is starter; did you mean starter?",
        "pictures=\"starter\"",
        "chats=\"none\"",
        "device=\"cpu\"",
        "url=\"https://studio.example.com\"",
        "sign_up=\"on, for everybody who reaches the address",
        "credits=\"charged\"",
    ] {
        assert!(log.contains(said), "{said} is not in: {log}");
    }
    // Whoever asks for the keys gets the address that clients use, though only the server was given it.
    assert_eq!(answer(&data, &["keys"])["url"], "https://studio.example.com");
    drop(server);
    let said = refusal(&folder.path().join("other"), &["serve", "--listen", "localhost"]);
    assert!(said.contains("localhost:54321"), "{said}");
}

#[test]
fn a_server_for_this_machine_says_so_and_charges_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Logged::start(&data, &["--listen", "127.0.0.1:0"], &[]);
    let log = server.log();
    for said in ["sign_up=\"on, from this machine\"", "credits=\"not charged\""] {
        assert!(log.contains(said), "{said} is not in: {log}");
    }
}

#[test]
fn models_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let names = || {
        let listed = answer(&data, &["models", "list"]);
        let name = |model: &Json| {
            format!("{} {}", model["type"].as_str().expect("a type"), model["name"].as_str().expect("a name"))
        };
        listed.as_array().expect("a list").iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["image starter"]);
    let starter = &answer(&data, &["models", "list"])[0];
    assert_eq!((&starter["trained_px"], &starter["sound"]), (&json!(64), &json!(true)));
    assert!(
        starter["words"]["place"].as_array().is_some_and(|words| words.contains(&json!("beach"))),
        "{starter}"
    );
    for (path, kind) in [
        ("goldens/lora/kohya.safetensors", "lora"),
        ("goldens/sd15-tiny", "image"),
        ("language/llama-tiny", "chat"),
    ] {
        let added = answer(&data, &["models", "add", &format!("{fixtures}/{path}")]);
        assert_eq!(added["type"], kind, "{added}");
    }
    assert!(data.join("models/loras/kohya.safetensors").is_file());
    assert_eq!(names(), ["image starter", "image sd15-tiny", "lora kohya", "chat llama-tiny"]);
    for name in ["kohya", "sd15-tiny", "llama-tiny"] {
        assert_eq!(answer(&data, &["models", "remove", name])["removed"], name);
        assert!(refusal(&data, &["models", "remove", name]).contains("no model"));
    }
    assert_eq!(names(), ["image starter"]);
    assert!(refusal(&data, &["models", "remove", "starter"]).contains("part of the program"));
}
