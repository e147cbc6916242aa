//! What models take: every call is written down with its cost, totals follow, and limits are kept.

mod common;
mod model_server;
mod talk;

use std::time::Duration;

use common::Server;
use common::jobs::{one, picture, queue, refused, wait_for};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{conversation, invoke, until};

fn rows(server: &Server, token: &str, path: &str) -> Vec<Json> {
    let (status, rows) = server.call("GET", &format!("/rest/v1/{path}"), token, None);
    assert_eq!(status, 200, "{path}: {rows}");
    rows.as_array().expect("rows").clone()
}

/// The sum of a column.
fn sum(rows: &[Json], column: &str) -> f64 {
    rows.iter().filter_map(|row| row[column].as_f64()).sum()
}

fn set(server: &Server, path: &str, values: Json) {
    let (status, answer) = server.call("PATCH", &format!("/rest/v1/{path}"), &server.service, Some(&values));
    assert!(status == 200 && answer.as_array().is_some_and(|rows| !rows.is_empty()), "{path}: {answer}");
}

/// A server whose chat model elsewhere costs a cent for a reply, and whose own picture model two cents a picture.
fn priced(folder: &std::path::Path) -> (ModelServer, Server, String, String) {
    let model = ModelServer::start(Duration::ZERO, 5);
    let server = Server::start(folder, &[]);
    model.become_default(&server);
    let (user, token) = server.sign_up("ada@example.com");
    // Ten tokens of prompt and five of reply are counted.
    set(
        &server,
        "api_models?model_key=eq.slow",
        json!({"pricing": {"input_per_1m": 500, "output_per_1m": 1000}}),
    );
    set(&server, "api_models?model_key=eq.starter&modality=eq.image", json!({"cost_per_use": 0.02}));
    (model, server, user, token)
}

#[test]
fn calls_and_jobs_are_written_down_with_what_they_took() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_model, server, user, token) = priced(folder.path());
    let balance = json!({"provider_id": one(&server, &server.service, "/rest/v1/api_providers?name=eq.test")["id"],
                         "balance_usd": 1, "sync_method": "manual"});
    assert_eq!(server.call("POST", "/rest/v1/api_provider_balances", &server.service, Some(&balance)).0, 201);
    let chat = conversation(&server, &user, &token);
    let body = json!({"conversation_id": chat, "message": "Hello"});
    assert_eq!(invoke(&server, &token, "playground-chat", body).0, 200);
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(server.call("POST", "/v1/chat/completions", &token, Some(&body)).0, 200);
    let mut three = picture("a cat");
    three["image_count"] = json!(3);
    let job = queue(&server, &token, &three);
    assert_eq!(wait_for(&server, &token, &job, &["completed", "failed"])["status"], "completed");
    let body = json!({"prompt": "a dog", "size": "64x64", "steps": 2, "response_format": "b64_json"});
    assert_eq!(server.call("POST", "/v1/images/generations", &token, Some(&body)).0, 200);

    let logs = || rows(&server, &token, "api_usage_logs?order=created_at");
    until("all are written down", || logs().len() >= 4);
    let logs = logs();
    let seen: Vec<Json> = logs
        .iter()
        .map(|log| {
            json!([log["request_type"], log["cost_usd"], log["response_status"], log["user_id"] == user])
        })
        .collect();
    assert_eq!(
        seen,
        [
            json!(["chat", 0.01, 200, true]),
            json!(["chat", 0.01, 200, true]),
            json!(["image", 0.06, 200, true]),
            json!(["image", 0.02, 200, true]),
        ],
        "{logs:?}"
    );
    assert_eq!(
        (&logs[2]["provider_metadata"]["job_id"], &logs[2]["provider_metadata"]["results"]),
        (&json!(job), &json!(3))
    );
    assert!(logs.iter().all(|log| log["model_id"].is_string()), "{logs:?}");
    // Credits agree with what the account was charged.
    let charged = rows(&server, &token, "usage_logs");
    assert_eq!(sum(&charged, "credits_consumed"), sum(&logs, "cost_credits"));
    assert_eq!(sum(&charged, "credits_consumed"), 4.0);
    // Totals of the hours are those of the calls.
    let totals = rows(&server, &server.service, "api_usage_aggregates?hour_bucket=not.is.null");
    let about = |column: &str| (sum(&totals, column) * 1e6).round() / 1e6;
    assert_eq!((about("request_count"), about("error_count"), about("cost_usd_total")), (4.0, 0.0, 0.1));
    assert_eq!((about("tokens_input_total"), about("tokens_output_total")), (20.0, 10.0));
    let left = one(&server, &server.service, "/rest/v1/api_provider_balances");
    assert_eq!(left["balance_usd"], 0.98, "what the provider took is off its balance");
    let (status, spent) = invoke(&server, &token, "get-spending", json!({}));
    assert_eq!(
        (status, &spent["usd"], &spent["credits"]["spent"]),
        (200, &json!({"spent": 0.1, "limit": null, "left": null}), &json!(4)),
        "{spent}"
    );
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn what_a_job_takes_is_kept_when_it_ends_badly_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_model, server, _, token) = priced(folder.path());
    let mut long = picture("a cat");
    (long["steps"], long["width"], long["height"]) = (json!(200), json!(512), json!(512));
    let job = queue(&server, &token, &long);
    wait_for(&server, &token, &job, &["processing"]);
    let path = format!("/rest/v1/jobs?id=eq.{job}");
    assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"status": "cancelled"}))).0, 200);
    let logs = rows(&server, &token, "api_usage_logs");
    assert_eq!(logs.len(), 1, "{logs:?}");
    assert_eq!(
        (
            &logs[0]["cost_usd"],
            &logs[0]["cost_credits"],
            &logs[0]["response_status"],
            &logs[0]["error_message"]
        ),
        (&json!(0), &json!(0), &json!(499), &json!("cancelled"))
    );
    assert_eq!(rows(&server, &token, "usage_logs").len(), 0);
    let totals = rows(&server, &server.service, "api_usage_aggregates?select=request_count,error_count");
    assert_eq!(totals, [json!({"request_count": 1, "error_count": 1})]);
}

