//! From a request to a picture, through the functions and the queue, with the starter model.

mod common;

use std::time::{Duration, Instant};

use common::Server;
use common::jobs::{bytes_of, one, picture, queue, result_of, wait_for};
use serde_json::{Value as Json, json};

#[test]
fn a_prompt_becomes_a_picture_that_can_be_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("painter@example.com");
    let (_, other) = server.sign_up("other@example.com");
    let balance = || one(&server, &token, "/rest/v1/profiles?select=token_balance")["token_balance"].clone();
    let before = balance().as_i64().expect("a balance");
    let job = queue(&server, &token, &picture("a red circle"));
    let row = wait_for(&server, &token, &job, &["completed", "failed"]);
    assert_eq!(row["status"], "completed", "{row}");
    assert_eq!(row["attempts"], 1);
    assert!(row["started_at"].is_string() && row["completed_at"].is_string());
    assert_eq!(balance(), before - 1, "a fast picture costs one credit");
    let usage = one(&server, &token, "/rest/v1/usage_logs?select=action,credits_consumed");
    assert_eq!((&usage["action"], &usage["credits_consumed"]), (&json!("sdxl_image_fast"), &json!(1)));

    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    let path = asset["temp_storage_path"].as_str().expect("a path").to_string();
    assert_eq!(path, format!("{user}/{job}/0.png"));
    assert_eq!(asset["generation_seed"], 7);
    let png = bytes_of(&server, &token, &path);
    assert!(png.starts_with(b"\x89PNG"), "a PNG");
    assert_eq!(asset["file_size_bytes"], png.len());
    let text = String::from_utf8_lossy(&png);
    assert!(text.contains("Steps: 4") && text.contains("Seed: 7") && text.contains("weights_hash"));
    let thumbnail = bytes_of(&server, &token, asset["thumbnail_path"].as_str().expect("a thumbnail"));
    assert!(thumbnail.starts_with(b"RIFF"));
    let (status, _) = server.call("GET", &format!("/storage/v1/object/workspace-temp/{path}"), &other, None);
    assert_eq!(status, 400, "somebody else's file");
    assert_eq!(one(&server, &other, &format!("/rest/v1/jobs?id=eq.{job}")), Json::Null);

    // The same request draws the same bytes.
    let again = queue(&server, &token, &picture("a red circle"));
    wait_for(&server, &token, &again, &["completed"]);
    assert_eq!(bytes_of(&server, &token, &format!("{user}/{again}/0.png")), png);

    let act =
        |token: &str, body: Json| server.call("POST", "/functions/v1/workspace-actions", token, Some(&body));
    let id = asset["id"].clone();
    let (status, _) = act(&other, json!({"action": "save_to_library", "assetId": id}));
    assert_eq!(status, 404, "not theirs");
    let (status, saved) = act(&token, json!({"action": "save_to_library", "assetId": id, "tags": ["good"]}));
    assert_eq!((status, &saved["success"]), (200, &json!(true)), "{saved}");
    let library = one(&server, &token, "/rest/v1/user_library");
    assert_eq!(library["id"], saved["libraryAssetId"]);
    assert_eq!((&library["tags"], &library["original_prompt"]), (&json!(["good"]), &json!("a red circle")));
    // The rows of the old library follow the file that stays, and name none that goes.
    let image = |job: &str| one(&server, &token, &format!("/rest/v1/images?job_id=eq.{job}"));
    let kept = format!("user-library/{}", library["storage_path"].as_str().expect("a path"));
    assert_eq!(image(&job)["image_url"], kept);
    assert!(image(&again)["image_url"].as_str().is_some_and(|url| url.starts_with("workspace-temp/")));
    let (status, cleared) = act(&token, json!({"action": "clear_workspace"}));
    // Both assets share prompt, seed and model, so nothing new is saved.
    assert_eq!(
        (status, &cleared["assetsProcessed"], &cleared["newSaves"]),
        (200, &json!(2), &json!(0)),
        "{cleared}"
    );
    assert_eq!(one(&server, &token, "/rest/v1/workspace_assets"), Json::Null);
    assert_eq!((&image(&job)["image_url"], &image(&again)["image_url"]), (&json!(kept), &Json::Null));
    let (status, copied) =
        act(&token, json!({"action": "copy_to_workspace", "libraryAssetId": library["id"]}));
    assert_eq!((status, &copied["success"]), (200, &json!(true)), "{copied}");
    let (_, gone) = act(&token, json!({"action": "discard_asset", "assetId": copied["workspaceAssetId"]}));
    assert_eq!(gone["success"], true);
    let (_, gone) = act(&token, json!({"action": "discard_asset", "assetId": copied["workspaceAssetId"]}));
    assert_eq!(gone["message"], "Asset already removed");
    assert_eq!(act(&token, json!({"action": "fly"})).0, 400);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_pictures_file_tells_how_to_draw_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("painter@example.com");
    let asked = json!({"job_type": "sdxl_image_fast", "prompt": "a red circle", "negative_prompt": "blue", "seed": 9,
                       "steps": 3, "guidance_scale": 2.5, "scheduler": "Euler a", "width": 48, "height": 64});
    let job = queue(&server, &token, &asked);
    let png = result_of(&server, &token, &job);
    let url = format!("{}/functions/v1/png-info", server.url);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("apikey", server.anon.as_str())];
    let read = |file: &[u8], headers: &[(&str, &str)]| {
        common::files::send(&url, "POST", headers, file).expect("an answer")
    };
    let answer = read(&png, &headers);
    let said = answer.json();
    assert_eq!((answer.status, &said["format"]), (200, &json!("playhouse")), "{said}");
    for name in ["prompt", "seed", "steps", "guidance_scale", "scheduler", "width", "height"] {
        assert_eq!(said["settings"][name], asked[name], "{name}: {said}");
    }
    assert!(said["texts"]["parameters"].as_str().is_some_and(|text| text.starts_with("a red circle")));
    // What it says can be asked for, and draws the same picture; what the catalogue keeps out of pictures comes in again.
    let mut again = said["settings"].clone();
    assert!(again["negative_prompt"].as_str().is_some_and(|text| text.ends_with("blue")), "{said}");
    again["negative_prompt"] = json!("blue");
    again["job_type"] = json!("sdxl_image_fast");
    let job = queue(&server, &token, &again);
    let drawn = |bytes: &[u8]| image::load_from_memory(bytes).expect("a picture").to_rgb8();
    assert!(drawn(&result_of(&server, &token, &job)) == drawn(&png), "the same picture");

    let nothing = read(&preview(), &headers);
    assert_eq!((nothing.status, nothing.json()["format"].clone()), (200, Json::Null));
    for file in [&b"GIF89a"[..], &png[..40]] {
        let refused = read(file, &headers);
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("NO_PNG")), "{}", refused.text());
    }
    assert_eq!(read(&png, &headers[1..]).status, 401);
}

