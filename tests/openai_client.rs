//! OpenAI's own Python client, unmodified, against the real binary: see `tests/clients/openai_dialect.py`.

mod common;
mod talk;

use std::process::Command;

use common::Server;

fn run(server: &Server, has_chat: bool) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
    let status = Command::new(".venv/bin/python")
        .arg("openai_dialect.py")
        .current_dir(folder)
        .env("PLAYHOUSE_URL", &server.url)
        .env("PLAYHOUSE_ANON_KEY", &server.anon)
        .env("PLAYHOUSE_SERVICE_KEY", &server.service)
        .env("PLAYHOUSE_CHAT_MODEL_THERE", if has_chat { "1" } else { "0" })
        .status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{status:?}");
}

#[test]
fn the_official_openai_client_works_unmodified() {
    common::install::install("clients");
    let folder = tempfile::tempdir().expect("a folder");
    run(&Server::start(folder.path(), &[]), false);
    let folder = tempfile::tempdir().expect("a folder");
    run(&talk::start(folder.path()), true);
}
