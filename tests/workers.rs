//! Workers and providers outside the process: signed claims and callbacks, and a provider's predictions.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use common::Server;
use common::webhooks::signed;
use serde_json::{Value as Json, json};

const SECRET: &str = "between us";

fn callback(server: &Server, body: Json) -> (u16, Json) {
    signed(server, SECRET, "job-callback", &body)
}

fn claim(server: &Server, body: Json) -> Json {
    let (status, answer) = signed(server, SECRET, "claim-job", &body);
    assert_eq!(status, 200, "{answer}");
    answer["job"].clone()
}

fn one(server: &Server, token: &str, path: &str) -> Json {
    let (status, rows) = server.call("GET", path, token, None);
    assert!(status < 300, "{path}: {status} {rows}");
    rows.as_array().and_then(|rows| rows.first().cloned()).unwrap_or(Json::Null)
}

fn put(server: &Server, path: &str, bytes: &'static [u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = format!("{}/storage/v1/object/{path}", server.url);
    runtime.block_on(async {
        let request = language::http_client()
            .build()
            .expect("a client")
            .post(url)
            .bearer_auth(&server.service)
            .body(bytes);
        let answer = request.header("content-type", "video/mp4").send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{:?}", answer.text().await);
    });
}

#[test]
fn a_worker_elsewhere_takes_a_video_and_reports() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_VIDEOS", "false")];
    let server = Server::start(folder.path(), &environment);
    let (user, token) = server.sign_up("director@example.com");
    let request =
        json!({"job_type": "wan_video_fast", "prompt": "waves", "metadata": {"aspect_ratio": "16:9"}});
    let (status, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&request));
    assert_eq!((status, &answer["queueName"]), (200, &json!("wan_queue")), "{answer}");
    let id = answer["jobId"].as_str().expect("an id").to_string();

    let (status, _) = server.call("POST", "/functions/v1/claim-job", &server.service, Some(&json!({})));
    assert_eq!(status, 401, "no signature");
    assert_eq!(claim(&server, json!({"queue": "sdxl_queue"})), Json::Null, "another queue");
    let payload = claim(&server, json!({"queue": "wan_queue", "worker": "studio-2"}));
    assert_eq!(payload["job_id"], id.as_str());
    assert_eq!(
        (&payload["type"], &payload["config"]["resolution"]),
        (&json!("video_fast"), &json!("1024x576"))
    );
    assert_eq!(claim(&server, json!({"queue": "wan_queue"})), Json::Null, "only once");
    assert_eq!(one(&server, &token, &format!("/rest/v1/jobs?id=eq.{id}"))["status"], "processing");

    let (status, _) = callback(&server, json!({"job_id": id, "status": "processing"}));
    assert_eq!(status, 200);
    let elsewhere = json!({"job_id": id, "status": "completed",
                           "assets": [{"type": "video", "url": "workspace-temp/somebody/else.mp4"}]});
    assert_eq!(callback(&server, elsewhere).0, 400, "only the account's own folder");
    put(&server, &format!("workspace-temp/{user}/{id}/0.mp4"), b"0123456789");
    let done = json!({"job_id": id, "status": "completed", "assets": [
        {"type": "image", "url": format!("workspace-temp/{user}/{id}/0.mp4"), "metadata": {"frame_num": 81, "seed": 5}}]});
    let (status, answer) = callback(&server, done.clone());
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    let asset = one(&server, &token, "/rest/v1/workspace_assets");
    assert_eq!(
        (&asset["asset_type"], &asset["mime_type"], &asset["file_size_bytes"], &asset["duration_seconds"]),
        (&json!("video"), &json!("video/mp4"), &json!(10), &json!(6))
    );
    let job = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{id}"));
    assert_eq!(job["status"], "completed");
    let video = one(&server, &token, "/rest/v1/videos");
    assert_eq!(
        (&video["id"], &video["video_url"], &video["duration"]),
        (&job["video_id"], &json!(format!("workspace-temp/{user}/{id}/0.mp4")), &json!(6))
    );
    assert_eq!(callback(&server, done).1["skipped"], true, "a late report changes nothing");
    assert_eq!(callback(&server, json!({"job_id": user, "status": "failed"})).1["skipped"], true);
    assert_eq!(callback(&server, json!({"job_id": id, "status": "sleeping"})).0, 400);

    let (_, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&request));
    let failing = answer["jobId"].as_str().expect("an id").to_string();
    claim(&server, json!({"queue": "wan_queue"}));
    let report = json!({"jobId": failing, "status": "failed", "metadata": {"error_type": "oom"}});
    assert_eq!(callback(&server, report).0, 200);
    let row = one(&server, &token, &format!("/rest/v1/jobs?id=eq.{failing}"));
    assert_eq!(
        (&row["status"], &row["error_message"]),
        (&json!("failed"), &json!("oom: Internal processing error"))
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn what_a_remote_worker_drew_of_a_minor_is_known_by_its_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(folder.path(), &environment);
    let (user, token) = server.sign_up("painter@example.com");
    let (other, others) = server.sign_up("other@example.com");
    let adult = json!({"birth_date": "1980-01-01", "age_verified": true});
    let profile = format!("/rest/v1/profiles?id=eq.{other}");
    assert_eq!(server.call("PATCH", &profile, &server.service, Some(&adult)).0, 200);
    for (prompt, bytes, wanted) in [("a boy of 9 years of age", b"a", 422), ("a grown man", b"b", 200)] {
        let request = json!({"job_type": "sdxl_image_fast", "prompt": prompt});
        let (_, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&request));
        let id = claim(&server, json!({"queue": answer["queueName"]}))["job_id"].clone();
        let path = format!("workspace-temp/{user}/{}/0.png", id.as_str().expect("an id"));
        put(&server, &path, bytes);
        let done = json!({"job_id": id, "status": "completed", "assets": [{"type": "image", "url": path}]});
        assert_eq!(callback(&server, done).1["success"], true);
        let copy = format!("user-library/{other}/{wanted}.png");
        put(&server, &copy, bytes);
        let asked = json!({"job_type": "sdxl_image_fast", "prompt": "on a beach", "reference_image_url": copy,
            "metadata": {"contentType": "nsfw"}});
        let (status, answer) = server.call("POST", "/functions/v1/queue-job", &others, Some(&asked));
        assert_eq!(status, wanted, "{prompt}: {answer}");
    }
}

