//! Jobs are handed to workers whose address is registered; how they fare is asked at intervals.

mod common;
mod talk;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Server;
use common::jobs::{one, picture, queue, wait_for};
use common::webhooks::signed;
use hmac::{Hmac, Mac};
use serde_json::{Value as Json, json};
use talk::{invoke, until};

const SECRET: &str = "between us";

#[derive(Clone, Default)]
struct Worker {
    jobs: Arc<Mutex<Vec<Json>>>,
    /// How many jobs it refuses before it takes one.
    refuses: Arc<Mutex<usize>>,
    is_ill: Arc<Mutex<bool>>,
}

async fn take(State(worker): State<Worker>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&body);
    if header("webhook-signature") != format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())) {
        return StatusCode::UNAUTHORIZED;
    }
    let mut refuses = worker.refuses.lock().expect("a lock");
    if *refuses > 0 {
        *refuses -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    worker.jobs.lock().expect("a lock").push(serde_json::from_slice(&body).expect("JSON"));
    StatusCode::ACCEPTED
}

async fn health(State(worker): State<Worker>) -> StatusCode {
    if *worker.is_ill.lock().expect("a lock") { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

impl Worker {
    fn start() -> (String, Worker) {
        let worker = Worker::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = Router::new()
            .route("/health", get(health))
            .route("/worker/info", get(async || axum::Json(json!({"gpu": "none"}))))
            .route("/generate", post(take))
            .with_state(worker.clone());
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, routes).await
            })
        });
        (url, worker)
    }

    fn jobs(&self) -> Vec<Json> {
        self.jobs.lock().expect("a lock").clone()
    }
}

#[test]
fn a_registered_worker_gets_jobs_and_reports() {
    let folder = tempfile::tempdir().expect("a folder");
    let (url, worker) = Worker::start();
    let environment = [
        ("PLAYHOUSE_CALLBACK_SECRET", SECRET),
        ("PLAYHOUSE_LOCAL_WORKER", "false"),
        ("PLAYHOUSE_WORKER_PROBE_S", "1"),
    ];
    let server = Server::start(folder.path(), &environment);
    let (id, token) = server.sign_up("admin@example.com");
    let role = json!({"user_id": id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let first = queue(&server, &token, &picture("a cat"));
    let (status, answer) =
        invoke(&server, &token, "update-worker-url", json!({"worker_url": url, "worker_type": "oil"}));
    assert_eq!(status, 400, "{answer}");
    *worker.refuses.lock().expect("a lock") = 1;
    let (status, answer) =
        invoke(&server, &token, "update-worker-url", json!({"worker_url": url, "worker_type": "sdxl"}));
    assert_eq!(status, 200, "{answer}");
    let (status, found) = invoke(&server, &token, "get-active-worker-url", json!({"worker_type": "sdxl"}));
    assert_eq!(
        (status, &found["supportedEndpoints"], &found["workerCapabilities"]),
        (200, &json!(["/health", "/generate"]), &json!({"gpu": "none"})),
        "{found}"
    );
    // What was not taken is tried again.
    until("the job is handed over", || worker.jobs().len() == 1);
    let job = worker.jobs()[0].clone();
    assert_eq!(
        (&job["job_id"], &job["prompt"], &job["attempt"]),
        (&json!(first), &json!("a cat"), &json!(2)),
        "{job}"
    );
    assert!(
        job["callback_url"].as_str().is_some_and(|to| to.ends_with("/functions/v1/job-callback")),
        "{job}"
    );
    // One at a time.
    let second = queue(&server, &token, &picture("a dog"));
    assert_eq!(wait_for(&server, &token, &first, &["processing"])["status"], "processing");
    let report = json!({"job_id": first, "status": "failed", "attempt": 2, "error": "out of paint"});
    assert_eq!(signed(&server, SECRET, "job-callback", &report).0, 200);
    until("the next one is handed over", || worker.jobs().len() == 2);
    assert_eq!(worker.jobs()[1]["job_id"], json!(second));
    let log = one(&server, &token, "/rest/v1/api_usage_logs?select=error_message,api_providers(name)");
    assert_eq!(log["error_message"], "out of paint");
    let report = json!({"job_id": second, "status": "failed", "attempt": 1, "error": "no"});
    assert_eq!(signed(&server, SECRET, "job-callback", &report).0, 200);
    // An ill one gets none, until it is well again.
    *worker.is_ill.lock().expect("a lock") = true;
    let health = || {
        let path =
            "/rest/v1/system_config?id=eq.1&select=well:config->workerHealthCache->sdxlWorker->isHealthy";
        one(&server, &server.service, path)["well"].clone()
    };
    until("it is seen to be ill", || health() == json!(false));
    let third = queue(&server, &token, &picture("a fox"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(one(&server, &token, &format!("/rest/v1/jobs?id=eq.{third}"))["status"], "queued");
    *worker.is_ill.lock().expect("a lock") = false;
    until("it is well again", || worker.jobs().len() == 3);
    assert_eq!(server.check()["faults"], 0);
}
