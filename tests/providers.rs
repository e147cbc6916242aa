//! Pictures by providers: fal's queue, servers of OpenAI's dialect, and a model of this server behind the same functions;
//! what providers have left, and the functions for operators.

mod common;
mod talk;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Server;
use common::jobs::{one, picture, queue, result_of, wait_for};
use serde_json::{Value as Json, json};
use talk::invoke;

/// What the fake provider was asked: path, the header `authorization`, body.
type Asked = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(1, 1).write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

type At = State<(String, Asked)>;

/// Notes a request; how many there were of its kind.
fn note(asked: &Asked, path: &str, headers: &HeaderMap, body: &[u8]) -> usize {
    let key = headers.get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mut asked = asked.lock().expect("a lock");
    asked.push((path.to_string(), key.to_string(), body.to_vec()));
    asked.iter().filter(|(known, ..)| known == path).count()
}

async fn submit(State((_, asked)): At, headers: HeaderMap, body: Bytes) -> (StatusCode, axum::Json<Json>) {
    let number = note(&asked, "submit", &headers, &body);
    match String::from_utf8_lossy(&body).contains("forbidden") {
        true => (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(json!({"detail": [{"msg": "not that"}]}))),
        false => {
            (StatusCode::OK, axum::Json(json!({"request_id": format!("req-{number}"), "status": "IN_QUEUE"})))
        }
    }
}

async fn fare(State((_, asked)): At, Path(id): Path<String>, headers: HeaderMap) -> axum::Json<Json> {
    let number = note(&asked, &format!("status {id}"), &headers, b"");
    axum::Json(json!({"status": if number < 2 { "IN_PROGRESS" } else { "COMPLETED" }}))
}

async fn result(State((base, _)): At) -> axum::Json<Json> {
    axum::Json(json!({"images": [{"url": format!("{base}/out.png")}], "seed": 11}))
}

fn drawn() -> Json {
    json!({"data": [{"b64_json": STANDARD.encode(png())}]})
}

async fn generate(State((_, asked)): At, headers: HeaderMap, body: Bytes) -> (StatusCode, axum::Json<Json>) {
    note(&asked, "generations", &headers, &body);
    if String::from_utf8_lossy(&body).contains("never ends") {
        std::future::pending::<()>().await;
    }
    match String::from_utf8_lossy(&body).contains("odd size") {
        true => (StatusCode::BAD_REQUEST, axum::Json(json!({"error": {"message": "no such size"}}))),
        false => (StatusCode::OK, axum::Json(drawn())),
    }
}

async fn edit(State((_, asked)): At, headers: HeaderMap, body: Bytes) -> axum::Json<Json> {
    note(&asked, "edits", &headers, &body);
    axum::Json(drawn())
}

async fn credits() -> axum::Json<Json> {
    axum::Json(json!({"data": {"total_credits": 10, "total_usage": "2.5"}}))
}