#[test]
fn a_spending_limit_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_model, server, user, token) = priced(folder.path());
    // A cent for a reply, however long it is.
    set(&server, "api_models?model_key=eq.slow", json!({"pricing": {"per_call": 0.01}}));
    let limit = |token: &str, body: Json| invoke(&server, token, "set-spending-limit", body);
    assert_eq!(limit(&token, json!({"usd_per_day": 9})).0, 403, "administrators only");
    let service = server.service.clone();
    for (body, field) in [
        (json!({"usd_per_day": -1}), "usd_per_day"),
        (json!({"credits_per_day": "much"}), "credits_per_day"),
        (json!({"usd_a_day": 1}), "usd_a_day"),
    ] {
        let (status, answer) = limit(&service, body);
        assert!(status == 400 && answer.to_string().contains(field), "{answer}");
    }
    // For everyone, and then for one account.
    assert_eq!(limit(&service, json!({"usd_per_day": 0.01})).0, 200);
    let mut two = picture("a cat");
    two["image_count"] = json!(2);
    refused(&server, &token, &two, 402, "leaves 0.01 of 0.01 USD, and this takes 0.04");
    assert_eq!(limit(&service, json!({"user_id": user, "usd_per_day": 0.05})).0, 200);
    let job = queue(&server, &token, &two);
    // What waits or runs is spent already.
    refused(&server, &token, &two, 402, "leaves 0.01 of 0.05 USD");
    assert_eq!(wait_for(&server, &token, &job, &["completed", "failed"])["status"], "completed");
    refused(&server, &token, &two, 402, "leaves 0.01 of 0.05 USD");
    let chat = conversation(&server, &user, &token);
    let said =
        || invoke(&server, &token, "playground-chat", json!({"conversation_id": chat, "message": "Hello"}));
    assert_eq!(said().0, 200, "a cent is left");
    let (_, spent) = invoke(&server, &token, "get-spending", json!({}));
    assert_eq!(spent["usd"], json!({"spent": 0.05, "limit": 0.05, "left": 0}), "{spent}");
    let (status, answer) = said();
    assert_eq!((status, &answer["code"]), (402, &json!("SPENDING_LIMIT")), "{answer}");
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(server.call("POST", "/v1/chat/completions", &token, Some(&body)).0, 402);
    // Credits have a limit of their own, and none at all takes both away.
    assert_eq!(limit(&service, json!({"user_id": user, "credits_per_day": 2})).0, 200);
    refused(&server, &token, &two, 402, "leaves 0 of 2 credits");
    assert_eq!(limit(&service, json!({"user_id": user})).0, 200);
    assert_eq!(limit(&service, json!({})).0, 200);
    assert_eq!(said().0, 200);
    let (_, other_token) = server.sign_up("bob@example.com");
    assert_eq!(invoke(&server, &other_token, "get-spending", json!({"user_id": user})).0, 403);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn chats_that_are_made_together_do_not_pass_a_limit_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(300), 10);
    let mut server = Server::start(folder.path(), &[]);
    model.become_default(&server);
    let (user, token) = server.sign_up("ada@example.com");
    set(&server, "api_models?model_key=eq.slow", json!({"pricing": {"per_call": 0.01}}));
    let service = server.service.clone();
    assert_eq!(
        invoke(&server, &service, "set-spending-limit", json!({"user_id": user, "usd_per_day": 0.03})).0,
        200
    );
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || {
            let body =
                json!({"model": "slow", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20});
            server.call("POST", "/v1/chat/completions", &token, Some(&body)).0
        };
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
    });
    let count = |status: u16| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!((count(200), count(402)), (3, 5), "{statuses:?}");
    // What was reserved is settled: it is what the calls cost.
    let spent = |server: &Server| invoke(server, &token, "get-spending", json!({})).1["usd"].clone();
    assert_eq!(spent(&server), json!({"spent": 0.03, "limit": 0.03, "left": 0}));
    // A call that never comes to its model gives back what was reserved, and so does a server that dies under it.
    assert_eq!(
        invoke(&server, &service, "set-spending-limit", json!({"user_id": user, "usd_per_day": 0.04})).0,
        200
    );
    std::thread::scope(|scope| {
        let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hi"}]});
        let url = format!("{}/v1/chat/completions", server.url);
        let token = token.clone();
        scope.spawn(move || {
            let bearer = format!("Bearer {token}");
            // The server dies before it answers.
            let _ = common::send("POST", &url, &[("authorization", &bearer)], Some(&body));
        });
        until("it is reserved", || spent(&server)["left"] == 0);
        server.kill();
    });
    let server = Server::start(folder.path(), &[]);
    assert_eq!(spent(&server), json!({"spent": 0.03, "limit": 0.04, "left": 0.01}));
    assert_eq!(server.check()["faults"], 0);
}
