//! The server's secrets: which it sends where, what it tells whom, and that signed requests count once.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::webhooks::{headers, send, signed};
use common::{Server, webhooks};
use hmac::{Hmac, Mac};
use serde_json::{Value as Json, json};

/// However slow the machine is, it takes no longer.
const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "between us";

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = Instant::now();
    while !holds() {
        assert!(waiting.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An account with the role of an administrator; its id and token.
fn admin(server: &Server) -> (String, String) {
    let (id, token) = server.sign_up("admin@example.com");
    let role = json!({"user_id": id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    (id, token)
}

#[test]
fn a_provider_names_only_variables_made_for_it_and_its_changes_are_audited() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [
        ("PLAYHOUSE_CALLBACK_SECRET", SECRET),
        ("OPENAI_API_KEY", "someone's key"),
        ("PLAYHOUSE_PROVIDER_A", "a key"),
    ];
    let server = Server::start(folder.path(), &environment);
    let (id, token) = admin(&server);
    let provider = |secret: Json| json!({"name": "a", "display_name": "A", "base_url": "https://a.example/v1", "secret_name": secret});
    let path = "/rest/v1/api_providers";
    for name in
        ["PLAYHOUSE_CALLBACK_SECRET", "OPENAI_API_KEY", "PATH", "playhouse_provider_a", "PLAYHOUSE_PROVIDER_"]
    {
        let (status, refused) = server.call("POST", path, &token, Some(&provider(json!(name))));
        let message = refused["message"].as_str().unwrap_or_default();
        assert_eq!((status, &refused["code"]), (400, &json!("23514")), "{name}: {refused}");
        assert!(message.starts_with("secret_name:") && message.contains("PLAYHOUSE_PROVIDER_"), "{refused}");
        // Not even the service key is let through.
        assert_eq!(server.call("POST", path, &server.service, Some(&provider(json!(name)))).0, 400, "{name}");
    }
    let (status, made) = server.call("POST", path, &token, Some(&provider(json!("PLAYHOUSE_PROVIDER_A"))));
    assert_eq!(status, 201, "{made}");
    let row = format!("{path}?id=eq.{}", made[0]["id"].as_str().expect("an id"));
    for (change, field) in [
        (json!({"secret_name": "PLAYHOUSE_CALLBACK_SECRET"}), "secret_name:"),
        (json!({"base_url": "https://me:password@b.example"}), "base_url:"),
    ] {
        let (status, refused) = server.call("PATCH", &row, &token, Some(&change));
        assert!(
            status == 400 && refused["message"].as_str().unwrap_or_default().starts_with(field),
            "{refused}"
        );
    }
    let elsewhere = json!({"base_url": "https://b.example/v1"});
    assert_eq!(server.call("PATCH", &row, &token, Some(&elsewhere)).0, 200);
    let model =
        json!({"provider_id": made[0]["id"], "model_key": "m", "display_name": "M", "modality": "chat"});
    assert_eq!(server.call("POST", "/rest/v1/api_models", &token, Some(&model)).0, 201);
    // A worker's address lies among much else.
    let config =
        json!({"config": {"promptCache": "x".repeat(40_000), "chatWorkerUrl": "http://127.0.0.1:1"}});
    for address in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
        let mut config = config.clone();
        config["config"]["chatWorkerUrl"] = json!(address);
        let path = "/rest/v1/system_config?id=eq.1";
        let (status, changed) = server.call("PATCH", path, &token, Some(&config));
        assert!(status == 200 && changed.as_array().is_some_and(|rows| !rows.is_empty()), "{changed}");
    }
    let trail = |entity: &str| {
        let path = format!("/rest/v1/audit_logs?entity_type=eq.{entity}&order=timestamp.desc,id");
        let (status, rows) = server.call("GET", &path, &server.service, None);
        assert_eq!(status, 200, "{rows}");
        rows[0].clone()
    };
    let moved = trail("api_providers");
    assert_eq!(
        (
            &moved["action"],
            &moved["user_id"],
            &moved["old_value"]["base_url"],
            &moved["new_value"]["base_url"]
        ),
        (&json!("update"), &json!(id), &json!("https://a.example/v1"), &json!("https://b.example/v1"))
    );
    assert!(!moved.to_string().contains("a key"), "{moved}");
    let added = trail("api_models");
    assert_eq!((&added["action"], &added["new_value"]["model_key"]), (&json!("create"), &json!("m")));
    let worker = trail("system_config");
    assert_eq!(
        (&worker["user_id"], &worker["old_value"]["config"], &worker["new_value"]["config"]),
        (
            &json!(id),
            &json!({"chatWorkerUrl": "http://127.0.0.1:1"}),
            &json!({"chatWorkerUrl": "http://127.0.0.1:2"})
        )
    );
}

/// Writes a provider with a chat model as an earlier version let it be written.
fn write_as_before(data: &Path, base_url: &str) {
    let (store, _) =
        store::Store::open(data, models::schema(), &store::OpenOptions::default()).expect("a store");
    let service = models::Claims::service();
    let (providers, models) = ["api_providers", "api_models"].map(|name| models::schema().known(name)).into();
    let mut provider = providers.default_row();
    for (column, value) in
        [("name", "old"), ("display_name", "Old"), ("base_url", base_url), ("secret_name", "OPENAI_API_KEY")]
    {
        provider[providers.at(column)] = models::Value::text(value);
    }
    let mut model = models.default_row();
    for (column, value) in [("model_key", "m"), ("display_name", "M"), ("modality", "chat")] {
        model[models.at(column)] = models::Value::text(value);
    }
    model[models.at("tasks")] = models::Value::TextArray(vec![Some("roleplay".into())]);
    model[models.at("provider_id")] = provider[providers.at("id")].clone();
    let written = store.transact(&service, |transaction| {
        let caller = store::Caller::new(&service);
        transaction.insert(&caller, providers, provider.clone())?;
        transaction.insert(&caller, models, model.clone())
    });
    let (_, durable) = written.expect("two rows");
    durable.wait_blocking().expect("they are durable");
}

#[test]
fn a_name_of_before_is_not_read_and_everybody_concerned_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it does not wait");
    write_as_before(folder.path(), &format!("http://{}/v1", listener.local_addr().expect("an address")));
    let server = Server::start(folder.path(), &[("OPENAI_API_KEY", "the server's own")]);
    let (_, health) = server.call("GET", "/health", &server.service, None);
    let ignored = json!([{"provider": "old", "secret_name": "OPENAI_API_KEY"}]);
    assert_eq!(health["provider_keys_ignored"], ignored, "{health}");
    let (_, token) = server.sign_up("ada@example.com");
    let body = json!({"model": "old:m", "messages": [{"role": "user", "content": "Hi"}]});
    let (status, refused) = server.call("POST", "/v1/chat/completions", &token, Some(&body));
    let message = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(status == 503 && message.contains("PLAYHOUSE_PROVIDER_"), "{status} {refused}");
    assert!(listener.accept().is_err(), "nobody was asked");
    // The rest of the row may be changed as it stands.
    let row = "/rest/v1/api_providers?name=eq.old";
    let (status, changed) =
        server.call("PATCH", row, &server.service, Some(&json!({"display_name": "Older"})));
    assert_eq!(status, 200, "{changed}");
    let renamed = json!({"secret_name": "PLAYHOUSE_PROVIDER_OLD"});
    assert_eq!(server.call("PATCH", row, &server.service, Some(&renamed)).0, 200);
    let (_, health) = server.call("GET", "/health", &server.service, None);
    assert_eq!(health["provider_keys_ignored"], json!([]), "{health}");
}

#[test]
fn health_says_no_more_than_up_and_ready_to_those_without_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, admin) = admin(&server);
    let (_, stranger) = server.sign_up("stranger@example.com");
    let health = |server: &Server, token: &str| server.call("GET", "/health", token, None);
    for token in [&server.anon, &stranger, "nonsense"] {
        assert_eq!(health(&server, token), (200, json!({"status": "ok"})));
    }
    let bare = common::get(&format!("{}/health", server.url), &[]).expect("an answer");
    assert_eq!(bare, (200, json!({"status": "ok"})));
    for token in [&server.service, &admin] {
        let (status, detail) = health(&server, token);
        assert!(status == 200 && detail["version"].is_string() && detail["actors"].is_array(), "{detail}");
        assert_eq!(detail["provider_keys_ignored"], json!([]), "{detail}");
    }
    // Whether it is ready is told to everybody.
    drop(server);
    let server = Server::start(folder.path(), &[("PLAYHOUSE_DISK_RESERVE_BYTES", "1000000000000000000")]);
    assert_eq!(health(&server, &server.anon), (503, json!({"status": "degraded"})));
    let (status, detail) = health(&server, &server.service);
    assert_eq!((status, &detail["disk_full"]), (503, &json!(true)), "{detail}");
}