/// A PNG without any text.
fn preview() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(4, 4).write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

#[test]
fn jobs_that_cannot_be_drawn_say_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (user, token) = server.sign_up("asker@example.com");
    let (other, _) = server.sign_up("owner@example.com");
    let ask = |body: Json| server.call("POST", "/functions/v1/queue-job", &token, Some(&body));
    for (body, status, word) in [
        (json!({"job_type": "poem", "prompt": "x"}), 400, "job_type"),
        (json!({"prompt": "x"}), 400, "job_type"),
        (json!({"job_type": "sdxl_image_fast", "prompt": "x", "steps": 5000}), 400, "steps"),
        (json!({"job_type": "sdxl_image_fast", "prompt": "x", "seed": -3}), 400, "seed"),
        (json!({"job_type": "sdxl_image_fast", "prompt": "x", "width": 64}), 400, "width"),
        (json!({"job_type": "sdxl_image_fast", "prompt": "naked"}), 422, "explicit"),
        (json!({"job_type": "sdxl_image_fast", "prompt": "x".repeat(20_000)}), 400, "prompt"),
        (
            json!({"job_type": "sdxl_image_fast", "prompt": "x",
                "reference_image_url": format!("user-library/{other}/a.png")}),
            403,
            "no such file that this account may read",
        ),
        (
            json!({"job_type": "sdxl_image_fast", "prompt": "x",
                "reference_image_url": "http://127.0.0.1:1/a.png"}),
            400,
            "private network",
        ),
        (
            json!({"job_type": "sdxl_image_fast", "prompt": "x", "reference_image_url": "file:///etc/passwd"}),
            400,
            "URL",
        ),
    ] {
        let (found, answer) = ask(body);
        assert_eq!(found, status, "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(word)), "{word}: {answer}");
    }
    assert_eq!(server.call("POST", "/functions/v1/queue-job", &server.anon, Some(&json!({}))).0, 401);
    assert_eq!(server.call("GET", "/functions/v1/queue-job", &token, None).0, 405);

    // The same key is the same job; credits run out with 402, and a cancelled job gives them back.
    let with_key = |key: &str| {
        let headers = [("idempotency-key", key)];
        server.call_with("POST", "/functions/v1/queue-job", &token, Some(&picture("x")), &headers).1["jobId"]
            .clone()
    };
    assert_eq!(with_key("a"), with_key("a"));
    assert_ne!(with_key("a"), with_key("b"));
    let balance = || one(&server, &token, "/rest/v1/profiles?select=token_balance")["token_balance"].clone();
    assert_eq!(balance(), 98);
    let job = with_key("a").as_str().expect("an id").to_string();
    let cancel = json!({"status": "cancelled"});
    let (status, rows) = server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{job}"), &token, Some(&cancel));
    assert_eq!((status, &rows[0]["status"]), (200, &json!("cancelled")));
    assert_eq!(balance(), 99);
    let back = json!({"status": "queued"});
    let (status, error) = server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{job}"), &token, Some(&back));
    assert_eq!((status, &error["code"]), (400, &json!("P0001")), "a terminal state is final");
    let broke = json!({"token_balance": 0});
    let path = format!("/rest/v1/profiles?id=eq.{user}");
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&broke)).0, 200);
    let (status, answer) = ask(picture("x"));
    assert_eq!(status, 402, "{answer}");
    assert_eq!(server.check()["faults"], 0);
}