/// What the fake provider was asked.
type Asked = Arc<Mutex<Vec<Json>>>;

/// A provider's predictions API on loopback; its picture is a PNG of one pixel.
fn provider() -> (String, Asked) {
    let asked = Asked::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    async fn predict(
        State((_, asked)): State<(String, Asked)>,
        axum::Json(body): axum::Json<Json>,
    ) -> axum::Json<Json> {
        let is_slow = body["input"]["prompt"] == "slow";
        let number = {
            let mut asked = asked.lock().expect("a lock");
            asked.push(body);
            asked.len()
        };
        if is_slow {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        axum::Json(json!({"id": format!("pred-{number}"), "status": "starting"}))
    }
    async fn fare(
        State((base, _)): State<(String, Asked)>,
        axum::extract::Path(id): axum::extract::Path<String>,
    ) -> axum::Json<Json> {
        axum::Json(json!({"id": id, "status": "succeeded", "input": {"seed": 9},
                          "output": [format!("{base}/grid.png"), format!("{base}/out-0.png")]}))
    }
    async fn picture() -> impl IntoResponse {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(1, 1).write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
        ([("content-type", "image/png")], bytes.into_inner())
    }
    let routes = Router::new()
        .route("/predictions", post(predict))
        .route("/predictions/{id}", get(fare))
        .route("/out-0.png", get(picture))
        .route("/never.png", get(std::future::pending::<()>))
        .with_state((base.clone(), asked.clone()));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, routes).await
        })
    });
    (base, asked)
}