/// A provider that speaks fal's queue, OpenAI's dialect and tells its balance.
fn provider() -> (String, Asked) {
    let asked = Asked::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let routes = Router::new()
        .route("/fal-ai/flux/dev", post(submit))
        .route("/fal-ai/flux/requests/{id}/status", get(fare))
        .route("/fal-ai/flux/requests/{id}", get(result))
        .route("/v1/images/generations", post(generate))
        .route("/v1/images/edits", post(edit))
        .route("/v1/credits", get(credits))
        .route("/out.png", get(async || ([("content-type", "image/png")], png())))
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

fn insert(server: &Server, table: &str, row: Json) -> String {
    let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &server.service, Some(&row));
    assert_eq!(status, 201, "{table}: {rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

fn start(folder: &std::path::Path) -> Server {
    let environment =
        [("PLAYHOUSE_FETCH_PRIVATE_ADDRESSES", "true"), ("PLAYHOUSE_PROVIDER_FAL_KEY", "fal_secret")];
    Server::start(folder, &environment)
}

/// Adds fal with a model that costs three cents; the model's id.
fn add_fal(server: &Server, base: &str) -> String {
    let fal = json!({"name": "fal", "display_name": "fal", "base_url": base, "secret_name": "PLAYHOUSE_PROVIDER_FAL_KEY"});
    let fal = insert(server, "api_providers", fal);
    let model = json!({"provider_id": fal, "model_key": "fal-ai/flux/dev", "display_name": "Flux", "modality": "image",
                       "tasks": ["t2i"], "cost_per_use": 0.03});
    insert(server, "api_models", model)
}

#[test]
fn fal_draws_by_its_queue() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, asked) = provider();
    let server = start(folder.path());
    let (_, token) = server.sign_up("ada@example.com");
    let ask = |body: Json| invoke(&server, &token, "fal-image", body);
    let request = json!({"prompt": "a fox", "job_type": "flux_high", "seed": 4, "width": 512, "height": 768});
    assert_eq!(ask(request.clone()).0, 503, "no model yet");
    let model = add_fal(&server, &base);
    let (status, answer) = ask(request.clone());
    assert_eq!((status, &answer["predictionId"]), (200, &json!("req-1")), "{answer}");
    {
        let asked = asked.lock().expect("a lock");
        let (_, key, body) = &asked[0];
        assert_eq!(key, "Key fal_secret");
        let body: Json = serde_json::from_slice(body).expect("JSON");
        assert_eq!(
            body,
            json!({"prompt": "a fox", "num_images": 1, "seed": 4, "image_size": {"width": 512, "height": 768}})
        );
    }
    // Without any question the server looks for the result itself.
    let job = answer["jobId"].as_str().expect("an id");
    let done = wait_for(&server, &token, job, &["completed", "failed"]);
    assert_eq!((&done["status"], &done["api_model_id"]), (&json!("completed"), &json!(model)), "{done}");
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    assert_eq!(
        (&asset["generation_seed"], &asset["generation_settings"]["provider"]),
        (&json!(11), &json!("fal"))
    );
    let (status, fares) = ask(json!({"predictionId": "req-1"}));
    assert_eq!((status, &fares["status"]), (200, &json!("succeeded")), "{fares}");
    let log = one(&server, &token, "/rest/v1/api_usage_logs");
    assert_eq!(
        (&log["cost_usd"], &log["model_id"], &log["request_type"]),
        (&json!(0.03), &json!(model), &json!("image"))
    );
    // What the provider refuses is said, and the job has failed and costs nothing.
    let (status, refused) = ask(json!({"prompt": "forbidden fox", "job_type": "flux_fast"}));
    assert_eq!((status, &refused["error"]), (422, &json!("not that")), "{refused}");
    // The doors know their own providers.
    let mut wrong = request;
    wrong["apiModelId"] = json!(model);
    let (status, refused) = invoke(&server, &token, "replicate-image", wrong);
    assert!(status == 400 && refused["error"].to_string().contains("another provider"), "{refused}");
    let (_, other) = server.sign_up("bob@example.com");
    assert_eq!(invoke(&server, &other, "fal-image", json!({"predictionId": "req-1"})).0, 404);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn servers_of_openais_dialect_and_this_one_draw_behind_the_same_functions() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, asked) = provider();
    let server = start(folder.path());
    let (_, token) = server.sign_up("ada@example.com");
    let mine = json!({"name": "mine", "display_name": "Mine", "base_url": format!("{base}/v1")});
    let mine = insert(&server, "api_providers", mine);
    let model = json!({"provider_id": mine, "model_key": "sdxl-turbo", "display_name": "Turbo", "modality": "image",
                       "endpoint_path": "/images/generations", "pricing": {"per_image": "0.01"}});
    let model = insert(&server, "api_models", model);
    let ask = |name: &str, body: Json| {
        let (status, answer) = invoke(&server, &token, name, body);
        assert_eq!(status, 200, "{answer}");
        let job = answer["jobId"].as_str().expect("an id").to_string();
        (wait_for(&server, &token, &job, &["completed", "failed"]), answer)
    };
    let request = json!({"prompt": "a fox", "job_type": "sdxl_image_fast", "apiModelId": model, "width": 64, "height": 64});
    for door in ["replicate-image", "fal-image"] {
        let (done, answer) = ask(door, request.clone());
        assert_eq!(done["status"], "completed", "{done}");
        let (_, fares) = invoke(&server, &token, door, json!({"predictionId": answer["predictionId"]}));
        assert_eq!(fares["status"], "succeeded", "{fares}");
    }
    {
        let asked = asked.lock().expect("a lock");
        let body: Json = serde_json::from_slice(&asked[0].2).expect("JSON");
        assert_eq!(
            (asked[0].1.as_str(), body),
            (
                "",
                json!({"prompt": "a fox", "model": "sdxl-turbo", "n": 1, "size": "64x64", "response_format": "b64_json"})
            )
        );
    }
    // A picture of one's own goes along as a file.
    let own = queue(&server, &token, &picture("a cat"));
    result_of(&server, &token, &own);
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{own}"));
    let mut over = request.clone();
    over["reference_image_url"] =
        json!(format!("workspace-temp/{}", asset["temp_storage_path"].as_str().expect("a path")));
    assert_eq!(ask("replicate-image", over).0["status"], "completed");
    {
        let asked = asked.lock().expect("a lock");
        let (_, _, form) = asked.iter().find(|(path, ..)| path == "edits").expect("an edit");
        let text = String::from_utf8_lossy(form);
        assert!(
            text.contains("name=\"prompt\"\r\n\r\na fox\r\n") && text.contains("content-type: image/png"),
            "{text}"
        );
    }
    let mut odd = request.clone();
    odd["prompt"] = json!("odd size");
    let failed = ask("fal-image", odd).0;
    assert!(
        failed["status"] == "failed" && failed["error_message"].to_string().contains("400: no such size"),
        "{failed}"
    );
    // A model of this server draws here.
    let starter = one(&server, &server.service, "/rest/v1/api_models?model_key=eq.starter&modality=eq.image");
    let local = json!({"prompt": "a cat", "job_type": "flux_fast", "apiModelId": starter["id"], "steps": 2});
    let (done, answer) = ask("fal-image", local);
    assert_eq!(
        (&done["status"], &done["api_model_id"], &answer["predictionId"]),
        (&json!("completed"), &starter["id"], &Json::Null),
        "{done}"
    );
    let path = "/rest/v1/api_usage_logs?select=cost_usd,response_status&order=created_at";
    let (_, logs) = server.call("GET", path, &token, None);
    let costs: Vec<&Json> = logs.as_array().expect("rows").iter().map(|log| &log["cost_usd"]).collect();
    assert_eq!(
        costs,
        [&json!(0.01), &json!(0.01), &Json::Null, &json!(0.01), &json!(0), &Json::Null],
        "{logs}"
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn operators_see_balances_queues_workers_and_the_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, _) = provider();
    let environment = [("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(folder.path(), &environment);
    let (id, token) = server.sign_up("admin@example.com");
    for name in ["system-metrics", "get-schema-info", "sync-provider-balances"] {
        assert_eq!(invoke(&server, &token, name, json!({})).0, 403, "{name}");
    }
    insert(&server, "user_roles", json!({"user_id": id, "role": "admin"}));
    let call = |name: &str, body: Json| invoke(&server, &token, name, body);
    let balance = json!({"path": "credits", "total": "/data/total_credits", "used": "/data/total_usage"});
    let known = insert(
        &server,
        "api_providers",
        json!({"name": "known", "display_name": "Known", "base_url": format!("{base}/v1"), "rate_limits": {"balance": balance}}),
    );
    insert(&server, "api_providers", json!({"name": "silent", "display_name": "Silent", "base_url": base}));
    for _ in 0..2 {
        let (status, answer) = call("sync-provider-balances", json!({}));
        assert_eq!((status, &answer["synced"], &answer["failed"]), (200, &json!(1), &json!(1)), "{answer}");
    }
    let (_, rows) = server.call("GET", "/rest/v1/api_provider_balances", &server.service, None);
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 2, "one for each provider");
    let row = rows.iter().find(|row| row["provider_id"] == json!(known)).expect("a row");
    assert_eq!((&row["balance_usd"], &row["sync_status"]), (&json!(7.5), &json!("success")), "{row}");
    let silent = rows.iter().find(|row| row["provider_id"] != json!(known)).expect("a row");
    assert!(silent["sync_error"].to_string().contains("rate_limits.balance"), "{silent}");

    for _ in 0..4 {
        queue(&server, &token, &picture("a cat"));
    }
    let register = json!({"worker_url": base});
    assert_eq!(call("register-chat-worker", register).0, 200);
    let (status, metrics) = call("system-metrics", json!({}));
    assert_eq!(
        (status, &metrics["queues"], &metrics["etaEstimates"]),
        (200, &json!({"sdxl_queue": 4, "wan_queue": 0}), &json!({"sdxl": "1-3 mins", "wan": "immediate"})),
        "{metrics}"
    );
    assert_eq!(metrics["workers"]["chat"][0]["url"], json!(base));
    assert_eq!(metrics["workers"]["wan"], json!([]));
    let (status, info) = call("get-schema-info", json!({"action": "schema"}));
    assert_eq!(status, 200, "{info}");
    let has = |list: &str, key: &str, name: &str| {
        info[list].as_array().is_some_and(|items| items.iter().any(|item| item[key] == name))
    };
    assert!(has("tables", "name", "jobs") && has("buckets", "id", "workspace-temp"), "{info}");
    assert!(info["edgeFunctions"].as_array().is_some_and(|names| names.contains(&json!("queue-job"))));
    let (status, refused) = call("get-schema-info", json!({"action": "query", "query": "select 1"}));
    assert!(status == 400 && refused["error"].to_string().contains("are not run"), "{refused}");
    let (status, refused) = call("get-schema-info", json!({"query": "select 1"}));
    assert_eq!(
        (status, &refused["details"]["field"]),
        (400, &json!("query")),
        "not dropped in silence: {refused}"
    );
    let (status, gone) = call("generate-content", json!({"prompt": "x"}));
    assert_eq!((status, &gone["deprecated"]), (410, &json!(true)));
}

