//! The official clients, unmodified, against the real binary: see `tests/clients`.

mod common;

use std::process::Command;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::Server;

/// Life of a token where its end is waited for, in seconds.
const TOKEN_S: &str = "12";

fn run(server: &Server, program: &str, script: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    let status = Command::new(program)
        .arg(script)
        .current_dir(folder)
        .env("PLAYHOUSE_URL", &server.url)
        .env("PLAYHOUSE_ANON_KEY", &server.anon)
        .env("PLAYHOUSE_SERVICE_KEY", &server.service)
        .env("PLAYHOUSE_TOKEN_S", TOKEN_S)
        .status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{program} {script}: {status:?}");
}

#[test]
fn the_official_clients_work_unmodified() {
    let folder = tempfile::tempdir().expect("a folder");
    common::install::install("clients");
    let server = Server::start(folder.path(), &[]);
    run(&server, "node", "rest_auth.mjs");
    run(&server, ".venv/bin/python", "rest_auth.py");
    run(&server, "node", "storage.mjs");
    run(&server, ".venv/bin/python", "storage.py");
    run(&server, "node", "pictures.mjs");
    run(&server, "node", "realtime.mjs");
    run(&server, "node", "shapes.mjs");
    run(&server, ".venv/bin/python", "realtime_v1.py");
    run(&server, "node", "replay.mjs");
    assert_eq!(server.check()["faults"], 0);

    // Tokens that end while a socket is open.
    let folder = tempfile::tempdir().expect("a folder");
    let short = Server::start(folder.path(), &[("PLAYHOUSE_ACCESS_TOKEN_S", TOKEN_S)]);
    run(&short, "node", "realtime_tokens.mjs");
    run(&short, ".venv/bin/python", "realtime_tokens_v1.py");

    // The same with tokens that clients verify by themselves, from the published key.
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_JWT_ALGORITHM", "ES256")]);
    let path = format!("{}/auth/v1/.well-known/jwks.json", server.url);
    let (status, keys) = common::get(&path, &[]).expect("the keys");
    assert_eq!((status, keys["keys"][0]["alg"].as_str()), (200, Some("ES256")), "{keys}");
    let (_, token) = server.sign_up("es256@example.com");
    let header = token.split('.').next().and_then(|head| base64::Engine::decode(&URL_SAFE_NO_PAD, head).ok());
    let header: serde_json::Value = serde_json::from_slice(&header.expect("base64")).expect("JSON");
    assert_eq!((&header["alg"], &header["kid"]), (&"ES256".into(), &keys["keys"][0]["kid"]));
    run(&server, "node", "rest_auth.mjs");
    run(&server, ".venv/bin/python", "rest_auth.py");
}
