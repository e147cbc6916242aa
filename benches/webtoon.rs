//! What do webtoons cost: how long are 30 scenes planned by rules, as jobs of a server, and how many artifacts are written
//! in a second, against plain rows of the same size by the same clients?
//!
//! `cargo bench --bench webtoon`

#[path = "../tests/common/mod.rs"]
mod common;
mod load;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::Server;
use load::{median, requests};
use serde_json::{Value as Json, json};

const CLIENTS: usize = 64;
const CALLS: usize = 3_200;
const PAIRS: usize = 5;
const SCENES: usize = 30;
const PLANS: usize = 3;
/// Goals: seconds for the plans of 30 scenes, and artifacts for each plain row.
const PLANNING_S_MAX: f64 = 1.0;
const ARTIFACTS_RATIO_MIN: f64 = 0.7;
const TEXT: &str = "Mira climbed the steps of the lighthouse. The wind turned and the lamp went out. \"Who is there?\" \
                    asked Tomas at the door. She ran down to the beach and nobody answered.";

fn made(server: &Server, token: &str, path: &str, body: &Json) -> Json {
    let (status, made) = server.call("POST", path, token, Some(body));
    assert!((200..300).contains(&status), "{path}: {status} {made}");
    made
}

fn id(row: &Json, name: &str) -> String {
    row[name].as_str().expect("an id").to_string()
}

/// Seconds until the plans of all scenes are there.
fn planned(server: &Server, token: &str, scenes: &[String]) -> f64 {
    let started = Instant::now();
    let body = json!({"offline": true, "panel_count": 3});
    let jobs: Vec<String> = scenes
        .iter()
        .map(|scene| id(&made(server, token, &format!("/v1/scenes/{scene}/plan_async"), &body), "job_id"))
        .collect();
    for job in &jobs {
        loop {
            let (_, job) = server.call("GET", &format!("/v1/jobs/{job}"), token, None);
            match job["status"].as_str() {
                Some("succeeded") => break,
                Some("queued" | "running") => std::thread::sleep(Duration::from_millis(2)),
                _ => panic!("{job}"),
            }
        }
    }
    started.elapsed().as_secs_f64()
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[("PLAYHOUSE_LOG", "error")]);
    let (_, token) = server.sign_up("bench@example.com");
    let project = id(&made(&server, &token, "/v1/projects", &json!({"name": "Tides"})), "project_id");
    let story = made(&server, &token, &format!("/v1/projects/{project}/stories"), &json!({"title": "Storm"}));
    let story = id(&story, "story_id");
    for name in ["Mira", "Tomas"] {
        made(&server, &token, &format!("/v1/stories/{story}/characters"), &json!({"name": name}));
    }
    let new_scene = || {
        let path = format!("/v1/stories/{story}/scenes");
        id(&made(&server, &token, &path, &json!({"source_text": TEXT})), "scene_id")
    };
    let scenes: Vec<String> = (0..SCENES).map(|_| new_scene()).collect();
    planned(&server, &token, &scenes[..2]);
    let took = median((0..PLANS).map(|_| planned(&server, &token, &scenes)).collect());
    println!("{SCENES} scenes planned by rules: {took:.2} s (goal: at most {PLANNING_S_MAX})");

    let address: SocketAddr = server.url.trim_start_matches("http://").parse().expect("an address");
    let head = format!(
        "host: x\r\nauthorization: Bearer {token}\r\napikey: {}\r\nprefer: return=minimal\r\n",
        server.anon
    );
    let request = |table: &str, row: &Json| {
        let body = row.to_string();
        format!(
            "POST /rest/v1/{table} HTTP/1.1\r\n{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let targets: Vec<String> = (0..CLIENTS).map(|_| new_scene()).collect();
    let words = TEXT.repeat(4);
    let plain = request("scenes", &json!({"story_id": story, "source_text": words}));
    let (mut spread, mut shared, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let artifact = |scene: &str| {
            let row = json!({"scene_id": scene, "type": "note", "version": 1, "payload": {"summary": words}});
            request("artifacts", &row)
        };
        rows.push(requests(address, CLIENTS, CALLS, b"201", |_| plain.clone()));
        spread.push(requests(address, CLIENTS, CALLS, b"201", |client| artifact(&targets[client])));
        shared.push(requests(address, CLIENTS, CALLS, b"201", |_| artifact(&targets[0])));
    }
    for (name, artifacts) in [("of a scene for each client", spread), ("of one scene", shared)] {
        let ratio = median(artifacts.iter().zip(&rows).map(|(one, other)| one / other).collect());
        println!(
            "artifacts {name}/s: {:.0}, plain rows/s: {:.0}, ratio {ratio:.2} (goal: at least {ARTIFACTS_RATIO_MIN})",
            median(artifacts),
            median(rows.clone())
        );
    }
}
