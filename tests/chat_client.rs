//! Conversations through the official JavaScript client, unmodified: see `tests/clients/chat.mjs`.

mod common;
mod model_server;

use std::process::Command;
use std::time::Duration;

use common::Server;
use model_server::ModelServer;

#[test]
fn the_official_client_streams_a_roleplay() {
    let folder = tempfile::tempdir().expect("a folder");
    common::install::install("clients");
    let model = ModelServer::start(Duration::from_millis(20), 8);
    let server = Server::start(folder.path(), &[]);
    model.become_default(&server);
    let status = Command::new("node")
        .arg("chat.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients"))
        .env("PLAYHOUSE_URL", &server.url)
        .env("PLAYHOUSE_ANON_KEY", &server.anon)
        .env("PLAYHOUSE_SERVICE_KEY", &server.service)
        .status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{status:?}");
    assert_eq!(model.prompts().len(), 2, "what is refused never reaches a model");
}