#[test]
fn a_picture_that_is_drawn_elsewhere_when_the_server_dies_fails_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, asked) = provider();
    let mut server = start(folder.path());
    let (_, token) = server.sign_up("ada@example.com");
    let mine = json!({"name": "mine", "display_name": "Mine", "base_url": format!("{base}/v1")});
    let mine = insert(&server, "api_providers", mine);
    let model = json!({"provider_id": mine, "model_key": "sdxl-turbo", "display_name": "Turbo", "modality": "image",
                       "endpoint_path": "/images/generations", "pricing": {"per_image": "0.01"}});
    let model = insert(&server, "api_models", model);
    let request =
        json!({"prompt": "a fox that never ends", "job_type": "sdxl_image_fast", "apiModelId": model});
    let (status, answer) = invoke(&server, &token, "fal-image", request);
    assert_eq!(status, 200, "{answer}");
    let job = answer["jobId"].as_str().expect("an id").to_string();
    talk::until("it is asked", || !asked.lock().expect("a lock").is_empty());
    server.kill();
    let server = start(folder.path());
    let failed = wait_for(&server, &token, &job, &["failed"]);
    assert_eq!(failed["error_message"], "the server stopped while the provider drew", "{failed}");
    let (_, spent) = invoke(&server, &token, "get-spending", json!({}));
    assert_eq!(spent["usd"]["spent"], 0, "{spent}");
    assert_eq!(server.check()["faults"], 0);
}