/// What each of two accounts queues at once.
const JOBS_EACH: usize = 50;

#[test]
fn accounts_take_turns_and_cancelling_stops_a_drawing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, first) = server.sign_up("first@example.com");
    let (_, second) = server.sign_up("second@example.com");
    // A long drawing holds the device while the queue fills.
    let long = json!({"job_type": "sdxl_image_fast", "prompt": "a blue square", "steps": 200});
    let long = queue(&server, &first, &long);
    wait_for(&server, &first, &long, &["processing"]);
    let small =
        json!({"job_type": "sdxl_image_fast", "prompt": "a dot", "steps": 1, "width": 16, "height": 16});
    for token in [&first, &second] {
        (0..JOBS_EACH).for_each(|_| drop(queue(&server, token, &small)));
    }
    // The first account's jobs all came first.
    assert_eq!(one(&server, &first, &format!("/rest/v1/jobs?id=eq.{long}"))["status"], "processing");
    let cancel = json!({"status": "cancelled"});
    assert_eq!(server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{long}"), &first, Some(&cancel)).0, 200);
    let started = Instant::now();
    let order = loop {
        let path = "/rest/v1/jobs?select=user_id,status,started_at&status=eq.completed&order=started_at";
        let (_, rows) = server.call("GET", path, &server.service, None);
        let rows = rows.as_array().expect("rows").clone();
        if rows.len() == 2 * JOBS_EACH {
            break rows;
        }
        assert!(started.elapsed() < Duration::from_secs(180), "{} done", rows.len());
        std::thread::sleep(Duration::from_millis(100));
    };
    let owners: Vec<&str> = order.iter().filter_map(|row| row["user_id"].as_str()).collect();
    assert!(owners.windows(2).all(|pair| pair[0] != pair[1]), "they alternate: {owners:?}");
    let row = one(&server, &first, &format!("/rest/v1/jobs?id=eq.{long}"));
    assert_eq!(row["status"], "cancelled");
    assert_eq!(one(&server, &first, &format!("/rest/v1/workspace_assets?job_id=eq.{long}")), Json::Null);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_killed_server_finishes_each_job_once() {
    // How often each is begun: what died before its commit was begun again, what died after it was not.
    for (point, attempts) in [
        ("queued", 1),
        ("job_claimed", 2),
        ("job_rendering:2", 2),
        ("job_blob_written", 2),
        ("job_committed", 1),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let is_queued = point == "queued";
        // A job stays queued without a worker.
        let how = if is_queued { ("PLAYHOUSE_LOCAL_WORKER", "false") } else { ("PLAYHOUSE_CRASH_AT", point) };
        let mut server = Server::start(folder.path(), &[how]);
        let (_, token) = server.sign_up("painter@example.com");
        let job = queue(&server, &token, &picture("a green triangle"));
        if is_queued {
            server.kill();
        } else {
            server.wait_for_death();
        }
        drop(server);
        let server = Server::start(folder.path(), &[]);
        let row = wait_for(&server, &token, &job, &["completed", "failed"]);
        assert_eq!((&row["status"], &row["attempts"]), (&json!("completed"), &json!(attempts)), "{point}");
        let rows = |path: &str| server.call("GET", &format!("/rest/v1/{path}"), &token, None).1;
        let assets = rows(&format!("workspace_assets?job_id=eq.{job}"));
        // An asset is written over by a second result; rows of these would stand twice.
        for path in [&format!("images?job_id=eq.{job}&select=id"), "usage_logs?select=id"] {
            assert_eq!(rows(path).as_array().map(Vec::len), Some(1), "{point}: {path}");
        }
        assert_eq!(rows("profiles?select=token_balance"), json!([{"token_balance": 99}]), "{point}");
        assert_eq!(assets.as_array().map(Vec::len), Some(1), "{point}: {assets}");
        let path = assets[0]["temp_storage_path"].as_str().expect("a path");
        assert!(bytes_of(&server, &token, path).starts_with(b"\x89PNG"));
        assert_eq!(server.check()["faults"], 0, "{point}");
    }
}

#[test]
fn a_job_that_kills_the_server_is_parked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut job = String::new();
    let mut session = String::new();
    for round in 0..3 {
        let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", "job_rendering")]);
        if round == 0 {
            session = server.sign_up("unlucky@example.com").1;
            job = queue(&server, &session, &picture("trouble"));
        }
        server.wait_for_death();
    }
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", "job_rendering")]);
    let row = wait_for(&server, &session, &job, &["failed"]);
    assert_eq!(row["attempts"], 3);
    let message = row["error_message"].as_str().expect("a reason");
    assert!(message.contains("stopped during attempt 3"), "{message}");
    let profile = one(&server, &session, "/rest/v1/profiles?select=token_balance");
    assert_eq!(profile["token_balance"], 100, "refunded");
}