/// A server that draws nothing, with a job that waits for a worker; the token of its account, and the job.
fn with_job(folder: &Path) -> (Server, String, String) {
    let environment = [("PLAYHOUSE_CALLBACK_SECRET", SECRET), ("PLAYHOUSE_LOCAL_WORKER", "false")];
    let server = Server::start(folder, &environment);
    let (_, token) = server.sign_up("director@example.com");
    let job = common::jobs::queue(&server, &token, &json!({"job_type": "video_fast", "prompt": "waves"}));
    (server, token, job)
}

#[test]
fn a_signed_request_counts_once_and_for_five_minutes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, token, job) = with_job(folder.path());
    let now = || chrono::Utc::now().timestamp();
    let sign = |id: &str, at: i64, body: &Json| {
        headers(SECRET.as_bytes(), id, at, &serde_json::to_vec(body).expect("JSON"))
    };
    let claim = json!({"queue": "wan_queue"});
    for (at, body) in [(now() - 400, &claim), (now() + 400, &claim), (now(), &json!({}))] {
        let (status, refused) = send(&server, "claim-job", &sign("msg_1", at, body), &claim);
        assert_eq!(status, 401, "{refused}");
    }
    // What failed may be sent again under its id.
    let wrong = json!({"queue": "none"});
    assert_eq!(send(&server, "claim-job", &sign("msg_1", now(), &wrong), &wrong).0, 400);
    let recorded = sign("msg_1", now(), &claim);
    let (status, claimed) = send(&server, "claim-job", &recorded, &claim);
    assert_eq!((status, &claimed["job"]["job_id"]), (200, &json!(job)), "{claimed}");
    common::jobs::queue(&server, &token, &json!({"job_type": "video_fast", "prompt": "more waves"}));
    let (status, again) = send(&server, "claim-job", &recorded, &claim);
    assert_eq!((status, &again["job"]), (409, &Json::Null), "{again}");

    let report = json!({"job_id": job, "status": "processing", "metadata": {"step": 1}});
    let recorded = sign("msg_2", now(), &report);
    assert_eq!(send(&server, "job-callback", &recorded, &report).1["success"], true);
    let later = json!({"job_id": job, "status": "processing", "metadata": {"step": 2}});
    assert_eq!(signed(&server, SECRET, "job-callback", &later).0, 200);
    let (status, again) = send(&server, "job-callback", &recorded, &report);
    assert_eq!((status, &again["skipped"]), (200, &json!(true)), "{again}");
    let row = |server: &Server| common::jobs::one(server, &token, &format!("/rest/v1/jobs?id=eq.{job}"));
    assert_eq!(row(&server)["metadata"]["step"], 2, "the older report changes nothing");

    // The older header counts with a time, and once.
    let report = json!({"job_id": job, "status": "processing", "metadata": {"step": 3}});
    let older = |time: Option<i64>| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
        let body = report.to_string();
        mac.update(time.map_or(body.clone(), |time| format!("{time}.{body}")).as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let time = time.map_or_else(String::new, |time| format!("t={time},"));
        [("x-callback-signature", format!("{time}sha256={hex}"))]
    };
    let (status, refused) = send(&server, "job-callback", &older(None), &report);
    assert!(
        status == 401 && refused["error"].as_str().is_some_and(|why| why.contains("no time")),
        "{refused}"
    );
    let recorded = older(Some(now()));
    let (_, taken) = send(&server, "job-callback", &recorded, &report);
    assert_eq!((&taken["success"], &taken["skipped"]), (&json!(true), &Json::Null), "{taken}");
    assert_eq!(send(&server, "job-callback", &recorded, &report).1["skipped"], true);

    // Nor does a restart make them new: what was signed before it is to be signed again.
    let recorded = sign("msg_3", now(), &report);
    let before = now();
    until("the next second", || now() > before);
    server.kill();
    let server = Server::start(folder.path(), &[("PLAYHOUSE_CALLBACK_SECRET", SECRET)]);
    let (status, refused) = send(&server, "job-callback", &recorded, &report);
    assert_eq!(status, 401, "{refused}");
    assert_eq!(signed(&server, SECRET, "job-callback", &report).0, 200);
}

