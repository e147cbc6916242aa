//! Options of a job beyond its prompt: a picture to begin with, a mask, LoRAs; and jobs drawn side by side.

mod common;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use common::Server;
use common::files;
use common::jobs::{distance, drawn, one, queue, refused, result_of, wait_for};
use image::{GrayImage, Luma, RgbImage};
use serde_json::{Value as Json, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens").join(name)
}

fn request(changes: Json) -> Json {
    let mut request =
        json!({"job_type": "sdxl_image_fast", "prompt": "a robot in a forest, night", "seed": 7, "steps": 6});
    for (name, value) in changes.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

fn png_of(picture: impl Into<image::DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

#[test]
fn a_reference_and_a_mask_hold_the_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("painter@example.com");
    let (_, other) = server.sign_up("other@example.com");
    let put = |path: &str, bytes: &[u8]| {
        let answer =
            files::put(&server, &token, &format!("reference_images/{user}/{path}"), "image/png", bytes);
        assert_eq!(answer.status, 200, "{}", answer.text());
        format!("reference_images/{user}/{path}")
    };
    let sunny = RgbImage::from_fn(64, 64, |_, y| image::Rgb([255, 200 - y as u8, 40 + y as u8]));
    let reference = put("sunny.png", &png_of(sunny.clone()));
    let from = |changes: Json| {
        let mut request = request(changes);
        request["reference_image_url"] = json!(reference);
        request
    };
    // `reference_strength` is how much of it stays, `denoise_strength` how much goes.
    let near = drawn(&server, &token, &from(json!({"reference_strength": 0.8})));
    let far = drawn(&server, &token, &from(json!({"denoise_strength": 0.95})));
    assert!(
        distance(&near, &sunny) * 2.0 < distance(&far, &sunny),
        "{} and {}",
        distance(&near, &sunny),
        distance(&far, &sunny)
    );

    let left = GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { 255 } else { 0 }]));
    let mask = put("mask.png", &png_of(left));
    let masked = drawn(&server, &token, &from(json!({"denoise_strength": 1.0, "mask_image_url": mask})));
    let part = |image: &RgbImage, x| image::imageops::crop_imm(image, x, 0, 20, 64).to_image();
    let (kept, redrawn) =
        (distance(&part(&masked, 44), &part(&sunny, 44)), distance(&part(&masked, 0), &part(&sunny, 0)));
    assert!(kept * 2.0 < redrawn, "kept {kept}, redrawn {redrawn}");

    refused(
        &server,
        &token,
        &request(json!({"mask_image_url": mask})),
        400,
        "mask_image_url: needs reference",
    );
    refused(&server, &token, &from(json!({"mask_image_url": "file:///etc/passwd"})), 400, "mask_image_url:");
    refused(&server, &token, &from(json!({"denoise_strength": 1.5})), 400, "denoise_strength");
    refused(&server, &token, &from(json!({"reference_strength": -1})), 400, "reference_strength");
    refused(
        &server,
        &other,
        &from(json!({"mask_image_url": mask})),
        403,
        "no such file that this account may read",
    );
    for (field, path) in [("mask", put("bad.png", b"\x89PNG\r\n\x1a\nno")), ("mask", format!("{mask}x"))] {
        let job = queue(&server, &token, &from(json!({"mask_image_url": path})));
        let row = wait_for(&server, &token, &job, &["failed", "completed"]);
        assert!(
            row["error_message"].as_str().is_some_and(|message| message.starts_with(field)),
            "{path}: {row}"
        );
    }
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn loras_are_named_and_scaled() {
    let models = tempfile::tempdir().expect("a folder");
    copy(&fixture("sd15-tiny"), &models.path().join("tiny"));
    std::fs::create_dir(models.path().join("loras")).expect("a folder");
    let lora = std::fs::read(fixture("lora/kohya.safetensors")).expect("a LoRA");
    std::fs::write(models.path().join("loras/ink.safetensors"), &lora).expect("a file");
    std::fs::write(models.path().join("loras/cut.safetensors"), &lora[..lora.len() / 2]).expect("a file");
    let folder = tempfile::tempdir().expect("a folder");
    let models_dir = models.path().to_string_lossy().into_owned();
    let server = Server::start(folder.path(), &[("PLAYHOUSE_MODELS_DIR", &models_dir)]);
    let (_, token) = server.sign_up("painter@example.com");

    let tiny = |loras: Json| request(json!({"model": "tiny", "steps": 3, "loras": loras}));
    let plain = drawn(&server, &token, &tiny(json!([])));
    let strong = drawn(&server, &token, &tiny(json!([{"name": "ink", "scale": 1.5}])));
    assert!(distance(&plain, &strong) > 1.0, "{}", distance(&plain, &strong));
    assert_eq!(plain, drawn(&server, &token, &tiny(json!([{"name": "ink", "scale": 0}]))));
    let job = queue(&server, &token, &tiny(json!(["ink"])));
    let png = result_of(&server, &token, &job);
    assert!(String::from_utf8_lossy(&png).contains("<lora:ink:1.0>"));
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    assert_eq!(asset["generation_settings"]["loras"], json!([{"name": "ink", "scale": 1.0}]));
    assert_eq!(asset["model_used"], "tiny");

    // As A1111 writes it, and as the PNG tells it.
    let tagged = request(json!({"model": "tiny", "steps": 3, "prompt_syntax": "a1111",
        "prompt": "a robot in a forest, night <lora:ink:1.5>", "metadata": {"num_characters": 2}}));
    let job = queue(&server, &token, &tagged);
    let png = result_of(&server, &token, &job);
    assert_eq!(image::load_from_memory(&png).expect("a picture").to_rgb8(), strong);
    let text = String::from_utf8_lossy(&png);
    let hash = format!("blake3:{}", blake3::hash(&lora).to_hex());
    assert!(text.contains(r#""prompt_syntax":"a1111""#) && text.contains(&hash), "{text}");
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    let settings = &asset["generation_settings"];
    assert_eq!((&settings["num_characters"], &settings["prompt_syntax"]), (&json!(2), &json!("a1111")));
    assert_eq!(settings["prompt"], "a robot in a forest, night <lora:ink:1.5>");
    let save = json!({"action": "save_to_library", "assetId": asset["id"], "tags": null});
    assert_eq!(server.call("POST", "/functions/v1/workspace-actions", &token, Some(&save)).0, 200);
    assert_eq!(one(&server, &token, "/rest/v1/user_library")["tags"], json!(["duo", "role:position"]));
    let oil = request(json!({"model": "tiny", "prompt_syntax": "a1111", "prompt": "a cat <lora:oil:1>"}));
    refused(&server, &token, &oil, 400, "there is no LoRA \"oil\" here");
    let brackets = |syntax: &str, prompt: &str| {
        drawn(
            &server,
            &token,
            &request(json!({"model": "tiny", "steps": 3, "prompt_syntax": syntax, "prompt": prompt})),
        )
    };
    assert_eq!(brackets("a1111", "a (robot:1.4)"), brackets("compel", "a (robot)1.4"));
    assert_ne!(brackets("plain", "a (robot:1.4)"), brackets("a1111", "a (robot:1.4)"));
    assert_ne!(brackets("a1111", "a robot BREAK at night"), brackets("a1111", "a robot at night"));

    for (loras, words) in [
        (json!([{"name": "oil"}]), "loras[0].name: there is no LoRA \"oil\" here; there is cut, ink"),
        (json!(["../tiny/unet/diffusion_pytorch_model"]), "loras[0].name"),
        (json!([{"name": "ink", "scale": 1e9}]), "loras[0].scale"),
        (json!([{"name": "ink", "scale": "much"}]), "loras[0].scale"),
        (json!({"name": "ink"}), "loras: an object is not a list"),
        (json!(["ink", "ink"]), "loras[1].name"),
    ] {
        refused(&server, &token, &tiny(loras), 400, words);
    }
    // A file that does not fit the model, and one that is broken: the job says so and the server goes on.
    for (body, words) in [
        (request(json!({"loras": ["ink"]})), "loras/ink.safetensors: lora_te_text_model"),
        (tiny(json!(["cut"])), "cut.safetensors"),
    ] {
        let job = queue(&server, &token, &body);
        let row = wait_for(&server, &token, &job, &["failed", "completed"]);
        assert_eq!((&row["status"], &row["attempts"]), (&json!("failed"), &json!(1)), "{row}");
        let message = row["error_message"].as_str().expect("a reason");
        assert!(message.contains(words) && !message.contains(&models_dir), "{message}");
    }
    assert_eq!(plain, drawn(&server, &token, &tiny(json!([]))));
    assert_eq!(server.check()["faults"], 0);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file")),
        }
    }
}

