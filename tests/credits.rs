//! What pictures cost: nothing on a machine of one's own, credits where others may sign up.

mod common;

use common::Server;
use serde_json::{Value as Json, json};

fn start(folder: &std::path::Path, environment: &[(&str, &str)]) -> Server {
    let mut all = vec![("PLAYHOUSE_LOCAL_WORKER", "false"), ("PLAYHOUSE_CHARGE_CREDITS", "null")];
    all.extend_from_slice(environment);
    Server::start(folder, &all)
}

fn balance(server: &Server, token: &str) -> Json {
    server.call("GET", "/rest/v1/profiles?select=token_balance", token, None).1[0]["token_balance"].clone()
}

#[test]
fn a_fresh_server_does_not_run_dry() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let before = balance(&server, &token);
    let picture = json!({"job_type": "sdxl_image_high", "prompt": "a cat", "num_images": 6});
    for _ in 0..60 {
        let (status, answer) = server.call("POST", "/functions/v1/queue-job", &token, Some(&picture));
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(balance(&server, &token), before);
}

#[test]
fn where_others_may_sign_up_credits_are_charged_and_a_refusal_names_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[("PLAYHOUSE_PUBLIC_URL", "https://studio.example.com")]);
    let (id, token) = server.sign_up("ada@example.com");
    let path = format!("/rest/v1/profiles?id=eq.{id}");
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&json!({"token_balance": 1}))).0, 200);
    let picture = json!({"job_type": "sdxl_image_fast", "prompt": "a cat"});
    let queue = || server.call("POST", "/functions/v1/queue-job", &token, Some(&picture));
    assert_eq!(queue().0, 200);
    assert_eq!(balance(&server, &token), 0);
    let (status, refused) = queue();
    assert_eq!(status, 402, "{refused}");
    let said = refused.to_string();
    assert!(said.contains("token_balance") && said.contains("charge_credits"), "{said}");
}