#[test]
fn replicate_signs_with_a_secret_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [
        ("PLAYHOUSE_CALLBACK_SECRET", SECRET),
        ("PLAYHOUSE_REPLICATE_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ];
    let server = Server::start(folder.path(), &environment);
    let report = json!({"id": "pred-1", "status": "succeeded"});
    let key = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    );
    let body = serde_json::to_vec(&report).expect("JSON");
    let now = chrono::Utc::now().timestamp();
    let own = webhooks::headers(&key.expect("a key"), "msg_1", now, &body);
    let (status, unknown) = send(&server, "replicate-webhook", &own, &report);
    assert_eq!(status, 404, "the signature counts, the prediction is unknown: {unknown}");
    assert_eq!(
        signed(&server, SECRET, "replicate-webhook", &report).0,
        401,
        "the workers' secret is another"
    );
    assert_eq!(signed(&server, SECRET, "claim-job", &json!({})).0, 200);
}

/// An account without what is its own: its address, names and times.
fn shape(user: &Json, address: &str) -> Json {
    match user {
        Json::Object(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.clone(), shape(value, address))).collect())
        }
        Json::Array(items) => items.iter().map(|item| shape(item, address)).collect(),
        Json::String(text) if uuid::Uuid::parse_str(text).is_ok() => json!("a name"),
        Json::String(text) if chrono::DateTime::parse_from_rfc3339(text).is_ok() => json!("a time"),
        Json::String(text) => json!(text.replace(address, "the address")),
        other => other.clone(),
    }
}

