//! Workers and providers outside the process: signed claims and callbacks, and a provider's predictions.

mod common;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use common::Server;
use hmac::{Hmac, Mac};
use serde_json::{Value as Json, json};

const SECRET: &str = "between us";

fn signature(body: &Json) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(&serde_json::to_vec(body).expect("JSON"));
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fn signed(server: &Server, function: &str, header: &str, body: &Json) -> (u16, Json) {
    let signature = signature(body);
    let headers = [(header, signature.as_str())];
    server.call_with("POST", &format!("/functions/v1/{function}"), &server.anon, Some(body), &headers)
}

fn callback(server: &Server, body: Json) -> (u16, Json) {
    signed(server, "job-callback", "x-callback-signature", &body)
}

fn claim(server: &Server, body: Json) -> Json {
    let (status, answer) = signed(server, "claim-job", "x-callback-signature", &body);
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
        let request = reqwest::Client::new().post(url).bearer_auth(&server.service).body(bytes);
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
    let wish = json!({"job_type": "wan_video_fast", "prompt": "waves", "metadata": {"aspect_ratio": "16:9"}});
    let (status, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&wish));
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

    let (_, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&wish));
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
        asked.lock().expect("a lock").push(body);
        axum::Json(json!({"id": "pred-1", "status": "starting"}))
    }
    async fn fare(State((base, _)): State<(String, Asked)>) -> axum::Json<Json> {
        axum::Json(json!({"id": "pred-1", "status": "succeeded", "input": {"seed": 9},
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
        ("REPLICATE_KEY", "r8_secret"),
    ];
    let server = Server::start(folder.path(), &environment);
    let (_, token) = server.sign_up("painter@example.com");
    let wish = json!({"prompt": "a fox", "job_type": "flux_high", "steps": 12, "secret_option": 1});
    let ask = |body: &Json| server.call("POST", "/functions/v1/replicate-image", &token, Some(body));
    assert_eq!(ask(&wish).0, 500, "no model yet");
    let row = json!({"name": "replicate", "display_name": "Replicate", "base_url": base, "secret_name": "REPLICATE_KEY"});
    let (_, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&row));
    let row = json!({"provider_id": rows[0]["id"], "model_key": "fox", "version": "a".repeat(40), "display_name": "Fox",
                     "modality": "image", "capabilities": {"allowed_input_keys": ["prompt", "num_inference_steps"]}});
    assert_eq!(server.call("POST", "/rest/v1/api_models", &server.service, Some(&row)).0, 201);
    assert_eq!(ask(&json!({"job_type": "sdxl"})).0, 400, "no prompt");
    let (status, answer) = ask(&wish);
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
    let (status, answer) = signed(&server, "replicate-webhook", "x-replicate-signature", &report);
    assert_eq!((status, &answer["status"]), (200, &json!("completed")), "{answer}");
    assert_eq!(one(&server, &token, &path)["status"], "completed");
    let asset = one(&server, &token, "/rest/v1/workspace_assets");
    assert_eq!((&asset["mime_type"], &asset["asset_index"]), (&json!("image/png"), &json!(0)));
    let (status, _) = signed(&server, "replicate-webhook", "x-replicate-signature", &report);
    assert_eq!(status, 404, "nothing waits for it any more");

    // Whoever asks how it fares brings the result too.
    let (_, answer) = ask(&wish);
    let (status, fares) = ask(&json!({"predictionId": "pred-1"}));
    assert_eq!((status, &fares["status"]), (200, &json!("succeeded")), "{fares}");
    let path = format!("/rest/v1/jobs?id=eq.{}", answer["jobId"].as_str().expect("an id"));
    assert_eq!(one(&server, &token, &path)["status"], "completed");
    let (status, gone) = server.call("POST", "/functions/v1/replicate-callback", &token, Some(&json!({})));
    assert_eq!((status, &gone["deprecated"]), (410, &json!(true)));
    assert_eq!(server.check()["faults"], 0);
}
