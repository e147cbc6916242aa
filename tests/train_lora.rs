//! Training LoRAs: a training goes on where a stop or a kill cut it, its LoRA is its owner's alone, and pictures of the
//! character are drawn with it.

mod common;

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::Server;
use common::files;
use common::jobs::{one, queue, refused, wait_for};
use image::{Rgb, RgbImage};
use serde_json::{Value as Json, json};

/// A character of an account.
fn character(server: &Server, token: &str, user: &str) -> String {
    let row = json!({"user_id": user, "name": "Zum", "description": "a ball", "appearance_tags": ["blue ball", "one eye"]});
    let (status, rows) = server.call("POST", "/rest/v1/characters", token, Some(&row));
    assert_eq!(status, 201, "{rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

/// Pictures of it in the account's folder, by their addresses.
fn pictures(server: &Server, token: &str, user: &str, count: u32) -> Vec<Json> {
    let picture = |number: u32| {
        let picture = RgbImage::from_fn(72, 64, |x, y| {
            let far = (x as i32 - 36).pow(2) + (y as i32 - 30).pow(2);
            match far {
                0..30 => Rgb([250, 250, 250]),
                30..300 => Rgb([40, 80, 220]),
                _ => Rgb([(number * 40) as u8, 200, 90]),
            }
        });
        let mut png = Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
        let path = format!("user-library/{user}/zum/{number}.png");
        let answer = files::put(server, token, &path, "image/png", &png.into_inner());
        assert_eq!(answer.status, 200, "{}", answer.text());
        match number {
            0 => json!(path),
            _ => json!({"url": path, "caption": format!("zum at place {number}")}),
        }
    };
    (0..count).map(picture).collect()
}

/// A PNG whose header says 13000 by 13000 pixels.
fn huge_header() -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    RgbImage::new(8, 8).write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    let mut png = png.into_inner();
    png[16..20].copy_from_slice(&13_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&13_000_u32.to_be_bytes());
    let checksum = !png[12..29].iter().fold(!0u32, |sum, byte| {
        let bit = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        (0..8).fold(sum ^ u32::from(*byte), bit)
    });
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

fn train(server: &Server, token: &str, body: &Json) -> (u16, Json) {
    server.call("POST", "/functions/v1/train-lora", token, Some(body))
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The numbers of a safetensors file, without its header.
fn numbers(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    bytes[8 + header..].to_vec()
}

/// Waits until the job says that it has done more than so many steps; none where it has ended before.
fn wait_for_step(server: &Server, token: &str, job: &str, more_than: u64) -> Option<u64> {
    let started = Instant::now();
    loop {
        let row = one(server, token, &format!("/rest/v1/jobs?id=eq.{job}"));
        let step = row["metadata"]["progress"]["step"].as_u64().unwrap_or(0);
        if step > more_than {
            return Some(step);
        }
        match row["status"].as_str().unwrap_or_default() {
            "queued" | "processing" => {}
            "completed" => return None,
            _ => panic!("{row}"),
        }
        assert!(started.elapsed() < Duration::from_secs(600), "no step after {more_than}: {row}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The row of a training that has ended.
fn ended(server: &Server, token: &str, job: &str) -> Json {
    // No step is beyond all.
    while wait_for_step(server, token, job, u64::MAX).is_some() {}
    one(server, token, &format!("/rest/v1/jobs?id=eq.{job}"))
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_training_outlives_stops_and_kills_and_its_lora_is_its_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let free = [("PLAYHOUSE_CHARGE_CREDITS", "false")];
    let mut server = Server::start(&data, &free);
    let (user, token) = server.sign_up("trainer@example.com");
    let (_, other) = server.sign_up("other@example.com");
    let zum = character(&server, &token, &user);
    let pictures = pictures(&server, &token, &user, 6);
    let asked = json!({
        "character_id": zum, "pictures": pictures, "name": "zum", "rank": 2, "steps": 40, "batch_size": 1, "seed": 3,
    });
    let (status, answer) = train(&server, &token, &asked);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["triggerWord"], &answer["settings"]["alpha"]),
        (&json!("zum"), &json!(2.0)),
        "{answer}"
    );
    let job = answer["jobId"].as_str().expect("an id").to_string();

    // Stopped in order, then killed: it goes on, and says so.
    let step = wait_for_step(&server, &token, &job, 0).expect("it takes more than a turn");
    server.stop();
    server = Server::start(&data, &free);
    if wait_for_step(&server, &token, &job, step).is_some() {
        server.kill();
        server = Server::start(&data, &free);
    }
    let done = ended(&server, &token, &job);
    assert_eq!(done["status"], "completed", "{done}");
    let result = &done["metadata"]["training"];
    let name = format!("accounts/{user}/zum");
    assert_eq!(result["lora"], json!(name));
    assert_eq!(result["loss_curve"].as_array().map(Vec::len), Some(40), "{result}");
    // A turn that passes two quarters draws one picture.
    let samples = result["samples"].as_array().map_or(0, Vec::len);
    assert!((1..=4).contains(&samples), "{result}");
    let models = data.join("models");
    let file = models.join("loras").join(format!("{name}.safetensors"));
    wait_until("what was kept of it stays", || files_of(&models.join(".training")).is_empty());

    // Without a break the numbers are the same.
    let mut again = asked.clone();
    again["name"] = json!("zum_again");
    again["is_default"] = json!(false);
    let (status, answer) = train(&server, &token, &again);
    assert_eq!(status, 200, "{answer}");
    let second = answer["jobId"].as_str().expect("an id").to_string();
    let second = ended(&server, &token, &second);
    assert_eq!(second["status"], "completed", "{second}");
    wait_until("what was kept of it stays", || files_of(&models.join(".training")).is_empty());
    assert!(
        numbers(&file) == numbers(&file.with_file_name("zum_again.safetensors")),
        "it was not the same training"
    );

    // The row is its owner's, and so is the LoRA.
    let row = one(&server, &token, "/rest/v1/character_loras?name=like.*/zum");
    assert_eq!(
        (&row["is_default"], &row["base_model"], &row["trigger_word"]),
        (&json!(true), &json!("starter"), &json!("zum"))
    );
    let sample = row["sample_urls"][samples - 1].as_str().expect("an address");
    assert_eq!(files::get(&server, &token, &format!("/object/{sample}")).status, 200);
    let (_, seen) = server.call("GET", "/rest/v1/character_loras", &other, None);
    assert_eq!(seen, json!([]));
    let drawing = |more: Json| {
        let mut body = json!({"job_type": "sdxl_image_fast", "prompt": "a beach", "seed": 1, "steps": 1});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        body
    };
    for known in [name.as_str(), "zum"] {
        let body = drawing(json!({"loras": [{"name": known}]}));
        refused(&server, &other, &body, 400, "loras[0].name");
        let drawn = queue(&server, &token, &body);
        assert_eq!(wait_for(&server, &token, &drawn, &["completed", "failed"])["status"], "completed");
    }
    let stolen = json!({"name": format!("accounts/{user}/stolen")});
    let id = row["id"].as_str().expect("an id");
    let (status, _) =
        server.call("PATCH", &format!("/rest/v1/character_loras?id=eq.{id}"), &token, Some(&stolen));
    assert_eq!(status, 403, "what a training made is not changed");

    // Pictures of the character are drawn with it, by default and by choice.
    let lora_of = |more: Json| {
        let job = queue(&server, &token, &drawing(json!({"metadata": more})));
        let row = wait_for(&server, &token, &job, &["completed", "failed"]);
        assert_eq!(row["status"], "completed", "{row}");
        row["metadata"]["consistency"]["lora"]["name"].clone()
    };
    assert_eq!(lora_of(json!({"character_id": zum})), json!(name));
    assert_eq!(lora_of(json!({"character_id": zum, "character_lora": "none"})), Json::Null);
    let chosen = lora_of(json!({"character_id": zum, "character_lora": "zum_again"}));
    assert_eq!(chosen, json!(format!("accounts/{user}/zum_again")));
    let unknown = drawing(json!({"metadata": {"character_id": zum, "character_lora": "zam"}}));
    refused(&server, &token, &unknown, 400, "character_lora");

    // With its row goes the file.
    let (status, _) = server.call("DELETE", &format!("/rest/v1/character_loras?id=eq.{id}"), &token, None);
    assert!([200, 204].contains(&status), "{status}");
    wait_until("the file stays", || !file.exists());
}

#[test]
fn a_training_is_refused_by_field_costs_credits_and_can_be_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let (user, token) = server.sign_up("trainer@example.com");
    let (_, other) = server.sign_up("other@example.com");
    let zum = character(&server, &token, &user);
    let pictures = pictures(&server, &token, &user, 5);
    let asked = json!({"character_id": zum, "pictures": pictures, "steps": 5000, "batch_size": 1, "rank": 2});
    let with = |name: &str, value: Json| {
        let mut body = asked.clone();
        body[name] = value;
        body
    };
    let mut doubled = pictures.clone();
    doubled[4] = pictures[1].clone();
    let huge = format!("user-library/{user}/zum/huge.png");
    let answer = files::put(&server, &token, &huge, "image/png", &huge_header());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut with_huge = pictures.clone();
    with_huge[3] = json!(huge);
    for (name, value, field) in [
        ("pictures", json!(doubled), "pictures[4].url"),
        ("pictures", json!(with_huge), "pictures[3].url"),
        ("pictures", json!(pictures[..4]), "pictures"),
        ("pictures", json!([]), "pictures"),
        ("pictures", json!([1, 2, 3, 4, 5]), "pictures[0]"),
        ("pictures", json!(vec!["user-library/unknown/x.png"; 5]), "pictures[0].url"),
        ("rank", json!(0), "rank"),
        ("steps", json!(1_000_000), "steps"),
        ("learning_rate", json!(5), "learning_rate"),
        ("resolution", json!(7), "resolution"),
        ("name", json!("../zum"), "name"),
        ("trigger_word", json!("two words"), "trigger_word"),
        ("model", json!("nothing"), "model"),
        ("character_id", json!("8a2f0c0e-0000-4000-8000-000000000000"), "character_id"),
    ] {
        let (status, answer) = train(&server, &token, &with(name, value));
        assert!([400, 403, 404].contains(&status), "{name}: {status} {answer}");
        assert!(answer.to_string().contains(field), "{name}: {answer}");
    }
    // Another account has neither the character nor the pictures.
    assert_eq!(train(&server, &other, &asked).0, 404);

    let balance = |server: &Server| {
        one(server, &token, &format!("/rest/v1/profiles?id=eq.{user}"))["token_balance"]
            .as_i64()
            .expect("a number")
    };
    // No model looks at the pictures of an account that cannot pay.
    let (status, answer) = train(&server, &token, &with("captions", json!("describe-image")));
    assert_eq!(status, 402, "{answer}");
    let rich = json!({"token_balance": 1000});
    let (status, _) =
        server.call("PATCH", &format!("/rest/v1/profiles?id=eq.{user}"), &server.service, Some(&rich));
    assert_eq!(status, 200);
    let keyed = |body: &Json| {
        let headers = [("idempotency-key", "once")];
        server.call_with("POST", "/functions/v1/train-lora", &token, Some(body), &headers)
    };
    let (status, answer) = keyed(&asked);
    assert_eq!((status, &answer["credits"]), (200, &json!(105)), "{answer}");
    assert_eq!(balance(&server), 895);
    // The name is taken by what waits.
    let second = character(&server, &token, &user);
    let (status, refused) = train(&server, &token, &with("character_id", json!(second)));
    assert_eq!((status, &refused["details"]["field"]), (409, &json!("name")), "{refused}");
    // The key is looked at before anything else, and the answer is of what was queued then.
    let other_request = json!({"character_id": zum, "steps": 3, "captions": "describe-image"});
    let (status, again) = keyed(&other_request);
    assert_eq!(
        (status, &again["existed"], &again["jobId"]),
        (200, &json!(true), &answer["jobId"]),
        "{again}"
    );
    assert_eq!((&again["settings"], &again["credits"]), (&answer["settings"], &json!(105)), "{again}");
    assert_eq!(balance(&server), 895);
    let job = answer["jobId"].as_str().expect("an id").to_string();
    wait_for_step(&server, &token, &job, 0);
    // Pictures are drawn between its steps.
    let drawn = queue(&server, &token, &common::jobs::picture("a cat"));
    assert_eq!(wait_for(&server, &token, &drawn, &["completed", "failed"])["status"], "completed");
    let still = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{job}"));
    assert_eq!(still["status"], "processing", "{still}");
    let cancel = json!({"status": "cancelled"});
    let before = balance(&server);
    let (status, rows) = server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{job}"), &token, Some(&cancel));
    assert_eq!(status, 200, "{rows}");
    assert_eq!(balance(&server), before + 105, "what was reserved is back");
    wait_until("what was kept of it stays", || files_of(&data.join("models/.training")).is_empty());
    let (_, loras) = server.call("GET", "/rest/v1/character_loras", &token, None);
    assert_eq!(loras, json!([]));

    // What an administrator ends is paid back to the account, and what one asks for is the account's as well, for nothing.
    let (admin, admins) = server.sign_up("admin@example.com");
    let role = json!({"user_id": admin, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let (status, answer) = train(&server, &token, &asked);
    assert_eq!((status, balance(&server)), (200, before), "{answer}");
    let end = |job: &str| server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{job}"), &admins, Some(&cancel));
    assert_eq!(end(answer["jobId"].as_str().expect("an id")).0, 200);
    assert_eq!(balance(&server), before + 105, "to the account that it was for");
    let headers = [("idempotency-key", "for-her")];
    let for_her = || server.call_with("POST", "/functions/v1/train-lora", &admins, Some(&asked), &headers);
    let (status, answer) = for_her();
    assert_eq!((status, &answer["credits"]), (200, &json!(0)), "{answer}");
    let job = answer["jobId"].as_str().expect("an id").to_string();
    assert_eq!(for_her().1["jobId"], json!(job), "the same training");
    let row = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{job}"));
    assert_eq!(row["user_id"], json!(user), "{row}");
    assert_eq!(end(&job).0, 200);
    assert_eq!(balance(&server), before + 105);
    let admins_own = server.call("GET", "/rest/v1/workspace_assets", &admins, None).1;
    assert_eq!(admins_own, json!([]));
}

#[test]
fn the_command_trains_on_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let pictures = folder.path().join("zum");
    std::fs::create_dir(&pictures).expect("a folder");
    for number in 0..5u8 {
        let picture = RgbImage::from_pixel(64, 64, Rgb([number * 40, 90, 200]));
        picture.save(pictures.join(format!("{number}.png"))).expect("a file");
        std::fs::write(pictures.join(format!("{number}.txt")), format!("zum {number}")).expect("a file");
    }
    let models = folder.path().join("models");
    let train = |more: &[&str]| {
        let mut command = std::process::Command::new(common::binary());
        command.arg("train-lora").arg(&pictures).arg("--models-dir").arg(&models);
        command.args(["--set", "rank=1", "--set", "batch_size=1"]).args(more);
        command.env("PLAYHOUSE_DATA", folder.path().join("data"));
        command.output().expect("it runs")
    };
    let refused = train(&["--set", "steps=0"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("steps"), "{refused:?}");
    // What another training has left is neither gone on with nor written over.
    let half_done = models.join(".training/zum");
    std::fs::create_dir_all(&half_done).expect("a folder");
    let header = br#"{"__metadata__":{"of":"another"}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], &header[..]].concat();
    std::fs::write(half_done.join("checkpoint.safetensors"), file).expect("a file");
    let refused = train(&["--set", "steps=3"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another training"), "{refused:?}");
    std::fs::remove_dir_all(&half_done).expect("a folder");
    let done = train(&["--set", "steps=3"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let answer: Json = serde_json::from_slice(&done.stdout).expect("JSON");
    let file = models.join("loras/zum.safetensors");
    assert_eq!(answer["file"], json!(file), "{answer}");
    assert!(file.is_file() && files_of(&models.join(".training")).is_empty());
    assert!(!train(&["--set", "steps=3"]).status.success(), "what is there is not written over");
}

#[test]
fn a_lora_of_a_minor_is_in_no_nsfw_job_and_none_is_trained_for_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // What a training and an account that are gone have left.
    let gone = "8a2f0c0e-0000-4000-8000-000000000000";
    let left = [format!("models/.training/{gone}"), format!("models/loras/accounts/{gone}")];
    for left in left.iter().map(|left| data.join(left)) {
        std::fs::create_dir_all(&left).expect("a folder");
        std::fs::write(left.join("x.safetensors"), b"").expect("a file");
    }
    let server = Server::start(&data, &[]);
    let (user, token) = server.sign_up("adult@example.com");
    let verified = json!({"birth_date": "1990-01-01", "age_verified": true});
    let profile = format!("/rest/v1/profiles?id=eq.{user}");
    assert_eq!(server.call("PATCH", &profile, &server.service, Some(&verified)).0, 200);
    let zum = character(&server, &token, &user);
    let change = json!({"age_range": "teen"});
    let (status, rows) =
        server.call("PATCH", &format!("/rest/v1/characters?id=eq.{zum}"), &token, Some(&change));
    assert_eq!(status, 200, "{rows}");
    let own = data.join("models/loras/accounts").join(&user);
    std::fs::create_dir_all(&own).expect("a folder");
    for name in ["zum", "unknown"] {
        std::fs::write(own.join(format!("{name}.safetensors")), b"").expect("a file");
    }
    let row = json!({
        "user_id": user, "character_id": zum, "name": format!("accounts/{user}/zum"), "trigger_word": "zum",
        "base_model": "starter",
    });
    let (status, rows) = server.call("POST", "/rest/v1/character_loras", &server.service, Some(&row));
    assert_eq!(status, 201, "{rows}");
    for left in left {
        wait_until("it stays", || !data.join(&left).exists());
    }
    let nsfw = json!({"contentType": "nsfw"});
    for (name, words) in [("zum", "minor"), ("unknown", "sfw jobs")] {
        let plain = json!({"job_type": "sdxl_image_fast", "prompt": "a beach", "metadata": nsfw});
        let mut body = plain.clone();
        body["loras"] = json!([{"name": name}]);
        refused(&server, &token, &body, if name == "zum" { 422 } else { 400 }, words);
        let mut body = plain.clone();
        body["prompt"] = json!(format!("a beach <lora:{name}:1>"));
        body["prompt_syntax"] = json!("a1111");
        refused(&server, &token, &body, if name == "zum" { 422 } else { 400 }, words);
    }
    let asked = json!({"character_id": zum, "content_mode": "nsfw"});
    let (status, answer) = train(&server, &token, &asked);
    assert_eq!(status, 422, "{answer}");

    // Nor is the LoRA of an adult trained on pictures of her.
    let shown = pictures(&server, &token, &user, 5);
    let portrait = json!({"character_id": zum, "image_url": shown[3]["url"]});
    assert_eq!(server.call("POST", "/rest/v1/character_portraits", &token, Some(&portrait)).0, 201);
    let grown = character(&server, &token, &user);
    let asked = json!({"character_id": grown, "pictures": shown, "name": "grown"});
    let (status, answer) = train(&server, &token, &asked);
    assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{answer}");
    assert!(answer["error"].as_str().is_some_and(|it| it.starts_with("pictures[3].url: ")), "{answer}");
}

#[test]
fn samples_of_a_minors_training_lead_no_nsfw_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "false")]);
    let adult = |email: &str| {
        let (user, token) = server.sign_up(email);
        let verified = json!({"birth_date": "1990-01-01", "age_verified": true});
        let profile = format!("/rest/v1/profiles?id=eq.{user}");
        assert_eq!(server.call("PATCH", &profile, &server.service, Some(&verified)).0, 200);
        (user, token)
    };
    let ((user, token), (other, others)) = (adult("adult@example.com"), adult("other@example.com"));
    let ask = |token: &str, picture: &str| {
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "a beach", "reference_image_url": picture,
            "metadata": {"contentType": "nsfw"}});
        server.call("POST", "/functions/v1/queue-job", token, Some(&body))
    };
    let zum = character(&server, &token, &user);
    let path = format!("/rest/v1/characters?id=eq.{zum}");
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"age_range": "teen"}))).0, 200);
    let shown = pictures(&server, &token, &user, 5);
    let asked = json!({"character_id": zum, "pictures": shown, "name": "zum", "rank": 1, "steps": 4, "batch_size": 1});
    let (status, answer) = train(&server, &token, &asked);
    assert_eq!(status, 200, "{answer}");
    let done = ended(&server, &token, answer["jobId"].as_str().expect("an id"));
    assert_eq!(done["status"], "completed", "{done}");
    let sample = done["metadata"]["training"]["samples"][0].as_str().expect("a sample").to_string();
    // In another account nothing but the bytes leads back.
    let bytes = files::get(&server, &token, &format!("/object/{sample}")).bytes;
    let copy = format!("user-library/{other}/copy.png");
    assert_eq!(files::put(&server, &others, &copy, "image/png", &bytes).status, 200);
    let (status, answer) = ask(&others, &copy);
    assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{answer}");
    // The LoRA stays a minor's when its character grows up.
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"age_range": "adult"}))).0, 200);
    let lora = format!("/rest/v1/character_loras?name=eq.accounts/{user}/zum");
    let (status, answer) = server.call("PATCH", &lora, &token, Some(&json!({"shows_minor": false})));
    assert!(status >= 400, "its owner may not say so: {status} {answer}");
    let body = json!({"job_type": "sdxl_image_fast", "prompt": "a beach", "loras": ["zum"],
        "metadata": {"contentType": "nsfw"}});
    refused(&server, &token, &body, 422, "trained on a minor");
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"age_range": "teen"}))).0, 200);
    // Samples of before have no mark: the row of their LoRA names them.
    let old = format!("user-library/{user}/loras/old/step-1.png");
    assert_eq!(files::put(&server, &token, &old, "image/png", b"a sample").status, 200);
    assert_eq!(ask(&token, &old).0, 200);
    let row = json!({"user_id": user, "character_id": zum, "name": format!("accounts/{user}/old"),
        "trigger_word": "zum", "base_model": "starter", "sample_urls": [old]});
    assert_eq!(server.call("POST", "/rest/v1/character_loras", &server.service, Some(&row)).0, 201);
    assert_eq!(ask(&token, &old).0, 422);
}