#[test]
fn what_a_scene_shows_outlives_the_workspace() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("painter@example.com");
    let insert = |table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &server.service, Some(&row));
        assert_eq!(status, 201, "{table}: {rows}");
        rows[0]["id"].clone()
    };
    let conversation = insert("conversations", json!({"user_id": user, "title": "At sea"}));
    let scene =
        insert("character_scenes", json!({"conversation_id": conversation, "scene_prompt": "a boat"}));
    let mut shown = picture("a boat");
    shown["metadata"] =
        json!({"destination": "roleplay_scene", "scene_id": scene, "conversation_id": conversation});
    let jobs = [queue(&server, &token, &shown), queue(&server, &token, &picture("a dot"))];
    let paths = jobs.each_ref().map(|job| {
        wait_for(&server, &token, job, &["completed"]);
        let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
        asset["temp_storage_path"].as_str().expect("a path").to_string()
    });
    // Their time is over.
    let over = json!({"expires_at": "2020-01-01T00:00:00Z"});
    assert_eq!(
        server.call("PATCH", "/rest/v1/workspace_assets?id=not.is.null", &server.service, Some(&over)).0,
        200
    );
    let expire = "/rest/v1/rpc/cleanup_expired_workspace_assets";
    assert_eq!(server.call("POST", expire, &server.service, Some(&json!({}))), (200, json!(1)));
    assert!(bytes_of(&server, &token, &paths[0]).starts_with(b"\x89PNG"), "the scene shows it");
    let image = one(&server, &token, &format!("/rest/v1/images?job_id=eq.{}", jobs[1]));
    assert_eq!((&image["image_url"], &image["thumbnail_url"]), (&Json::Null, &Json::Null));
    // Nor does it go with the workspace.
    let clear = json!({"action": "clear_workspace", "tags": null});
    let (_, cleared) = server.call("POST", "/functions/v1/workspace-actions", &token, Some(&clear));
    assert_eq!(cleared["assetsProcessed"], 1, "{cleared}");
    assert!(bytes_of(&server, &token, &paths[0]).starts_with(b"\x89PNG"), "the scene still shows it");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn the_service_draws_for_whom_it_names_and_each_name_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("boss@example.com");
    let call = |function: &str, body: Json| {
        let headers = [("idempotency-key", "once")];
        let path = format!("/functions/v1/{function}");
        server.call_with("POST", &path, &server.service, Some(&body), &headers)
    };
    let (status, answer) = call("generate-admin-image", json!({"prompt": "a dot"}));
    assert_eq!(status, 400, "there is nobody to draw for: {answer}");
    let asked = json!({"prompt": "a dot", "user_id": user, "mode": "sketch"});
    let (status, drawn) = call("generate-admin-image", asked);
    assert_eq!(
        (status, &drawn["success"], &drawn["image"]["mode"]),
        (200, &json!(true), &json!("sketch")),
        "{drawn}"
    );
    assert_eq!(drawn["warnings"], json!(["mode: answered as it was sent, and changes nothing"]), "{drawn}");
    let role = json!({"user_id": user, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let (status, drawn) = call("generate-avatars", json!({"names": ["Luna", "Atlas"]}));
    assert_eq!((status, drawn["results"].as_array().map(Vec::len)), (200, Some(2)), "{drawn}");
    let (_, jobs) = server.call("GET", "/rest/v1/jobs?select=original_prompt&order=created_at", &token, None);
    let prompts = json!([{"original_prompt": "a dot"}, {"original_prompt": "portrait of Luna"},
                         {"original_prompt": "portrait of Atlas"}]);
    assert_eq!(jobs, prompts, "a key of the call is not the key of each picture");
}
