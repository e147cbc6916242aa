//! What models of this machine run on: found at the start, said in the log and in `/health`; what cards draw, and what becomes
//! of one that fails.

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

/// What `tests/gpu.sh` names, a driver on the processor for instance; without it there is nothing to draw on.
#[cfg(feature = "vulkan")]
fn card() -> Option<String> {
    let card = std::env::var("PLAYHOUSE_GOLDENS_DEVICE").ok();
    if card.is_none() {
        println!("devices: skipped: PLAYHOUSE_GOLDENS_DEVICE names no device to draw on");
    }
    card
}

/// The same picture as the processor's within the distance that `verify-picture` calls close.
#[cfg(feature = "vulkan")]
#[test]
fn a_picture_of_a_card_is_close_to_that_of_the_processor() {
    let Some(card) = card() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[("PLAYHOUSE_IMAGE_DEVICE", &card)]);
    let found = health(&server)["devices"]["pictures"][0].take();
    assert!(
        found["device"] == card && found["name"].is_string() && found.get("trouble").is_none(),
        "{found}"
    );
    let (_, token) = server.sign_up("painter@example.com");
    let job = common::jobs::queue(&server, &token, &common::jobs::picture("a woman with red hair in a park"));
    let row = common::jobs::wait_for(&server, &token, &job, &["completed", "failed"]);
    assert!(row["metadata"]["warnings"].is_null(), "{row}");
    let path = folder.path().join("drawn.png");
    std::fs::write(&path, common::jobs::result_of(&server, &token, &job)).expect("a file");
    let mut verify = std::process::Command::new(common::binary());
    verify.arg("verify-picture").arg(&path).env("PLAYHOUSE_IMAGE_DEVICE", "cpu");
    let output = verify.arg("--data").arg(folder.path().join("none")).output().expect("the binary runs");
    let said: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    println!("devices: {card} drew in {} ms; {said}", row["metadata"]["generation_time_ms"]);
    assert!(output.status.success() && said["result"] != "different", "{said}");
}

/// What a server on this device, with weights of this type, made of a job; else why it did not.
#[cfg(feature = "vulkan")]
fn drawn_on(device: &str, weights: &str) -> Result<image::RgbImage, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [("PLAYHOUSE_IMAGE_DEVICE", device), ("PLAYHOUSE_IMAGE_WEIGHTS", weights)];
    let server = Server::start(folder.path(), &settings);
    let (_, token) = server.sign_up("painter@example.com");
    let job = common::jobs::queue(&server, &token, &common::jobs::picture("a woman with red hair in a park"));
    let row = common::jobs::wait_for(&server, &token, &job, &["completed", "failed"]);
    if let Some(message) = row["error_message"].as_str() {
        return Err(message.to_string());
    }
    let bytes = common::jobs::result_of(&server, &token, &job);
    Ok(image::load_from_memory(&bytes).expect("a picture").to_rgb8())
}

/// The same picture with other details, off by a few of 255 in the mean. A driver without bf16 says so: few have it.
#[cfg(feature = "vulkan")]
#[test]
fn weights_of_16_bits_draw_the_same_picture_on_a_card_or_are_refused() {
    let Some(card) = card() else { return };
    let whole = drawn_on("cpu", "f32").expect("a picture");
    for (weights, name) in [("f16", "F16"), ("bf16", "Bf16")] {
        match drawn_on(&card, weights) {
            Ok(picture) => {
                let far = common::jobs::distance(&whole, &picture);
                println!("devices: {card} in {weights} is {far:.2} of 255 from the processor in f32");
                assert!(far < 6.0, "{weights}: {far}");
            }
            Err(message) => {
                println!("devices: {message}");
                assert!(message.contains(&format!("has no {name}")), "{message}");
            }
        }
    }
}

/// Each takes the next job that waits; the record of a picture says which one drew it.
#[cfg(feature = "vulkan")]
#[test]
fn a_card_and_the_processor_draw_side_by_side_and_each_job_once() {
    let Some(card) = card() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let both = format!("{card},cpu");
    let settings = [("PLAYHOUSE_IMAGE_DEVICE", both.as_str()), ("PLAYHOUSE_CHARGE_CREDITS", "false")];
    let server = Server::start(folder.path(), &settings);
    let found = health(&server)["devices"]["pictures"].take();
    let found = found.as_array().expect("a list");
    assert!(found.len() == 2 && found.iter().all(|it| it.get("trouble").is_none()), "{found:?}");
    let (_, token) = server.sign_up("painter@example.com");
    // Jobs of so many kinds, lest some are drawn together.
    let queued = |more: u64| {
        let mut job = common::jobs::picture("a boat");
        job["steps"] = json!(4 + more);
        common::jobs::queue(&server, &token, &job)
    };
    let jobs: Vec<String> = (0..6).map(queued).collect();
    let mut here = 0;
    for job in &jobs {
        let row = common::jobs::wait_for(&server, &token, job, &["completed", "failed"]);
        assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(1)), "{row}");
        let assets = format!("/rest/v1/workspace_assets?job_id=eq.{job}");
        let (_, assets) = server.call("GET", &assets, &token, None);
        assert_eq!(assets.as_array().map(Vec::len), Some(1), "{assets}");
        let bytes = common::jobs::result_of(&server, &token, job);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains(r#""computed":{"weights":"f32","device":""#), "the record does not say it");
        here += usize::from(text.contains(r#""computed":{"weights":"f32","device":"cpu"}"#));
    }
    println!("devices: {card} drew {} and the processor {here} of {}", jobs.len() - here, jobs.len());
    assert!((1..jobs.len()).contains(&here), "one of them drew all");
}

/// A driver that fails for good loses its device until the next start; the processor draws meanwhile, and says so.
#[cfg(feature = "vulkan")]
#[test]
fn the_processor_draws_where_the_driver_of_a_card_failed() {
    let Some(card) = card() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let plan = "job_rendering:2-2:The device is poisoned\nCaused by:\n  it was reset";
    let settings = [("PLAYHOUSE_IMAGE_DEVICE", card.as_str()), ("PLAYHOUSE_PANIC_AT", plan)];
    let server = Server::start(folder.path(), &settings);
    let (_, token) = server.sign_up("painter@example.com");
    let drawn = || {
        let job = common::jobs::queue(&server, &token, &common::jobs::picture("a boat"));
        let row = common::jobs::wait_for(&server, &token, &job, &["completed", "failed"]);
        assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(1)), "{row}");
        assert!(row["metadata"]["warnings"].to_string().contains("driver failed for good"), "{row}");
        common::jobs::result_of(&server, &token, &job)
    };
    assert!(drawn() == drawn(), "the same job gave other bytes on the processor");
    let devices = health(&server)["devices"].take();
    let trouble = devices["pictures"][0]["trouble"].as_str().expect("what became of it");
    assert!(trouble.contains("poisoned"), "{devices}");
}
