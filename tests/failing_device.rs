//! A device that fails in the middle of a job, and model files that go away: the job says so, and the next one is drawn.

mod common;
mod model_server;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::Server;
use common::files;
use common::jobs::{self, one, picture, queue, result_of, wait_for};
use model_server::Stream;
use serde_json::{Value as Json, json};

/// A server whose device says these words at some steps, counted over all jobs.
fn failing(folder: &Path, steps: &str, words: &str) -> Server {
    Server::start(folder, &[("PLAYHOUSE_PANIC_AT", &format!("job_rendering:{steps}:{words}"))])
}

fn ended(server: &Server, token: &str, job: &str) -> Json {
    wait_for(server, token, job, &["completed", "failed"])
}

fn message(row: &Json) -> &str {
    row["error_message"].as_str().unwrap_or_default()
}

#[test]
fn a_job_without_memory_saves_some_or_says_so_and_the_next_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = "failed:\n  out of device memory allocating 4096 bytes\nBacktrace:\n  0: somewhere";
    // The first job fails once, then twice: as a whole and in small tiles.
    let server = failing(folder.path(), "1-1", words);
    let (_, token) = server.sign_up("painter@example.com");
    let job = queue(&server, &token, &picture("a boat"));
    let row = ended(&server, &token, &job);
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(1)), "{row}");
    assert!(row["metadata"]["warnings"].to_string().contains("small tiles"), "{row}");
    drop(server);

    let server = failing(folder.path(), "1-2", words);
    // The next one waits until it has failed, for two of one kind would be drawn at once first.
    let job = queue(&server, &token, &picture("a boat"));
    let row = ended(&server, &token, &job);
    assert_eq!((&row["status"], &row["attempts"]), (&json!("failed"), &json!(1)), "{row}");
    for said in ["too little memory", "in small tiles", "a smaller size", "allocating 4096 bytes"] {
        assert!(message(&row).contains(said), "{said}: {row}");
    }
    assert!(!message(&row).contains("somewhere"), "{row}");
    let profile = one(&server, &token, "/rest/v1/profiles?select=token_balance");
    assert_eq!(profile["token_balance"], 99, "what failed costs nothing");
    let next = queue(&server, &token, &picture("a boat"));
    result_of(&server, &token, &next);
    let row = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{next}"));
    assert!(!row["metadata"]["warnings"].to_string().contains("small tiles"), "{row}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_driver_that_fails_costs_an_attempt_and_the_job_says_so_when_none_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = failing(folder.path(), "2-2", "the queue hangs");
    let (_, token) = server.sign_up("painter@example.com");
    let whole = queue(&server, &token, &picture("a boat"));
    let row = ended(&server, &token, &whole);
    assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(2)), "{row}");
    drop(server);

    let server = failing(folder.path(), "1-3", "the queue hangs");
    let job = queue(&server, &token, &picture("a boat"));
    let row = ended(&server, &token, &job);
    assert_eq!((&row["status"], &row["attempts"]), (&json!("failed"), &json!(3)), "{row}");
    assert!(message(&row).contains("the queue hangs"), "{row}");
    let next = queue(&server, &token, &picture("a boat"));
    assert!(result_of(&server, &token, &next) == result_of(&server, &token, &whole), "another picture");
}

/// A model of the goldens in the folder of a server that is to start.
fn placed(data: &Path, name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sd15-tiny");
    let models = data.join("models");
    std::fs::create_dir_all(&models).expect("a folder");
    let to = models.join(name);
    let copied = Command::new("cp").arg("-r").args([&from, &to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{}", to.display());
    to
}

#[test]
fn a_model_that_vanishes_is_named_and_the_next_job_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = placed(folder.path(), "fleeting");
    let cut = placed(folder.path(), "cut");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("painter@example.com");
    let by = |model: &str, steps: u64| {
        json!({"job_type": "sdxl_image_fast", "prompt": "a boat", "seed": 7, "steps": steps, "model": model,
            "width": 32, "height": 32})
    };
    // What is being drawn has the model in memory.
    let drawing = queue(&server, &token, &by("fleeting", 200));
    wait_for(&server, &token, &drawing, &["processing"]);
    let mut stream = Stream::open(&server, &token, "job-progress", &json!({"job_id": drawing}));
    let is_step = |(_, data): &(String, Json)| data["step"].as_u64().is_some_and(|step| step > 0);
    std::iter::from_fn(|| stream.next()).find(is_step).expect("a step");
    // What waits has it no more, and a file that is cut is no model either.
    let waiting = queue(&server, &token, &by("fleeting", 4));
    let broken = queue(&server, &token, &by("cut", 4));
    let next = queue(&server, &token, &picture("a boat"));
    std::fs::remove_dir_all(&model).expect("the model goes");
    let weights = cut.join("unet/diffusion_pytorch_model.safetensors");
    let file = std::fs::File::options().write(true).open(&weights).expect("the weights");
    let length = file.metadata().expect("their length").len();
    file.set_len(length / 2).expect("half of them");
    assert_eq!(ended(&server, &token, &drawing)["status"], "completed");
    let row = ended(&server, &token, &waiting);
    assert_eq!(row["status"], "failed", "{row}");
    assert!(message(&row).contains("fleeting"), "{row}");
    let row = ended(&server, &token, &broken);
    assert_eq!(row["status"], "failed", "{row}");
    assert!(message(&row).contains("diffusion_pytorch_model.safetensors"), "{row}");
    result_of(&server, &token, &next);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_training_without_memory_goes_on_alone_or_says_so() {
    let words = "failed:\n  out of device memory allocating 4096 bytes\nBacktrace:\n  0: somewhere";
    // Once: all else leaves the device, and the training goes on from its last step. Twice: it says so.
    for (steps, status, said) in [
        ("3-3", "completed", ""),
        ("3-4", "failed", "resolution, rank: the device's memory does not suffice"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = format!("training_step:{steps}:{words}");
        let settings = [("PLAYHOUSE_PANIC_AT", plan.as_str()), ("PLAYHOUSE_CHARGE_CREDITS", "false")];
        let server = Server::start(folder.path(), &settings);
        let (user, token) = server.sign_up("trainer@example.com");
        let row = json!({"user_id": user, "name": "Zum", "description": "a ball"});
        let character = server.call("POST", "/rest/v1/characters", &token, Some(&row)).1[0]["id"].clone();
        let picture = |number: u8| {
            let mut png = std::io::Cursor::new(Vec::new());
            let drawn = image::RgbImage::from_pixel(64, 64, image::Rgb([number * 40, 80, 220]));
            drawn.write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
            let path = format!("user-library/{user}/{number}.png");
            assert_eq!(files::put(&server, &token, &path, "image/png", png.get_ref()).status, 200);
            json!({"url": path, "caption": format!("zum at place {number}")})
        };
        let pictures: Vec<Json> = (0..5).map(picture).collect();
        let asked = json!({"character_id": character, "pictures": pictures, "name": "zum", "rank": 2,
            "steps": 6, "batch_size": 1, "seed": 3});
        let (code, answer) = server.call("POST", "/functions/v1/train-lora", &token, Some(&asked));
        assert_eq!(code, 200, "{answer}");
        let row = ended(&server, &token, answer["jobId"].as_str().expect("an id"));
        assert_eq!((row["status"].as_str(), &row["attempts"]), (Some(status), &json!(1)), "{row}");
        assert!(message(&row).starts_with(said) && !message(&row).contains("somewhere"), "{row}");
        let next = queue(&server, &token, &jobs::picture("a boat"));
        result_of(&server, &token, &next);
        assert_eq!(server.check()["faults"], 0);
    }
}
