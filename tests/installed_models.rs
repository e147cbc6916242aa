//! Models that an administrator fetches, looks over and takes away while the server runs.

mod common;
mod talk;

use std::path::Path;
use std::time::Duration;

use common::Server;
use serde_json::{Value as Json, json};

/// A folder of models with a picture model beside the starter.
fn models(folder: &Path) -> String {
    let (from, to) = (fixture("goldens/sd15-tiny"), folder.join("models/small"));
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "the fixture is copied");
    folder.join("models").to_string_lossy().to_string()
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Serves files over HTTP without a key; `slow` never comes to its end. The address, which ends with a slash.
fn file_server(files: Vec<(&'static str, Vec<u8>)>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = format!("http://{}/", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let files = files.clone();
            std::thread::spawn(move || {
                let mut request = [0; 2048];
                let read = socket.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_string();
                let Some((_, bytes)) = files.iter().find(|(name, _)| *name == path) else {
                    return socket.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
                };
                let is_slow = path.starts_with("slow");
                let length = bytes.len() + if is_slow { 1000 } else { 0 };
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                socket.write_all(head.as_bytes())?;
                socket.write_all(bytes)?;
                for _ in 0..if is_slow { 600 } else { 0 } {
                    std::thread::sleep(Duration::from_millis(100));
                    socket.write_all(b"x")?;
                }
                Ok(())
            });
        }
    });
    address
}

#[test]
fn an_administrator_fetches_models_and_takes_them_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(folder.path());
    let lora = std::fs::read(fixture("goldens/lora/kohya.safetensors")).expect("a fixture");
    let from = file_server(vec![
        ("ink.safetensors", lora.clone()),
        ("broken.gguf", b"no model at all".to_vec()),
        ("slow.gguf", b"GGUF".to_vec()),
    ]);
    let environment =
        [("PLAYHOUSE_MODELS_DIR", models.as_str()), ("PLAYHOUSE_FETCH_PRIVATE_ADDRESSES", "true")];
    let server = Server::start(&folder.path().join("data"), &environment);
    let (_, stranger) = server.sign_up("ada@example.com");
    let run =
        |token: &str, body: Json| server.call("POST", "/functions/v1/installed-models", token, Some(&body));
    let listed = || run(&server.service, json!({"action": "list"})).1;
    let add = |file: &str| {
        let (status, begun) = run(&server.service, json!({"action": "add", "url": format!("{from}{file}")}));
        assert_eq!(status, 200, "{begun}");
        begun["download"]["id"].clone()
    };
    let download = |id: &Json| {
        let list = listed();
        let one = list["downloads"].as_array().expect("a list").iter().find(|one| one["id"] == *id).cloned();
        one.unwrap_or_else(|| panic!("{list}"))
    };
    let ended = |id: &Json| {
        talk::until("it ends", || !matches!(download(id)["state"].as_str(), Some("fetching" | "checking")));
        download(id)
    };
    assert_eq!(run(&stranger, json!({"action": "list"})).0, 403);
    let there = listed()["models"].clone();
    let starter = there.as_array().expect("a list").iter().find(|model| model["name"] == "starter");
    let bytes = starter.expect("the starter model")["memory_bytes"].as_u64();
    assert!(bytes > Some(1_000_000), "what it takes in memory is said: {there}");
    let ink = ended(&add("ink.safetensors?download=true"));
    assert_eq!(ink["state"], "failed", "the address has no such file: {ink}");
    let ink = ended(&add("ink.safetensors"));
    assert_eq!(
        (&ink["state"], &ink["added"]["added"], &ink["bytes"]),
        (&json!("done"), &json!("ink"), &json!(lora.len())),
        "{ink}"
    );
    let loras = server.call("GET", "/v1/models?kind=lora", &stranger, None).1;
    assert!(loras.to_string().contains("ink"), "{loras}");
    let broken = ended(&add("broken.gguf"));
    assert_eq!((&broken["state"], &broken["added"]), (&json!("failed"), &Json::Null), "{broken}");
    assert!(broken["problem"].as_str().is_some_and(|reason| !reason.contains(".download-")), "{broken}");
    let again = ended(&add("ink.safetensors"));
    assert!(again["problem"].to_string().contains("already"), "{again}");
    let slow = add("slow.gguf");
    talk::until("bytes arrive", || download(&slow)["bytes"].as_u64().is_some_and(|bytes| bytes > 4));
    assert_eq!(run(&server.service, json!({"action": "cancel", "id": slow})).0, 200);
    assert_eq!(ended(&slow)["state"], "cancelled");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&models).expect("a folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    talk::until("nothing is left", || names() == ["loras", "small"]);
    let known: Vec<Json> =
        listed()["models"].as_array().expect("a list").iter().map(|it| it["name"].clone()).collect();
    assert_eq!(known, [json!("starter"), json!("small"), json!("ink")]);
    let (status, small) = run(&server.service, json!({"action": "verify", "name": "small"}));
    assert_eq!((status, &small["model"]["sound"]), (200, &json!(true)), "{small}");
    for bad in [
        json!({"action": "add", "url": format!("{from}x.ckpt")}),
        json!({"action": "add", "url": "file:///etc/x.gguf"}),
        json!({"action": "add", "url": format!("{from}a.gguf"), "file_name": "../a.gguf"}),
        json!({"action": "remove", "name": "starter"}),
        json!({"action": "verify", "name": "none"}),
        json!({"action": "cancel", "id": slow}),
        json!({"action": "fly"}),
        json!({}),
    ] {
        assert_eq!(run(&server.service, bad.clone()).0, 400, "{bad}");
    }
    assert_eq!(run(&server.service, json!({"action": "remove", "name": "ink"})).1["type"], "lora");
    assert!(!listed().to_string().contains("\"name\":\"ink\""));
    drop(server);
    // A fetch that a kill cut short leaves nothing after the next start; private addresses are not asked unasked.
    let half = Path::new(&models).join(".download-1");
    std::fs::create_dir(&half).expect("a folder");
    std::fs::write(half.join("lock"), b"").expect("a file");
    let server = Server::start(&folder.path().join("data"), &environment[..1]);
    assert!(!half.exists());
    let body = json!({"action": "add", "url": format!("{from}ink.safetensors")});
    assert_eq!(server.call("POST", "/functions/v1/installed-models", &server.service, Some(&body)).0, 200);
    let body = json!({"action": "list"});
    let list = || server.call("POST", "/functions/v1/installed-models", &server.service, Some(&body)).1;
    talk::until("it is refused", || {
        list()["downloads"][0]["problem"].to_string().contains("private network")
    });
}
