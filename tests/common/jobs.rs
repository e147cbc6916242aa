//! Queueing jobs and looking at what comes of them.

use std::time::{Duration, Instant};

use image::RgbImage;
use serde_json::{Value as Json, json};

use super::Server;
use super::files;

/// Queues a job; its id.
pub fn queue(server: &Server, token: &str, body: &Json) -> String {
    let (status, answer) = server.call("POST", "/functions/v1/queue-job", token, Some(body));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["status"], "queued");
    answer["jobId"].as_str().expect("an id").to_string()
}

/// Asserts that a job is refused with a status and words.
pub fn refused(server: &Server, token: &str, body: &Json, status: u16, words: &str) {
    let (found, answer) = server.call("POST", "/functions/v1/queue-job", token, Some(body));
    assert_eq!(found, status, "{body}: {answer}");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains(words)), "{words}: {answer}");
}

/// The first row of an answer.
pub fn one(server: &Server, token: &str, path: &str) -> Json {
    let (status, rows) = server.call("GET", path, token, None);
    assert!(status == 200 || status == 206, "{path}: {status} {rows}");
    rows.as_array().and_then(|rows| rows.first().cloned()).unwrap_or(Json::Null)
}

/// Waits until a job has one of some states; its row.
pub fn wait_for(server: &Server, token: &str, job: &str, statuses: &[&str]) -> Json {
    let started = Instant::now();
    loop {
        let row = one(server, token, &format!("/rest/v1/jobs?id=eq.{job}"));
        if statuses.iter().any(|status| row["status"] == *status) {
            return row;
        }
        assert!(started.elapsed() < Duration::from_secs(180), "job {job} is still {}", row["status"]);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for a job that completes; the bytes of its first file.
pub fn result_of(server: &Server, token: &str, job: &str) -> Vec<u8> {
    let row = wait_for(server, token, job, &["completed", "failed", "cancelled"]);
    assert_eq!(row["status"], "completed", "{row}");
    let asset = one(server, token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}&order=asset_index"));
    bytes_of(server, token, asset["temp_storage_path"].as_str().expect("a path"))
}

/// Queues a picture, waits for it and decodes it.
pub fn drawn(server: &Server, token: &str, body: &Json) -> RgbImage {
    let job = queue(server, token, body);
    image::load_from_memory(&result_of(server, token, &job)).expect("a picture").to_rgb8()
}

/// A small job.
pub fn picture(prompt: &str) -> Json {
    json!({"job_type": "sdxl_image_fast", "prompt": prompt, "seed": 7, "steps": 4})
}

/// A file of the workspace.
pub fn bytes_of(server: &Server, token: &str, path: &str) -> Vec<u8> {
    let answer = files::get(server, token, &format!("/object/workspace-temp/{path}"));
    assert_eq!(answer.status, 200);
    answer.bytes
}

/// How far two pictures are apart: mean of the differences of their bytes.
pub fn distance(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}