#[test]
fn jobs_side_by_side_are_drawn_as_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let accounts = [server.sign_up("first@example.com").1, server.sign_up("second@example.com").1];
    let hold = || {
        let long = queue(&server, &accounts[0], &request(json!({"steps": 200})));
        wait_for(&server, &accounts[0], &long, &["processing"]);
        long
    };
    let cancel = |token: &str, job: &str| {
        let body = json!({"status": "cancelled"});
        assert_eq!(server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{job}"), token, Some(&body)).0, 200);
    };
    // While the device is busy, jobs of two accounts gather that differ in prompt and seed, and one in its steps.
    let long = hold();
    let requests: Vec<Json> = (0..4)
        .map(|seed| request(json!({"seed": seed, "prompt": format!("a boat, {seed}")})))
        .chain([request(json!({"steps": 5}))])
        .collect();
    let jobs: Vec<(&str, String)> = requests
        .iter()
        .enumerate()
        .map(|(place, request)| (accounts[place % 2].as_str(), queue(&server, &accounts[place % 2], request)))
        .collect();
    cancel(&accounts[0], &long);
    let together: Vec<Vec<u8>> = jobs.iter().map(|(token, job)| result_of(&server, token, job)).collect();
    let rows: Vec<Json> =
        jobs.iter().map(|(token, job)| wait_for(&server, token, job, &["completed"])).collect();
    let time = |row: &Json, column: &str| row[column].as_str().expect("a time").to_string();
    let first_end = rows[..4].iter().map(|row| time(row, "completed_at")).min().expect("a time");
    assert!(
        rows[..4].iter().all(|row| time(row, "started_at") < first_end),
        "they were under way together: {rows:?}"
    );
    for (place, request) in requests.iter().enumerate() {
        let alone = queue(&server, &accounts[0], request);
        assert!(result_of(&server, &accounts[0], &alone) == together[place], "{request} differs in a batch");
    }

    // One of them is cancelled, the others go on.
    let long = hold();
    let slow = |seed: u64| request(json!({"seed": seed, "steps": 60}));
    let jobs: Vec<String> = (0..3).map(|seed| queue(&server, &accounts[1], &slow(seed))).collect();
    cancel(&accounts[0], &long);
    jobs.iter().for_each(|job| drop(wait_for(&server, &accounts[1], job, &["processing"])));
    cancel(&accounts[1], &jobs[1]);
    for job in [&jobs[0], &jobs[2]] {
        result_of(&server, &accounts[1], job);
    }
    let row = wait_for(&server, &accounts[1], &jobs[1], &["cancelled"]);
    assert!(row["completed_at"].is_string());
    assert_eq!(
        one(&server, &accounts[1], &format!("/rest/v1/workspace_assets?job_id=eq.{}", jobs[1])),
        Json::Null
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_batch_costs_one_attempt_at_most() {
    let folder = tempfile::tempdir().expect("a folder");
    // The first job has five steps and is drawn alone; the process dies in the second step of the two after it.
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", "job_rendering:7")]);
    let (_, token) = server.sign_up("unlucky@example.com");
    let jobs = [5, 6, 6].map(|steps| queue(&server, &token, &request(json!({"steps": steps}))));
    server.wait_for_death();
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", "job_rendering")]);
    server.wait_for_death();
    let server = Server::start(folder.path(), &[]);
    let attempts: Vec<i64> = jobs
        .iter()
        .map(|job| {
            let row = wait_for(&server, &token, job, &["completed", "failed"]);
            assert_eq!(row["status"], "completed", "{row}");
            let (_, assets) =
                server.call("GET", &format!("/rest/v1/workspace_assets?job_id=eq.{job}"), &token, None);
            assert_eq!(assets.as_array().map(Vec::len), Some(1), "{assets}");
            row["attempts"].as_i64().expect("attempts")
        })
        .collect();
    // Both times the process died a job lost an attempt; only the first time more than one did.
    assert!(attempts.iter().filter(|attempts| **attempts > 2).count() <= 1, "{attempts:?}");
    assert!(attempts.iter().sum::<i64>() > 3, "{attempts:?}");
    assert_eq!(server.check()["faults"], 0);
}