#[test]
fn a_provider_draws_when_its_key_is_there() {
    let (base, asked) = provider();
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [
        ("PLAYHOUSE_CALLBACK_SECRET", SECRET),
        ("PLAYHOUSE_FETCH_PRIVATE_ADDRESSES", "true"),
        ("PLAYHOUSE_PROVIDER_REPLICATE_KEY", "r8_secret"),
    ];
    let server = Server::start(folder.path(), &environment);
    let (_, token) = server.sign_up("painter@example.com");
    let request = json!({"prompt": "a fox", "job_type": "flux_high", "steps": 12, "secret_option": 1});
    let ask = |body: &Json| server.call("POST", "/functions/v1/replicate-image", &token, Some(body));
    let (status, answer) = ask(&request);
    assert_eq!((status, &answer["code"]), (503, &json!("NO_PICTURE_MODEL")), "no model yet: {answer}");
    let row = json!({"name": "replicate", "display_name": "Replicate", "base_url": base, "secret_name": "PLAYHOUSE_PROVIDER_REPLICATE_KEY"});
    let (_, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&row));
    let row = json!({"provider_id": rows[0]["id"], "model_key": "fox", "version": "a".repeat(40), "display_name": "Fox",
                     "modality": "image", "capabilities": {"allowed_input_keys": ["prompt", "num_inference_steps"]}});
    assert_eq!(server.call("POST", "/rest/v1/api_models", &server.service, Some(&row)).0, 201);
    assert_eq!(ask(&json!({"job_type": "sdxl"})).0, 400, "no prompt");
    let (status, answer) = ask(&request);
    assert_eq!((status, &answer["predictionId"]), (200, &json!("pred-1")), "{answer}");
    assert_eq!(
        asked.lock().expect("a lock")[0]["input"],
        json!({"prompt": "a fox", "num_inference_steps": 12}),
        "only what the model takes"
    );
    let path = format!("/rest/v1/jobs?id=eq.{}", answer["jobId"].as_str().expect("an id"));
    let job = one(&server, &token, &path);
    assert_eq!((&job["status"], &job["job_type"]), (&json!("processing"), &json!("image_high")));

    let report = json!({"id": "pred-1", "status": "succeeded", "output": [format!("{base}/grid.png"), format!("{base}/out-0.png")]});
    let (status, _) = server.call("POST", "/functions/v1/replicate-webhook", &server.anon, Some(&report));
    assert_eq!(status, 401, "no signature");
    let (status, answer) = signed(&server, SECRET, "replicate-webhook", &report);
    assert_eq!((status, &answer["status"]), (200, &json!("completed")), "{answer}");
    assert_eq!(one(&server, &token, &path)["status"], "completed");
    let asset = one(&server, &token, "/rest/v1/workspace_assets");
    assert_eq!((&asset["mime_type"], &asset["asset_index"]), (&json!("image/png"), &json!(0)));
    let (status, answer) = signed(&server, SECRET, "replicate-webhook", &report);
    assert_eq!((status, &answer["skipped"]), (200, &json!(true)), "what ended stays as it is: {answer}");
    let unknown = json!({"id": "pred-77", "status": "succeeded", "output": []});
    assert_eq!(signed(&server, SECRET, "replicate-webhook", &unknown).0, 404);

    // A request for its state brings the result too.
    let (_, answer) = ask(&request);
    let (status, fares) = ask(&json!({"predictionId": answer["predictionId"]}));
    assert_eq!((status, &fares["status"]), (200, &json!("succeeded")), "{fares}");
    let path = format!("/rest/v1/jobs?id=eq.{}", answer["jobId"].as_str().expect("an id"));
    assert_eq!(one(&server, &token, &path)["status"], "completed");
    let (status, gone) = server.call("POST", "/functions/v1/replicate-callback", &token, Some(&json!({})));
    assert_eq!((status, &gone["deprecated"]), (410, &json!(true)));
    assert_eq!(server.check()["faults"], 0);
}

/// A server with a provider, an account and a model; what asks for a picture.
fn with_provider(folder: &std::path::Path, base: &str) -> (Server, String, String) {
    let environment = [
        ("PLAYHOUSE_CALLBACK_SECRET", SECRET),
        ("PLAYHOUSE_FETCH_PRIVATE_ADDRESSES", "true"),
        ("PLAYHOUSE_PROVIDER_REPLICATE_KEY", "r8_secret"),
    ];
    let server = Server::start(folder, &environment);
    let (user, token) = server.sign_up("painter@example.com");
    let row = json!({"name": "replicate", "display_name": "Replicate", "base_url": base, "secret_name": "PLAYHOUSE_PROVIDER_REPLICATE_KEY"});
    let (_, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&row));
    let row = json!({"provider_id": rows[0]["id"], "model_key": "fox", "version": "a".repeat(40),
                     "display_name": "Fox", "modality": "image"});
    assert_eq!(server.call("POST", "/rest/v1/api_models", &server.service, Some(&row)).0, 201);
    (server, user, token)
}

