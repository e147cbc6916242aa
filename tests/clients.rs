//! The official clients, unmodified, against the real binary: see `tests/clients`.

mod common;

use std::process::Command;

use common::Server;

fn run(server: &Server, program: &str, script: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    let status = Command::new(program)
        .arg(script)
        .current_dir(folder)
        .env("PLAYHOUSE_URL", &server.url)
        .env("PLAYHOUSE_ANON_KEY", &server.anon)
        .env("PLAYHOUSE_SERVICE_KEY", &server.service)
        .status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{program} {script}: {status:?}");
}

#[test]
fn the_official_clients_work_unmodified() {
    let folder = tempfile::tempdir().expect("a folder");
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/install.sh");
    assert!(
        Command::new("bash").arg(install).status().is_ok_and(|status| status.success()),
        "the clients install"
    );
    let server = Server::start(folder.path(), &[]);
    run(&server, "node", "rest_auth.mjs");
    run(&server, ".venv/bin/python", "rest_auth.py");
    run(&server, "node", "replay.mjs");
    assert_eq!(server.check()["faults"], 0);
}
