//! How long does the device do nothing between one job and the next one's first step, and how many jobs a minute does
//! a queue of small pictures come to, drawn one by one and side by side?
//!
//! `cargo bench --bench next_job`; with `PLAYHOUSE_BENCH_LOG=actors::render=debug` the server tells what the gaps are.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::Server;
use common::jobs::{one, queue, wait_for};
use serde_json::json;

/// Goal.
const GAP_MS_MAX: f64 = 20.0;

fn main() {
    for (name, batch, jobs, side, steps) in [
        ("one by one", "1", 24, 64, 8),
        ("side by side", "null", 24, 64, 8),
        ("a long queue, one by one", "1", 190, 16, 2),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let log = std::env::var("PLAYHOUSE_BENCH_LOG").unwrap_or_else(|_| "warn".into());
        let environment = [
            ("PLAYHOUSE_IMAGE_BATCH_MAX", batch),
            ("PLAYHOUSE_CHARGE_CREDITS", "false"),
            ("PLAYHOUSE_LOG", log.as_str()),
        ];
        let server = Server::start(folder.path(), &environment);
        let (_, token) = server.sign_up("painter@example.com");
        let request = |seed: usize| {
            json!({"job_type": "sdxl_image_fast", "prompt": format!("a woman on a beach, {seed}"), "seed": seed, "steps": steps,
                   "width": side, "height": side})
        };
        // The model is loaded with the first.
        let first = queue(&server, &token, &request(0));
        wait_for(&server, &token, &first, &["completed"]);
        // It is busy while the others gather.
        let long = json!({"job_type": "sdxl_image_fast", "prompt": "a house", "steps": 200});
        let long = queue(&server, &token, &long);
        wait_for(&server, &token, &long, &["processing"]);
        let queued: Vec<String> = (0..jobs).map(|seed| queue(&server, &token, &request(seed))).collect();
        let cancel = json!({"status": "cancelled"});
        server.call("PATCH", &format!("/rest/v1/jobs?id=eq.{long}"), &token, Some(&cancel));
        let started = Instant::now();
        // No requests are sent meanwhile: they would take the processor from the drawing.
        wait_for(&server, &token, &queued[0], &["completed"]);
        let last = queued.last().expect("a job");
        while one(&server, &token, &format!("/rest/v1/jobs?id=eq.{last}"))["status"] != "completed" {
            std::thread::sleep(Duration::from_millis(500));
        }
        let seconds = started.elapsed().as_secs_f64();
        let path = "/rest/v1/jobs?status=eq.completed&select=metadata&order=completed_at";
        let (_, rows) = server.call("GET", path, &token, None);
        let rows = rows.as_array().cloned().unwrap_or_default();
        // The first two waited for no other job, and for the long one to end.
        let gaps = rows.iter().skip(2).filter_map(|row| row["metadata"]["device_gap_ms"].as_f64());
        let mut gaps: Vec<f64> = gaps.collect();
        gaps.sort_by(f64::total_cmp);
        let at = |part: f64| gaps.get(((gaps.len() - 1) as f64 * part) as usize).copied().unwrap_or(f64::NAN);
        println!(
            "next_job: {name}: {jobs} jobs of {side} × {side}, {steps} steps: {:.1} a minute; gap before the first step: \
             median {:.1} ms, 90 % {:.1} ms, largest {:.1} ms (goal {GAP_MS_MAX} ms)",
            jobs as f64 / seconds * 60.0,
            at(0.5),
            at(0.9),
            at(1.0)
        );
    }
}