#[test]
fn predictions_end_as_their_provider_says_and_stay_so() {
    let (base, _) = provider();
    let folder = tempfile::tempdir().expect("a folder");
    let (server, user, token) = with_provider(folder.path(), &base);
    let ask = |body: &Json| server.call("POST", "/functions/v1/replicate-image", &token, Some(body));
    let hook = |body: &Json| signed(&server, SECRET, "replicate-webhook", body);
    let row =
        |id: &Json| one(&server, &token, &format!("/rest/v1/jobs?id=eq.{}", id.as_str().expect("an id")));
    let balance = || one(&server, &token, "/rest/v1/profiles?select=token_balance")["token_balance"].clone();

    let before = balance();
    let (_, cancelled) = ask(&json!({"prompt": "a fox", "job_type": "flux_high"}));
    let report = json!({"id": cancelled["predictionId"], "status": "canceled"});
    assert_eq!(hook(&report).1["status"], "cancelled");
    let ended = row(&cancelled["jobId"]);
    assert_eq!(ended["status"], "cancelled", "{ended}");
    assert_eq!(balance(), before, "given back");
    assert_eq!(hook(&report).1["skipped"], true);
    let (status, fares) = ask(&json!({"predictionId": cancelled["predictionId"]}));
    assert_eq!(
        (status, &fares["status"], &fares["jobStatus"]),
        (200, &json!("canceled"), &json!("cancelled"))
    );
    let other = server.sign_up("other@example.com").1;
    let peek = json!({"predictionId": cancelled["predictionId"]});
    assert_eq!(server.call("POST", "/functions/v1/replicate-image", &other, Some(&peek)).0, 404);

    // The seed was not given: it is made up, so that two pictures of one prompt are two.
    let mut seeds = Vec::new();
    for _ in 0..2 {
        let (_, asked) = ask(&json!({"prompt": "a fox", "job_type": "flux_high"}));
        let report = json!({"id": asked["predictionId"], "status": "succeeded", "output": format!("{base}/out-0.png")});
        assert_eq!(hook(&report).1["status"], "completed");
        let path = format!("/rest/v1/workspace_assets?job_id=eq.{}", asked["jobId"].as_str().expect("an id"));
        seeds.push(one(&server, &token, &path)["generation_seed"].clone());
        let (_, fares) = ask(&json!({"predictionId": asked["predictionId"]}));
        assert_eq!(fares["status"], "succeeded");
        assert!(fares["output"][0].as_str().is_some_and(|url| url.contains("/object/sign/")), "{fares}");
    }
    assert_ne!(seeds[0], seeds[1]);

    // A picture that never comes ends the job, so that it is not waited for for ever.
    let (_, asked) = ask(&json!({"prompt": "a fox", "job_type": "flux_high"}));
    let report =
        json!({"id": asked["predictionId"], "status": "succeeded", "output": format!("{base}/never.png")});
    assert_eq!(hook(&report).0, 400);
    let failed = row(&asked["jobId"]);
    assert!(failed["error_message"].as_str().is_some_and(|why| why.contains("too long")), "{failed}");

    // A provider's picture is its scene's; the conversation's last picture stays.
    let insert = |table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &server.service, Some(&row));
        assert_eq!(status, 201, "{table}: {rows}");
        rows[0]["id"].clone()
    };
    let character = insert("characters", json!({"user_id": user, "name": "Ann", "description": "a sailor"}));
    let conversation = insert("conversations", json!({"user_id": user, "character_id": character}));
    let scene = insert(
        "character_scenes",
        json!({"character_id": character, "conversation_id": conversation, "scene_prompt": "at sea"}),
    );
    let about = json!({"destination": "roleplay_scene", "scene_id": scene, "conversation_id": conversation});
    let (_, asked) = ask(&json!({"prompt": "at sea", "job_type": "sdxl_fast", "metadata": about}));
    let report =
        json!({"id": asked["predictionId"], "status": "succeeded", "output": format!("{base}/out-0.png")});
    assert_eq!(hook(&report).1["status"], "completed");
    assert!(one(&server, &token, "/rest/v1/character_scenes")["image_url"].is_string());
    assert_eq!(one(&server, &token, "/rest/v1/conversations")["last_scene_image"], Json::Null);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_job_whose_provider_was_never_asked_fails_after_a_restart() {
    let (base, asked) = provider();
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, _, token) = with_provider(folder.path(), &base);
    let (url, caller) = (server.url.clone(), token.clone());
    std::thread::spawn(move || {
        let body = json!({"prompt": "slow", "job_type": "sdxl_fast"});
        let bearer = format!("Bearer {caller}");
        let url = format!("{url}/functions/v1/replicate-image");
        drop(common::send("POST", &url, &[("authorization", &bearer)], Some(&body)));
    });
    let started = Instant::now();
    while asked.lock().expect("a lock").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "the provider is asked");
        std::thread::sleep(Duration::from_millis(50));
    }
    let job = one(&server, &token, "/rest/v1/jobs");
    assert_eq!(job["status"], "queued");
    server.kill();
    drop(server);
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let job = one(&server, &token, "/rest/v1/jobs");
    assert_eq!(job["status"], "failed", "{job}");
    assert!(job["error_message"].as_str().is_some_and(|why| why.contains("before the provider was asked")));
    assert_eq!(one(&server, &token, "/rest/v1/profiles?select=token_balance")["token_balance"], 100);
}

