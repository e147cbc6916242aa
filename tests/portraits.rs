//! Portraits: as many as were asked for, for their price, kept whole or not at all; and what `high` means.

mod common;

use std::path::Path;

use common::Server;
use common::files;
use common::jobs::{one, queue, wait_for};
use serde_json::{Value as Json, json};

/// Starts with a model that draws nothing to look at, but quickly.
fn start(data: &Path, environment: &[(&str, &str)]) -> Server {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sd15-tiny");
    copy(&fixture, &data.join("models/tiny"));
    let mut all = vec![("PLAYHOUSE_IMAGE_MODEL", "tiny")];
    all.extend_from_slice(environment);
    Server::start(data, &all)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file");
        }
    }
}

fn character(server: &Server, user: &str, token: &str) -> String {
    let row =
        json!({"user_id": user, "name": "Mira", "description": "A lighthouse keeper.", "is_public": false});
    let (status, rows) = server.call("POST", "/rest/v1/characters", token, Some(&row));
    assert_eq!(status, 201, "{rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

fn balance(server: &Server, token: &str) -> i64 {
    one(server, token, "/rest/v1/profiles?select=token_balance")["token_balance"].as_i64().expect("a number")
}

fn rows(server: &Server, token: &str, path: &str) -> Vec<Json> {
    let (status, rows) = server.call("GET", path, token, None);
    assert_eq!(status, 200, "{path}: {rows}");
    rows.as_array().expect("rows").clone()
}

fn portrait(server: &Server, token: &str, body: &Json) -> (u16, Json) {
    server.call("POST", "/functions/v1/character-portrait", token, Some(body))
}

/// Asserts that a character has so many portraits, in every place where they stand; their paths in the library.
fn assert_kept(server: &Server, token: &str, character: &str, count: usize) -> Vec<String> {
    let portraits = rows(
        server,
        token,
        &format!("/rest/v1/character_portraits?character_id=eq.{character}&order=created_at"),
    );
    assert_eq!(portraits.len(), count, "{portraits:?}");
    let primary = portraits.iter().filter(|row| row["is_primary"] == true).count();
    assert_eq!(primary, count.min(1), "{portraits:?}");
    let library = rows(
        server,
        token,
        &format!(
            "/rest/v1/user_library?character_id=eq.{character}&output_type=eq.portrait&order=created_at"
        ),
    );
    assert_eq!(library.len(), count, "{library:?}");
    let mut paths = Vec::new();
    for row in &library {
        let path = row["storage_path"].as_str().expect("a path").to_string();
        for name in [&row["storage_path"], &row["thumbnail_path"]] {
            let name = name.as_str().expect("a path");
            assert_eq!(
                files::get(server, token, &format!("/object/user-library/{name}")).status,
                200,
                "{name}"
            );
        }
        assert!(portraits.iter().any(|it| it["image_url"] == format!("user-library/{path}")), "{path}");
        paths.push(path);
    }
    let row = one(server, token, &format!("/rest/v1/characters?id=eq.{character}"));
    assert_eq!(row["portrait_count"], count, "{row}");
    assert_eq!(row["image_url"].is_string(), count > 0, "{row}");
    paths
}

#[test]
fn a_portrait_is_drawn_kept_and_charged_as_often_as_it_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "true")]);
    let (user, token) = server.sign_up("ada@example.com");
    let mira = character(&server, &user, &token);
    let before = balance(&server, &token);
    let ask = json!({"characterId": mira, "numImages": 2, "seed": 3});
    let (status, answer) = portrait(&server, &token, &ask);
    assert_eq!((status, &answer["batchCount"]), (200, &json!(2)), "{answer}");
    assert_eq!(before - balance(&server, &token), 4, "two pictures of high quality");
    let paths = assert_kept(&server, &token, &mira, 2);
    let urls = answer["imageUrls"].as_array().expect("addresses");
    assert_eq!((urls.len(), &answer["imageUrl"]), (2, &urls[0]));
    for (url, path) in urls.iter().zip(&paths) {
        // They open as they are, in a browser that has no key.
        let url = url.as_str().expect("an address");
        assert!(url.starts_with(&server.url) && url.contains(path.as_str()), "{url}");
        let opened = files::send(url, "GET", &[], b"").expect("an answer");
        assert_eq!((opened.status, opened.header("content-type")), (200, "image/png"));
    }
    assert_eq!(answer["portraitIds"].as_array().map(Vec::len), Some(2), "{answer}");
    let assets = rows(
        &server,
        &token,
        &format!("/rest/v1/workspace_assets?job_id=eq.{}", answer["jobId"].as_str().expect("an id")),
    );
    assert_eq!(assets.len(), 2, "nothing was drawn that was not asked for");

    let (status, four) = portrait(&server, &token, &json!({"characterId": mira, "numImages": 4}));
    assert_eq!((status, &four["batchCount"]), (200, &json!(4)), "{four}");
    assert_eq!(before - balance(&server, &token), 12);
    assert_kept(&server, &token, &mira, 6);

    // Asked again with its key, it is the same portrait.
    let again = || {
        let body = json!({"characterId": mira});
        let headers = [("idempotency-key", "once")];
        server.call_with("POST", "/functions/v1/character-portrait", &token, Some(&body), &headers).1
    };
    let first = again();
    assert_eq!(
        (&first["portraitIds"], &first["storagePath"]),
        (&again()["portraitIds"], &again()["storagePath"])
    );
    assert_kept(&server, &token, &mira, 7);

    for (body, field) in [
        (json!({"characterId": mira, "numImages": 5}), "numImages"),
        (json!({"characterId": mira, "numImages": 0}), "numImages"),
        (json!({"characterId": mira, "referenceStrength": 7}), "referenceStrength"),
    ] {
        let (status, refused) = portrait(&server, &token, &body);
        assert_eq!(status, 400, "{refused}");
        assert!(refused["error"].as_str().is_some_and(|error| error.starts_with(field)), "{refused}");
    }
    // A character that is described but not stored has its picture in the library alone.
    let described = json!({"characterData": {"name": "Luna", "appearance_tags": ["red hair"]}});
    let (status, new) = portrait(&server, &token, &described);
    assert_eq!((status, &new["portraitIds"]), (200, &json!([])), "{new}");
    assert!(new["imageUrl"].as_str().is_some_and(|url| url.contains("/portraits/new_")), "{new}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_job_with_a_portrait_as_its_destination_keeps_it_the_same_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    let (eve, stranger) = server.sign_up("eve@example.com");
    let mira = character(&server, &user, &token);
    let body = json!({"job_type": "sdxl_image_fast", "prompt": "a woman", "seed": 11, "steps": 4,
        "metadata": {"destination": "character_portrait", "character_id": mira}});
    let job = queue(&server, &token, &body);
    wait_for(&server, &token, &job, &["completed"]);
    let paths = assert_kept(&server, &token, &mira, 1);
    assert_eq!(paths, [format!("{user}/{job}_{mira}.png")]);
    let row = one(&server, &token, &format!("/rest/v1/characters?id=eq.{mira}"));
    let url = json!(format!("user-library/{}", paths[0]));
    assert_eq!(
        (&row["image_url"], &row["reference_image_url"], &row["seed_locked"]),
        (&url, &url, &json!(11))
    );

    // Another account's job changes nothing of her, and says so.
    let job = queue(&server, &stranger, &body);
    let row = wait_for(&server, &stranger, &job, &["completed"]);
    assert!(row["metadata"]["warnings"].to_string().contains("not kept"), "{row}");
    assert_kept(&server, &token, &mira, 1);
    assert_eq!(
        rows(&server, &stranger, &format!("/rest/v1/user_library?user_id=eq.{eve}")),
        Vec::<Json>::new()
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_killed_server_keeps_portraits_whole() {
    for point in ["job_blob_written", "portraits_kept", "job_committed"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = start(folder.path(), &[("PLAYHOUSE_CRASH_AT", point)]);
        let (user, token) = server.sign_up("ada@example.com");
        let mira = character(&server, &user, &token);
        let authorization = files::bearer(&token);
        let headers = [("authorization", authorization.as_str())];
        let body = json!({"characterId": mira, "numImages": 2, "canonPoseKey": "profile"});
        let url = format!("{}/functions/v1/character-portrait", server.url);
        // Of a job that is committed the answer may come before the process dies, or not.
        let _ = common::send("POST", &url, &headers, Some(&body));
        server.wait_for_death();
        drop(server);
        let server = start(folder.path(), &[]);
        let job = one(&server, &token, "/rest/v1/jobs?select=id")["id"].as_str().expect("a job").to_string();
        wait_for(&server, &token, &job, &["completed"]);
        assert_kept(&server, &token, &mira, 2);
        let canon = rows(&server, &token, "/rest/v1/user_library?output_type=eq.position&select=label");
        assert_eq!(canon, [json!({"label": "profile"})], "{point}");
        assert_eq!(server.check()["faults"], 0, "{point}");
    }
}

#[test]
fn high_takes_twice_the_steps_and_costs_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[("PLAYHOUSE_CHARGE_CREDITS", "true")]);
    let (_, token) = server.sign_up("ada@example.com");
    let drawn = |job_type: &str, more: Json| {
        let mut body = json!({"job_type": job_type, "prompt": "a robot in a forest", "seed": 7});
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let before = balance(&server, &token);
        let job = queue(&server, &token, &body);
        wait_for(&server, &token, &job, &["completed"]);
        let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
        let bytes =
            common::jobs::bytes_of(&server, &token, asset["temp_storage_path"].as_str().expect("a path"));
        let pixels = image::load_from_memory(&bytes).expect("a picture").to_rgb8();
        let steps = asset["generation_settings"]["steps"].as_u64().expect("steps");
        (pixels, steps, before - balance(&server, &token))
    };
    let (fast, steps, price) = drawn("sdxl_image_fast", json!({}));
    let (high, more_steps, more) = drawn("sdxl_image_high", json!({}));
    assert_eq!((more_steps, price, more), (2 * steps, 1, 2));
    assert_ne!(fast, high, "one sees what it costs");
    // The quality counts, whatever the job's type is called.
    assert_eq!(drawn("image_fast", json!({"quality": "high"})), (high, 2 * steps, 2));
    // Steps of one's own leave nothing for the quality to do, and nothing to pay for.
    let own = json!({"steps": 6});
    assert_eq!(drawn("image_high", own.clone()), drawn("image_fast", own));
}
