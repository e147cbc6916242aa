//! The figures of `/metrics` are those of what was done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::common::jobs::{picture, queue, result_of, wait_for};
use crate::common::webhooks::signed;
use crate::common::{Server, get};
use crate::model_server::ModelServer;
use crate::talk::{conversation, invoke, until};

const SECRET: &str = "callback secret of the test";

/// The page as figures by their name with labels.
fn figures(text: &str) -> BTreeMap<String, f64> {
    assert!(text.trim_end().ends_with("# EOF"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.map(|(name, value)| (name.to_string(), value.parse().expect("a number"))).collect()
}

fn read(server: &Server) -> BTreeMap<String, f64> {
    let (status, text) = server.call("GET", "/metrics", &server.service, None);
    assert_eq!(status, 200, "{text}");
    figures(text.as_str().expect("text"))
}

/// The sum of all figures of a name whose labels hold some texts.
fn sum(all: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let fits = |key: &String| {
        (key == name || key.starts_with(&format!("{name}{{")))
            && labels.iter().all(|label| key.contains(label))
    };
    all.iter().filter(|(key, _)| fits(key)).map(|(_, value)| value).sum()
}

#[test]
fn figures_are_those_of_what_was_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let model = ModelServer::start(Duration::ZERO, 4);
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    for (filter, prices) in [
        ("model_key=eq.slow", json!({"pricing": {"per_call": 0.01}})),
        ("model_key=eq.starter&modality=eq.image", json!({"cost_per_use": 0.02})),
    ] {
        let (status, rows) =
            server.call("PATCH", &format!("/rest/v1/api_models?{filter}"), &server.service, Some(&prices));
        assert!(status == 200 && rows != json!([]), "{rows}");
    }

    // Two pictures of four steps each, and a job that never begins.
    for _ in 0..2 {
        let job = queue(&server, &token, &picture("a robot"));
        result_of(&server, &token, &job);
    }
    let (status, refused) = server.call(
        "POST",
        "/functions/v1/queue-job",
        &token,
        Some(&json!({"job_type": "no such kind", "prompt": "x"})),
    );
    assert_eq!(status, 400, "{refused}");
    // Two replies.
    let chat = conversation(&server, &id, &token);
    for _ in 0..2 {
        let body = json!({"conversation_id": chat, "message": "Hello", "max_tokens": 8});
        let (status, answer) = invoke(&server, &token, "playground-chat", body);
        assert_eq!(status, 200, "{answer}");
    }

    let logs = |filter: &str| -> Vec<Json> {
        let path = format!("/rest/v1/api_usage_logs?select=*&{filter}");
        let (_, rows) = server.call("GET", &path, &server.service, None);
        rows.as_array().expect("rows").clone()
    };
    until("all calls are counted", || {
        let all = read(&server);
        let counted = sum(&all, "playhouse_chat_calls_total", &[]);
        counted as usize == logs("request_type=eq.chat").len() && counted >= 2.0
    });
    let all = read(&server);
    let rows = logs("request_type=eq.chat");
    let total = |column: &str| rows.iter().filter_map(|row| row[column].as_f64()).sum::<f64>();
    assert_eq!(sum(&all, "playhouse_chat_tokens_total", &["prompt"]), total("tokens_input"));
    assert_eq!(sum(&all, "playhouse_chat_tokens_total", &["completion"]), total("tokens_output"));
    assert_eq!(sum(&all, "playhouse_chat_calls_total", &["answered", "elsewhere"]), rows.len() as f64);

    // What it cost: the calls one by one, the hours' totals, what the account is told, and what credits say.
    let costs = |server: &Server, token: &str| {
        let sum_of = |path: &str, column: &str| {
            let (_, rows) = server.call("GET", &format!("/rest/v1/{path}"), &server.service, None);
            let rows = rows.as_array().expect("rows").clone();
            (rows.iter().filter_map(|row| row[column].as_f64()).sum::<f64>() * 1e6).round() / 1e6
        };
        let (_, spent) = invoke(server, token, "get-spending", json!({}));
        [
            sum_of("api_usage_logs", "cost_usd"),
            sum_of("api_usage_aggregates?hour_bucket=not.is.null", "cost_usd_total"),
            spent["usd"]["spent"].as_f64().expect("a number"),
        ]
    };
    let chats = rows.iter().filter(|row| row["cost_usd"].as_f64() == Some(0.01)).count() as f64;
    assert!(chats >= 2.0, "{rows:?}");
    let expected = ((chats * 0.01 + 2.0 * 0.02) * 1e6).round() / 1e6;
    assert_eq!(costs(&server, &token), [expected; 3]);
    let (_, charged) = server.call("GET", "/rest/v1/usage_logs", &token, None);
    assert_eq!(charged.as_array().map(Vec::len), Some(2), "a row for each picture: {charged}");

    let kind = "kind=\"sdxl_image_fast\"";
    assert_eq!(sum(&all, "playhouse_jobs", &["completed", kind]), 2.0, "{all:#?}");
    assert_eq!(sum(&all, "playhouse_jobs_ended_total", &["completed", kind]), 2.0);
    assert_eq!(sum(&all, "playhouse_drawing_steps_total", &[]), 8.0);
    assert!(sum(&all, "playhouse_drawing_seconds_total", &[]) > 0.0);
    let (_, stats) = server.call("POST", "/rest/v1/rpc/get_system_stats", &server.service, Some(&json!({})));
    assert_eq!(sum(&all, "playhouse_jobs", &[]), stats["total_jobs"].as_f64().expect("a number"), "{stats}");
    assert_eq!(stats["completed_jobs"], 2);

    let answered = |all: &BTreeMap<String, f64>, labels: &[&str]| {
        sum(all, "playhouse_http_request_seconds_count", labels)
    };
    let route = "route=\"/functions/v1/queue-job\"";
    assert_eq!(answered(&all, &[route, "status=\"200\""]), 2.0);
    assert_eq!(answered(&all, &[route, "status=\"400\""]), 1.0);
    assert_eq!(answered(&all, &["route=\"/functions/v1/playground-chat\"", "status=\"200\"", "POST"]), 2.0);
    assert_eq!(answered(&all, &["route=\"/rest/v1/rpc/get_system_stats\""]), 0.0, "it was read before");
    assert!(sum(&all, "playhouse_commits_total", &[]) > 0.0);
    assert!(sum(&all, "playhouse_flush_seconds_sum", &[]) > 0.0);
    assert!(sum(&all, "playhouse_store_used_bytes", &[]) > 0.0);
    let scheduler = "actor=\"job_scheduler\"";
    let decided = sum(&all, "playhouse_actor_decisions_total", &[scheduler]);
    assert!(decided > 0.0);
    // Histograms: each decision and each flush is in one bucket, and the last bucket has all of them.
    assert_eq!(sum(&all, "playhouse_actor_handling_seconds_count", &[scheduler]), decided);
    assert_eq!(sum(&all, "playhouse_actor_handling_seconds_bucket", &[scheduler, "le=\"+Inf\""]), decided);
    assert!(sum(&all, "playhouse_actor_handling_seconds_sum", &[scheduler]) > 0.0);
    assert_eq!(sum(&all, "playhouse_flush_seconds_count", &[]), sum(&all, "playhouse_flushes_total", &[]));
    assert_eq!(sum(&all, "playhouse_actor_restarts_total", &[]), 0.0);
    assert!(sum(&all, "playhouse_connections", &[]) >= 1.0);
    assert!(sum(&all, "process_resident_memory_bytes", &[]) > 1e6 || cfg!(not(target_os = "linux")));

    // Names that clients invent make no figures of their own.
    for path in
        ["/rest/v1/no_such_table", "/functions/v1/no-such-function", "/no/such/route", "/rest/v1/rpc/none"]
    {
        server.call("GET", path, &token, None);
    }
    let text = format!("{:?}", read(&server));
    assert!(!text.contains("no_such") && !text.contains("no-such") && !text.contains("/no/such"), "{text}");

    // What is kept over a restart, a job that fails, and one that is cancelled.
    server.stop();
    let environment = [("PLAYHOUSE_LOCAL_WORKER", "false"), ("PLAYHOUSE_CALLBACK_SECRET", SECRET)];
    let server = Server::start(folder.path(), &environment);
    let body = json!({"email": "ada@example.com", "password": "correct horse"});
    let (_, session) = server.call("POST", "/auth/v1/token?grant_type=password", &server.anon, Some(&body));
    let token = session["access_token"].as_str().expect("a token");
    let job = queue(&server, token, &picture("a lamp"));
    let all = read(&server);
    assert_eq!(sum(&all, "playhouse_jobs", &["queued", kind]), 1.0, "{all:#?}");
    assert_eq!(sum(&all, "playhouse_jobs", &["completed", kind]), 2.0);
    assert_eq!(sum(&all, "playhouse_jobs_ended_total", &[]), 0.0, "since the start");
    let failing = queue(&server, token, &picture("a storm"));
    let report = json!({"jobId": failing, "status": "failed", "metadata": {"error_type": "oom"}});
    let (status, answer) = signed(&server, SECRET, "job-callback", &report);
    assert_eq!(status, 200, "{answer}");
    let path = format!("/rest/v1/jobs?id=eq.{job}");
    let (status, rows) = server.call("PATCH", &path, token, Some(&json!({"status": "cancelled"})));
    assert_eq!(status, 200, "{rows}");
    wait_for(&server, token, &job, &["cancelled"]);
    let all = read(&server);
    assert_eq!(sum(&all, "playhouse_jobs", &["queued"]), 0.0);
    for (state, ended) in [("cancelled", 1.0), ("failed", 1.0), ("completed", 0.0)] {
        assert_eq!(sum(&all, "playhouse_jobs_ended_total", &[state, kind]), ended, "{state}");
    }
    assert_eq!(costs(&server, token), [expected; 3], "what failed, or was cancelled, cost nothing");
    let (_, queues) = invoke(&server, &server.service, "system-metrics", json!({}));
    assert_eq!(queues["queues"], json!({"sdxl_queue": 0, "wan_queue": 0}), "{queues}");
    let (_, stats) = server.call("POST", "/rest/v1/rpc/get_system_stats", &server.service, Some(&json!({})));
    assert_eq!(sum(&all, "playhouse_jobs", &["failed"]), stats["failed_jobs"].as_f64().expect("a number"));
    assert_eq!(sum(&all, "playhouse_jobs", &[]), stats["total_jobs"].as_f64().expect("a number"), "{stats}");
}

#[test]
fn figures_are_for_operators_and_may_have_an_address_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_METRICS_LISTEN", &port.to_string())]);
    let (id, token) = server.sign_up("ada@example.com");
    for key in [&server.anon, &token] {
        let (status, body) = server.call("GET", "/metrics", key, None);
        assert_eq!(status, 403, "{body}");
    }
    let (status, body) = server.call("GET", "/metrics", "no.token.atall", None);
    assert_eq!(status, 401, "{body}");
    let (status, body) = get(&format!("{}/metrics", server.url), &[]).expect("an answer");
    assert_eq!(status, 401, "{body}");
    let role = json!({"user_id": id, "role": "admin"});
    let (status, rows) = server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role));
    assert_eq!(status, 201, "{rows}");
    let (status, _) = server.call("GET", "/metrics", &token, None);
    assert_eq!(status, 200);
    let (status, text) = get(&format!("http://{port}/metrics"), &[]).expect("an answer");
    assert_eq!(status, 200);
    assert!(figures(text.as_str().expect("text")).contains_key("playhouse_uptime_seconds"));
    for path in ["/health", "/rest/v1/jobs", "/"] {
        let (status, _) = get(&format!("http://{port}{path}"), &[]).expect("an answer");
        assert_eq!(status, 404, "{path}");
    }
    let (status, ready) = get(&format!("{}/ready", server.url), &[]).expect("an answer");
    assert_eq!((status, &ready["status"]), (200, &json!("ready")));
}