#[test]
fn reports_are_taken_however_a_worker_writes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(folder.path(), &environment);
    let (user, token) = server.sign_up("director@example.com");
    let queue = || {
        let request = json!({"job_type": "video_fast", "prompt": "waves"});
        common::jobs::queue(&server, &token, &request)
    };
    let row = |id: &str| one(&server, &token, &format!("/rest/v1/jobs?id=eq.{id}"));

    // A job that only waits may fail; everything that its worker said is kept.
    let waiting = queue();
    let report = json!({"job_id": waiting, "jobId": waiting, "status": "failed", "error": "no such model",
        "errorMessage": "it broke", "assets": null, "results": null, "metadata": {"gpu": "a"}, "gpuHours": 3});
    let (_, answer) = callback(&server, report);
    assert_eq!(answer["success"], true);
    assert_eq!(answer["warnings"], json!(["gpuHours: an unknown field, not used"]));
    let failed = row(&waiting);
    assert_eq!((&failed["status"], &failed["error_message"]), (&json!("failed"), &json!("it broke")));
    let about = &failed["metadata"];
    assert_eq!(about["original_error_keys"], json!(["errorMessage", "error"]));
    assert!(about["callback_received_at"].is_string() && about["gpu"] == "a", "{about}");

    // Of another attempt nothing is taken.
    let job = queue();
    assert_eq!(claim(&server, json!({"queue": "wan_queue"}))["attempt"], 1);
    let late = json!({"job_id": job, "status": "failed", "attempt": 7, "error": "late"});
    assert_eq!(callback(&server, late).1["skipped"], true);
    assert_eq!(row(&job)["status"], "processing");
    // Seconds need not be whole.
    let done = json!({"job_id": job, "status": "completed", "attempt": 1, "results": {"assets": [
        {"assetType": "video", "tempStoragePath": format!("{user}/{job}/0.mp4"), "durationSeconds": 4.25}]}});
    assert_eq!(callback(&server, done).1["success"], true);
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    assert_eq!(asset["duration_seconds"], 5);
    // Nor need there be anything.
    let empty = queue();
    let done = json!({"job_id": empty, "status": "completed", "metadata": null});
    assert_eq!(callback(&server, done).1["success"], true);
    assert_eq!(row(&empty)["status"], "completed");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn silent_workers_lose_their_jobs_wherever_pictures_are_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    // What this process was drawing when it died waits again, though this process no longer draws.
    let mut server = Server::start(folder.path(), &[("PLAYHOUSE_CRASH_AT", "job_rendering")]);
    let (_, token) = server.sign_up("painter@example.com");
    let drawn = common::jobs::queue(&server, &token, &common::jobs::picture("a dot"));
    server.wait_for_death();
    drop(server);
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(folder.path(), &environment);
    let row = |id: &str| one(&server, &token, &format!("/rest/v1/jobs?id=eq.{id}"));
    assert_eq!((&row(&drawn)["status"], &row(&drawn)["attempts"]), (&json!("queued"), &json!(1)));

    let video =
        || common::jobs::queue(&server, &token, &json!({"job_type": "video_fast", "prompt": "waves"}));
    let (silent, patient) = (video(), video());
    assert_eq!(claim(&server, json!({"queue": "wan_queue", "lease_seconds": 10}))["job_id"], silent.as_str());
    // A report gives time and never takes any: this worker may be silent for an hour.
    assert_eq!(
        claim(&server, json!({"queue": "wan_queue", "lease_seconds": 3600}))["job_id"],
        patient.as_str()
    );
    assert_eq!(callback(&server, json!({"job_id": patient, "status": "processing"})).1["success"], true);
    let taken = common::jobs::wait_for(&server, &token, &silent, &["queued"]);
    assert!(taken["error_message"].as_str().is_some_and(|why| why.contains("fell silent")), "{taken}");
    // The worker was only slow: it has the job again, and no other worker gets it.
    assert_eq!(callback(&server, json!({"job_id": silent, "status": "processing"})).1["success"], true);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(claim(&server, json!({"queue": "wan_queue"})), Json::Null);
    let resumed = row(&silent);
    assert_eq!((&resumed["status"], &resumed["attempts"]), (&json!("processing"), &json!(1)));
    let report = json!({"job_id": silent, "status": "failed", "error": "x", "metadata": {"retryable": true}});
    assert_eq!(callback(&server, report).1["success"], true);
    assert_eq!(row(&silent)["status"], "queued", "it still is the queue's");
    assert_eq!(row(&patient)["status"], "processing");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_kept_video_is_shown_by_what_it_began_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(folder.path(), &environment);
    let (user, token) = server.sign_up("director@example.com");
    let reference = format!("reference_images/{user}/start.png");
    let png = b"\x89PNG\r\n\x1a\n";
    assert_eq!(common::files::put(&server, &token, &reference, "image/png", png).status, 200);
    let request =
        json!({"job_type": "video_fast", "prompt": "waves", "metadata": {"start_reference_url": reference}});
    let job = common::jobs::queue(&server, &token, &request);
    put(&server, &format!("workspace-temp/{user}/{job}/0.mp4"), b"0123456789");
    let done = json!({"job_id": job, "status": "completed",
                      "assets": [{"type": "video", "url": format!("{user}/{job}/0.mp4")}]});
    assert_eq!(callback(&server, done).1["success"], true);
    let asset = one(&server, &token, "/rest/v1/workspace_assets");
    let save = json!({"action": "save_to_library", "assetId": asset["id"], "tags": null});
    let (status, saved) = server.call("POST", "/functions/v1/workspace-actions", &token, Some(&save));
    assert_eq!(status, 200, "{saved}");
    let kept = one(&server, &token, "/rest/v1/user_library");
    let thumbnail = kept["thumbnail_path"].as_str().expect("a thumbnail");
    let answer = common::files::get(&server, &token, &format!("/object/user-library/{thumbnail}"));
    assert_eq!((answer.status, answer.bytes.as_slice()), (200, png.as_slice()));
    assert_eq!(one(&server, &token, "/rest/v1/videos")["thumbnail_url"], format!("user-library/{thumbnail}"));

    // However many there are, none is passed over; what cannot be saved stays and is named.
    let rows: Vec<Json> = (0..1100)
        .map(|place| {
            json!({"user_id": user, "asset_type": "image", "temp_storage_path": format!("{user}/gone/{place}.png"),
                   "file_size_bytes": 1, "mime_type": "image/png", "job_id": job, "asset_index": place + 1,
                   "generation_seed": place, "original_prompt": "x", "model_used": "x"})
        })
        .collect();
    let path = "/rest/v1/workspace_assets?select=id";
    assert_eq!(server.call("POST", path, &server.service, Some(&json!(rows))).0, 201);
    let clear = json!({"action": "clear_workspace"});
    let (_, cleared) = server.call("POST", "/functions/v1/workspace-actions", &token, Some(&clear));
    assert_eq!(cleared["errors"].as_array().map(Vec::len), Some(1100), "{}", cleared["message"]);
    assert_eq!((&cleared["assetsProcessed"], &cleared["success"]), (&json!(1), &json!(false)));
}
