//! What is seen of requests: logs, traces, limits, cross-origin rules, backups.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::common::{Server, get};
use crate::fake_http::FakeHttp;
use crate::talk::until;

/// The headers of an answer.
fn headers(url: &str, given: &[(&str, &str)], method: &str) -> (u16, HashMap<String, String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = language::http_client().build().expect("a client");
        let mut request = client.request(method.parse().expect("a method"), url);
        for (name, value) in given {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        let text = |value: &reqwest::header::HeaderValue| value.to_str().expect("text").to_string();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        (response.status().as_u16(), headers.collect())
    })
}

#[test]
fn the_log_is_json_names_requests_and_keeps_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).expect("a file");
    // The log of a test's server is quiet otherwise.
    let environment = [("PLAYHOUSE_LOG_FORMAT", "json"), ("PLAYHOUSE_LOG", "info")];
    let data = folder.path().join("data");
    let mut server = Server::start_at(&data, "127.0.0.1:0", Stdio::from(file), &environment);
    let (_, token) = server.sign_up("ada@example.com");
    let id = |given: &str| {
        let (_, headers) =
            headers(&format!("{}/rest/v1/jobs", server.url), &[("x-request-id", given)], "GET");
        headers["x-request-id"].clone()
    };
    assert_eq!(id("order-66:a.b"), "order-66:a.b");
    for odd in ["", "a b", "quote\"", &"x".repeat(65), "<script>"] {
        let named = id(odd);
        assert!(named != odd && named.len() == 36, "{odd}: {named}");
    }
    let path = format!("/rest/v1/jobs?select=id&apikey={}", server.anon);
    server.call("GET", &path, &token, None);
    server.stop();
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Json> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let named = lines.iter().find(|line| line["request_id"] == "order-66:a.b").expect("the request's line");
    assert_eq!((&named["status"], &named["path"]), (&json!(200), &json!("/rest/v1/jobs")), "{named}");
    for secret in [&server.anon, &server.service, &token, &"correct horse".to_string()] {
        assert!(!text.contains(secret.as_str()), "{secret}");
    }
}

#[test]
fn traces_reach_a_collector_with_their_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let collector = FakeHttp::start(|_| (200, "{}".into()));
    let headers = json!({"x-tenant": "studio"}).to_string();
    let environment = [("PLAYHOUSE_OTLP_URL", collector.url.as_str()), ("PLAYHOUSE_OTLP_HEADERS", &headers)];
    let mut server = Server::start(folder.path(), &environment);
    let (_, token) = server.sign_up("ada@example.com");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let (status, _) =
        server.call_with("GET", "/rest/v1/jobs?id=eq.1", &token, None, &[("traceparent", &parent)]);
    assert_eq!(status, 400);
    // What has not gone out yet goes out when the server stops.
    server.stop();
    let asked = collector.asked();
    assert!(asked.iter().all(|asked| asked.path == "/v1/traces" && asked.method == "POST"), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.header("x-tenant") == Some("studio")), "{asked:?}");
    let bodies: Vec<Json> =
        asked.iter().map(|asked| serde_json::from_str(&asked.body).expect("OTLP as JSON")).collect();
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let resources: Vec<Json> = bodies.iter().flat_map(|body| list(&body["resourceSpans"])).collect();
    let scopes = resources.iter().flat_map(|resource| list(&resource["scopeSpans"]));
    let spans: Vec<Json> = scopes.flat_map(|scope| list(&scope["spans"])).collect();
    let attribute = |span: &Json, key: &str| {
        let found = list(&span["attributes"]).into_iter().find(|attribute| attribute["key"] == key);
        found.map(|attribute| attribute["value"].clone()).unwrap_or_default()
    };
    let sign_up = spans
        .iter()
        .find(|span| attribute(span, "http.route")["stringValue"] == "/auth/v1/signup")
        .unwrap_or_else(|| panic!("{spans:#?}"));
    let decided = spans.iter().find(|span| span["name"] == "decide" && span["traceId"] == sign_up["traceId"]);
    assert_eq!(attribute(decided.expect("the decision"), "actor")["stringValue"], "user");
    let followed = spans.iter().find(|span| span["traceId"] == trace).expect("the client's own trace");
    assert_eq!(attribute(followed, "http.route")["stringValue"], "/rest/v1/jobs");
    let text = json!(spans).to_string();
    assert!(!text.contains(&token) && !text.contains("correct horse"));
}

