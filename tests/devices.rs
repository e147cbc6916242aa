//! What models of this machine run on: found at the start, said in the log and in `/health`.

mod common;

use common::Server;
use serde_json::{Value as Json, json};

fn health(server: &Server) -> Json {
    server.call("GET", "/health", &server.service, None).1
}

#[test]
fn the_devices_are_named_to_operators() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_IMAGE_DEVICE", "cpu")]);
    let devices = health(&server)["devices"].take();
    let pictures = &devices["pictures"][0];
    assert_eq!((&pictures["device"], &devices["chats"]["device"]), (&json!("cpu"), &json!("cpu")));
    // What the system calls the processor, and no memory of its own.
    assert!(pictures["memory_bytes"].is_null() && pictures.get("name").is_some(), "{devices}");
    assert_eq!(health(&server)["settings"], json!([]));
    let strangers = server.call("GET", "/health", &server.anon, None).1;
    assert!(strangers.get("devices").is_none(), "{strangers}");
}

#[test]
fn pictures_that_are_left_to_workers_have_no_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    assert_eq!(health(&server)["devices"]["pictures"], json!([]));
}

/// A build for graphics cards starts on a machine without this one, says so, and answers what needs none.
#[cfg(feature = "vulkan")]
#[test]
fn a_device_that_the_machine_lacks_is_named_and_the_rest_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_IMAGE_DEVICE", "vulkan:77")]);
    let health = health(&server);
    let trouble = health["devices"]["pictures"][0]["trouble"].as_str().expect("a reason");
    assert!(trouble.contains("vulkan:77") && trouble.contains("this machine has"), "{trouble}");
    assert!(health["settings"][0].as_str().is_some_and(|text| text.contains("image_device")), "{health}");
}