#[test]
fn a_link_is_made_after_an_answer_that_is_the_same_for_all() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("playhouse.json"), json!({"autoconfirm": false}).to_string())
        .expect("a file");
    let server = Server::start(folder.path(), &[]);
    let account = json!({"email": "known@example.com", "password": "correct horse"});
    assert_eq!(server.call("POST", "/auth/v1/signup", &server.anon, Some(&account)).0, 200);
    let outbox = || std::fs::read_to_string(folder.path().join("outbox.jsonl")).unwrap_or_default();
    until("the link of the sign-up", || outbox().lines().count() == 1);
    let ask = |path: &str, address: &str| {
        let body = json!({"email": address, "type": "signup", "create_user": false, "data": {}});
        let headers = [("authorization", format!("Bearer {}", server.anon))];
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let url = format!("{}/auth/v1/{path}", server.url);
        let answer = common::files::send(
            &url,
            "POST",
            &[headers.as_slice(), &[("content-type", "application/json")]].concat(),
            body.to_string().as_bytes(),
        );
        let answer = answer.expect("an answer");
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        (answer.status, names, answer.text())
    };
    for (count, path) in ["recover", "otp", "magiclink", "resend"].into_iter().enumerate() {
        let unknown = ask(path, "unknown@example.com");
        let known = ask(path, "known@example.com");
        assert_eq!(unknown, known, "{path}");
        assert_eq!((known.0, known.2.as_str()), (200, "{}"), "{path}");
        until("the link", || outbox().lines().count() == count + 2);
    }
    assert!(!outbox().contains("unknown@example.com"), "{}", outbox());
    // A sign-up under an address that waits to be confirmed is answered like any other, and sends another link.
    let sign_up = |address: &str| {
        let body = json!({"email": address, "password": "correct horse", "data": {"name": "x"}});
        let (status, user) = server.call("POST", "/auth/v1/signup", &server.anon, Some(&body));
        (status, shape(&user, address))
    };
    let taken = sign_up("known@example.com");
    assert_eq!(taken, sign_up("new@example.com"));
    assert_eq!((taken.0, &taken.1["identities"][0]["provider"]), (200, &json!("email")), "{taken:?}");
    until("the link of the new account", || outbox().contains("new@example.com"));
    until("both links", || outbox().lines().count() == 7);
    let (_, users) = server.call("GET", "/auth/v1/admin/users", &server.service, None);
    assert_eq!(users["users"].as_array().map(Vec::len), Some(2), "{users}");
    // Nor does the answer wait for the work: with the actor of accounts unable to write, both hear the same refusal.
    drop(server);
    let server = Server::start(folder.path(), &[("PLAYHOUSE_DISK_RESERVE_BYTES", "1000000000000000000")]);
    for address in ["known@example.com", "unknown@example.com"] {
        let body = json!({"email": address});
        let (status, refused) = server.call("POST", "/auth/v1/recover", &server.anon, Some(&body));
        assert_eq!((status, &refused["error_code"]), (503, &json!("unexpected_failure")), "{refused}");
    }
}