#[test]
fn one_address_or_account_may_ask_only_so_often() {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [
        ("PLAYHOUSE_TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
        ("PLAYHOUSE_REQUESTS_PER_ADDRESS_S_MAX", "2"),
        ("PLAYHOUSE_REQUESTS_PER_ACCOUNT_S_MAX", "1"),
    ];
    let server = Server::start(folder.path(), &environment);
    let (_, token) = server.sign_up("ada@example.com");
    let ask = |key: &str, from: &str| {
        server.call_with("GET", "/rest/v1/jobs", key, None, &[("x-forwarded-for", from)]).0
    };
    let refused = |key: &str, from: &str| (0..60).any(|_| ask(key, from) == 429);
    assert!(refused(&server.anon, "10.0.0.1"), "an address");
    assert_ne!(ask(&server.anon, "10.0.0.2"), 429, "another one");
    assert!(refused(&token, "10.0.0.3"), "an account");
    assert!(!refused(&server.service, "10.0.0.1"), "the operator");
    assert!(!refused(&server.anon, "127.0.0.1"), "this machine");
    let url = format!("{}/rest/v1/jobs", server.url);
    let until = Instant::now() + Duration::from_secs(60);
    let answer = loop {
        let (status, headers) = headers(&url, &[("x-forwarded-for", "10.0.0.1")], "GET");
        if status == 429 || Instant::now() > until {
            break (status, headers);
        }
    };
    assert_eq!((answer.0, answer.1["retry-after"].as_str()), (429, "1"));
    let (_, text) = server.call("GET", "/metrics", &server.service, None);
    let line = text
        .as_str()
        .expect("text")
        .lines()
        .find(|line| line.starts_with("playhouse_requests_refused_total"));
    let count: f64 =
        line.and_then(|line| line.rsplit_once(' ')).expect("a figure").1.parse().expect("a number");
    assert!(count >= 3.0, "{count}");
}

#[test]
fn an_address_is_only_believed_from_proxies() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_REQUESTS_PER_ADDRESS_S_MAX", "1")]);
    let ask = |_| {
        let from = [("x-forwarded-for", "10.0.0.1")];
        server.call_with("GET", "/rest/v1/jobs", &server.anon, None, &from).0
    };
    assert!((0..40).map(ask).all(|status| status == 200), "it is this machine that asks");
}

#[test]
fn only_named_pages_may_read_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let server =
        Server::start(folder.path(), &[("PLAYHOUSE_CORS_ORIGINS", "[\"https://studio.example.com\"]")]);
    let url = format!("{}/rest/v1/jobs", server.url);
    let allowed = "access-control-allow-origin";
    for method in ["GET", "OPTIONS"] {
        let (_, known) = headers(&url, &[("origin", "https://studio.example.com")], method);
        assert_eq!(known[allowed], "https://studio.example.com", "{method}");
        assert_eq!(known.contains_key("access-control-allow-methods"), method == "OPTIONS");
        let (_, other) = headers(&url, &[("origin", "https://other.example.com")], method);
        assert!(other.keys().all(|name| !name.starts_with("access-control-")), "{method}: {other:?}");
    }
    drop(server);
    let server = Server::start(folder.path(), &[]);
    let url = format!("{}/rest/v1/jobs", server.url);
    let (_, any) = headers(&url, &[("origin", "https://other.example.com")], "GET");
    assert_eq!(any[allowed], "*");
}

#[test]
fn backups_are_written_by_themselves_and_failures_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let setting = [("PLAYHOUSE_BACKUP_DIR", backups.to_str().expect("text"))];
    let mut server = Server::start(&data, &setting);
    let health = |server: &Server| {
        let bearer = format!("Bearer {}", server.service);
        get(&format!("{}/health", server.url), &[("authorization", &bearer)]).expect("an answer")
    };
    until("a backup is there", || health(&server).1["backups"]["last"].is_string());
    let count = || std::fs::read_dir(&backups).expect("a folder").count();
    assert_eq!(count(), 1);
    let written =
        std::fs::read_dir(&backups).expect("a folder").next().expect("one").expect("an entry").path();
    assert!(written.join("manifest.json").is_file());
    let (_, text) = server.call("GET", "/metrics", &server.service, None);
    assert!(text.as_str().expect("text").contains("playhouse_backups_total{result=\"written\"} 1"), "{text}");
    // It is not due again so soon, also after a restart.
    server.stop();
    let mut server = Server::start(&data, &setting);
    let (status, answer) = health(&server);
    assert_eq!((status, count()), (200, 1), "{answer}");
    assert!(answer["backups"]["next"].is_string() || answer["backups"]["last"].is_string(), "{answer}");
    server.stop();
    // Where there is no place for it, health says so.
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").expect("a file");
    let server = Server::start(&data, &[("PLAYHOUSE_BACKUP_DIR", file.to_str().expect("text"))]);
    until("the failure is said", || {
        let (status, answer) = health(&server);
        status == 503 && answer["backups"]["error"].is_string()
    });
}
