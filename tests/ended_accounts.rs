//! Accounts and sessions that ended, by every way out, at every way in; and what a deleted account leaves.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::files::{Answer, ask, bearer, put};
use common::jobs::queue;
use common::{Server, files};
use serde_json::{Value as Json, json};

/// However slow the machine is, it takes no longer.
const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "correct horse";
/// Functions that take a signature in place of a token.
const SIGNED: [&str; 4] = ["claim-job", "job-callback", "replicate-callback", "replicate-webhook"];

/// How an account or a session ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Deleted,
    OnlyRowsKept,
    Banned,
    /// By itself: `local`, `global`.
    SignedOut(&'static str),
    /// By another session of the account.
    SignedOutByOthers,
    NewPassword,
}

const ENDS: [End; 7] = [
    End::Deleted,
    End::OnlyRowsKept,
    End::Banned,
    End::SignedOut("local"),
    End::SignedOut("global"),
    End::SignedOutByOthers,
    End::NewPassword,
];

struct Account {
    id: String,
    email: String,
    token: String,
    refresh: String,
    api_token: String,
    /// A signed URL for an upload, relative to the storage dialect.
    signed_upload: String,
    /// A resumable upload that has begun.
    upload: String,
}

fn sign_in(server: &Server, email: &str) -> Json {
    let body = json!({"email": email, "password": PASSWORD});
    server.call("POST", "/auth/v1/token?grant_type=password", &server.anon, Some(&body)).1
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_string()
}

/// Begins a resumable upload of so many bytes; its path.
fn begin_upload(server: &Server, token: &str, key: &str, length: &str) -> Answer {
    let metadata = format!(
        "bucketName {},objectName {},contentType {}",
        STANDARD.encode("user-library"),
        STANDARD.encode(key),
        STANDARD.encode("video/mp4")
    );
    let auth = bearer(token);
    let headers = [
        ("authorization", auth.as_str()),
        ("tus-resumable", "1.0.0"),
        ("upload-length", length),
        ("upload-metadata", metadata.as_str()),
    ];
    ask(server, "POST", "/upload/resumable", &headers, b"")
}

/// An account with a file, a link for an upload, an upload under way and a token for its programs.
fn account(server: &Server, name: &str) -> Account {
    let email = format!("{name}@example.com");
    let (id, _) = server.sign_up(&email);
    let session = sign_in(server, &email);
    let token = text(&session["access_token"]);
    let body = json!({"name": "program"});
    let (_, made) = server.call("POST", "/functions/v1/create-api-token", &token, Some(&body));
    let stored = put(server, &token, &format!("user-library/{id}/a.png"), "image/png", b"png");
    assert_eq!(stored.status, 200, "{}", stored.text());
    let sign = ask(
        server,
        "POST",
        &format!("/object/upload/sign/user-library/{id}/later.png"),
        &[("authorization", &bearer(&token)), ("x-upsert", "true")],
        b"{}",
    );
    let upload = begin_upload(server, &token, &format!("{id}/film.mp4"), "9");
    Account {
        signed_upload: text(&sign.json()["url"]),
        upload: upload.header("location").strip_prefix("/storage/v1").expect("a path").to_string(),
        api_token: text(&made["token"]),
        refresh: text(&session["refresh_token"]),
        id,
        email,
        token,
    }
}

fn admin(server: &Server, method: &str, id: &str, body: &Json) {
    let path = format!("/auth/v1/admin/users/{id}");
    let (status, answer) = server.call(method, &path, &server.service, Some(body));
    assert_eq!(status, 200, "{answer}");
}

fn end(server: &Server, account: &Account, how: End) {
    match how {
        End::Deleted => admin(server, "DELETE", &account.id, &json!({})),
        End::OnlyRowsKept => admin(server, "DELETE", &account.id, &json!({"should_soft_delete": true})),
        End::Banned => admin(server, "PUT", &account.id, &json!({"ban_duration": "24h"})),
        End::NewPassword => admin(server, "PUT", &account.id, &json!({"password": "another horse"})),
        End::SignedOut(scope) => {
            let path = format!("/auth/v1/logout?scope={scope}");
            assert_eq!(server.call("POST", &path, &account.token, None).0, 204);
        }
        End::SignedOutByOthers => {
            let other = text(&sign_in(server, &account.email)["access_token"]);
            assert_eq!(server.call("POST", "/auth/v1/logout?scope=others", &other, None).0, 204);
            assert_eq!(server.call("GET", "/auth/v1/user", &other, None).0, 200, "the other one goes on");
        }
    }
}

/// One way in: its name, and what the token of an account gets there, by status and by code.
type Entrance = (String, Box<dyn Fn(&Server, &Account) -> (u16, String)>);

fn call(method: &'static str, path: &str, body: Option<Json>, code: &'static str) -> Entrance {
    let path = path.to_string();
    let name = format!("{method} {path}");
    let ask = move |server: &Server, account: &Account| {
        let path = path.replace("<id>", &account.id).replace("<upload>", &account.upload);
        let (status, answer) = server.call(method, &path, &account.token, body.as_ref());
        (status, answer.pointer(code).map(|code| code.to_string().replace('"', "")).unwrap_or_default())
    };
    (name, Box::new(ask))
}

/// Every way in that takes an access token, with the status and the code of its refusal.
fn entrances() -> Vec<(Entrance, u16, &'static str)> {
    let row = || Some(json!({"title": "a story"}));
    let mut all = Vec::new();
    for (method, path, body) in [
        ("GET", "/rest/v1/projects", None),
        ("HEAD", "/rest/v1/characters", None),
        ("POST", "/rest/v1/projects", row()),
        ("PATCH", "/rest/v1/projects?id=eq.00000000-0000-0000-0000-000000000000", row()),
        ("PUT", "/rest/v1/projects?id=eq.00000000-0000-0000-0000-000000000000", row()),
        ("DELETE", "/rest/v1/projects?id=eq.00000000-0000-0000-0000-000000000000", None),
        ("POST", "/rest/v1/rpc/get_safe_profile_view", Some(json!({}))),
        ("GET", "/rest/v1/rpc/get_user_role_priority", None),
    ] {
        let code = if method == "HEAD" { "" } else { "PGRST301" };
        all.push((call(method, path, body, "/code"), 401, code));
    }
    for name in playhouse::functions::names().filter(|name| !SIGNED.contains(name)) {
        all.push((call("POST", &format!("/functions/v1/{name}"), Some(json!({})), "/code"), 401, "401"));
    }
    let file = "/storage/v1/object/user-library/<id>";
    for (method, path, body) in [
        ("GET", "/storage/v1/bucket".to_string(), None),
        ("GET", format!("{file}/a.png"), None),
        ("GET", "/storage/v1/object/info/user-library/<id>/a.png".into(), None),
        ("GET", "/storage/v1/render/image/authenticated/user-library/<id>/a.png".into(), None),
        ("POST", format!("{file}/b.png"), row()),
        ("PUT", format!("{file}/a.png"), row()),
        ("DELETE", format!("{file}/a.png"), None),
        ("POST", "/storage/v1/object/list/user-library".into(), Some(json!({"prefix": "<id>"}))),
        ("POST", "/storage/v1/object/list-v2/user-library".into(), Some(json!({"prefix": "<id>"}))),
        ("POST", "/storage/v1/object/sign/user-library/<id>/a.png".into(), Some(json!({"expiresIn": 60}))),
        ("POST", "/storage/v1/object/upload/sign/user-library/<id>/c.png".into(), Some(json!({}))),
        ("POST", "/storage/v1/object/move".into(), Some(json!({}))),
        ("POST", "/storage/v1/object/copy".into(), Some(json!({}))),
        ("POST", "/storage/v1/upload/resumable".into(), Some(json!({}))),
        ("PATCH", "/storage/v1<upload>".into(), Some(json!({}))),
        ("DELETE", "/storage/v1<upload>".into(), None),
    ] {
        all.push((call(method, &path, body, "/code"), 400, "InvalidJWT"));
    }
    for (method, path) in
        [("GET", "/auth/v1/user"), ("PUT", "/auth/v1/user"), ("GET", "/auth/v1/reauthenticate")]
    {
        let body = (method == "PUT").then(|| json!({"data": {"a": 1}}));
        all.push((call(method, path, body, "/error_code"), 403, ""));
    }
    for (method, path) in
        [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/images/generations")]
    {
        let body = (method == "POST").then(|| json!({"prompt": "a fox", "messages": []}));
        all.push((call(method, path, body, "/error/code"), 401, "invalid_api_key"));
    }
    all
}

/// What every way in answers: refused in its own form.
fn all_are_refused(server: &Server, account: &Account, how: End) {
    let auth_code = match how {
        End::Deleted | End::OnlyRowsKept => "user_not_found",
        End::Banned => "user_banned",
        _ => "session_not_found",
    };
    for ((name, ask), status, code) in entrances() {
        let (status, code) = match (how, code) {
            (End::Banned, "invalid_api_key") => (403, "account_banned"),
            (_, "") if status == 403 => (403, auth_code),
            _ => (status, code),
        };
        assert_eq!(ask(server, account), (status, code.to_string()), "{how:?}: {name}");
    }
    // A key in place of a Bearer counts the same.
    let (status, _) = common::get(&format!("{}/rest/v1/projects", server.url), &[("apikey", &account.token)])
        .expect("the server answers");
    assert_eq!(status, 401, "{how:?}");
    let auth = |path: &str, body: Json| {
        let (status, answer) = server.call("POST", &format!("/auth/v1/{path}"), &server.anon, Some(&body));
        (status, answer["error_code"].as_str().unwrap_or_default().to_string())
    };
    // Only the other session's own ending leaves the refresh token of none.
    let (status, _) = auth("token?grant_type=refresh_token", json!({"refresh_token": account.refresh}));
    assert_eq!(status, 400, "{how:?}");
    let (status, _) = server.call("POST", "/auth/v1/logout", &account.token, None);
    assert_eq!(status, if auth_code == "session_not_found" { 204 } else { 403 }, "{how:?}");
    let account_stands = auth_code == "session_not_found";
    // A program's token and a link are the account's, not the session's.
    let (status, answer) = server.call("GET", "/v1/models", &account.api_token, None);
    let expected = match how {
        End::Deleted | End::OnlyRowsKept => 401,
        End::Banned => 403,
        _ => 200,
    };
    assert_eq!(status, expected, "{how:?}: {answer}");
    let headers = [("content-type", "image/png")];
    let put = ask(server, "PUT", &account.signed_upload, &headers, b"late");
    assert_eq!(put.status == 200, account_stands, "{how:?}: {}", put.text());
    if !account_stands {
        assert_eq!(files::refusal(&put), files::refused("403", "InvalidJWT"), "{how:?}");
        let signed_in =
            auth("token?grant_type=password", json!({"email": account.email, "password": PASSWORD}));
        assert_eq!(signed_in.0, 400, "{how:?}");
    }
}

/// What is to be refused later is admitted as long as the account stands.
fn all_are_admitted(server: &Server, account: &Account) {
    for ((name, ask), status, _) in entrances() {
        // What removes or ends something is only asked for when it is to be refused.
        if name.starts_with("DELETE") {
            continue;
        }
        let (found, code) = ask(server, account);
        let unauthorized =
            found == 401 || found == status && ["InvalidJWT", "PGRST301"].contains(&code.as_str());
        assert!(!unauthorized && code != "user_not_found", "{name}: {found} {code}");
    }
}

#[test]
fn an_account_that_ended_is_refused_at_once_at_every_way_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let mut ended = Vec::new();
    for (number, how) in ENDS.into_iter().enumerate() {
        let account = account(&server, &format!("account{number}"));
        if number == 0 {
            all_are_admitted(&server, &account);
        }
        assert_eq!(server.call("GET", "/rest/v1/projects", &account.token, None).0, 200);
        end(&server, &account, how);
        all_are_refused(&server, &account, how);
        ended.push((account, how));
    }
    // The same after a crash.
    server.kill();
    let server = Server::start(folder.path(), &[]);
    for (account, how) in &ended {
        all_are_refused(&server, account, *how);
    }
    // A ban that is lifted gives nothing back but the way in.
    let (banned, _) = ended.iter().find(|(_, how)| *how == End::Banned).expect("one was banned");
    admin(&server, "PUT", &banned.id, &json!({"ban_duration": "none"}));
    assert_eq!(server.call("GET", "/rest/v1/projects", &banned.token, None).0, 401);
    let session = sign_in(&server, &banned.email);
    assert_eq!(server.call("GET", "/rest/v1/projects", &text(&session["access_token"]), None).0, 200);
}

#[test]
fn a_token_for_programs_needs_a_session_that_lasts() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let account = account(&server, "ada");
    // Signed with the server's own secret, but of no session: it reads rows, and makes nothing that outlives it.
    let keys = std::fs::read_to_string(folder.path().join("keys.json")).expect("the keys");
    let keys: Json = serde_json::from_str(&keys).expect("JSON");
    let claims = json!({"sub": account.id, "role": "authenticated", "aud": "authenticated"});
    let secret = jsonwebtoken::EncodingKey::from_secret(text(&keys["jwt_secret"]).as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &secret).expect("a token");
    assert_eq!(server.call("GET", "/rest/v1/projects", &token, None).0, 200);
    let body = json!({"name": "lasting"});
    let (status, answer) = server.call("POST", "/functions/v1/create-api-token", &token, Some(&body));
    assert_eq!(status, 401, "{answer}");
    let (_, tokens) = server.call("POST", "/functions/v1/list-api-tokens", &account.token, Some(&json!({})));
    assert_eq!(tokens["tokens"].as_array().map(Vec::len), Some(1), "{tokens}");
}

/// The events of a stream until it ends by itself.
fn read_to_end(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the stream ends");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn connect(server: &Server, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("a connection");
    stream.write_all(request.as_bytes()).expect("it is sent");
    stream
}

#[test]
fn what_is_under_way_for_an_account_ends_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({"local_worker": false}).to_string();
    std::fs::write(folder.path().join("playhouse.json"), settings).expect("a file");
    let server = Server::start(folder.path(), &[]);
    for how in [End::Deleted, End::OnlyRowsKept, End::Banned] {
        let account = account(&server, &format!("{how:?}").to_lowercase());
        let id = &account.id;
        let body = json!({"job_type": "sdxl_image_fast", "prompt": "a fox"});
        let job = queue(&server, &account.token, &body);
        let bearer = format!("authorization: Bearer {}\r\nconnection: close", account.token);
        let path = format!("/functions/v1/job-progress?job_id={job}");
        let mut events = connect(&server, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n{bearer}\r\n\r\n"));
        let mut begin = [0; 9];
        events.read_exact(&mut begin).expect("the stream begins");
        // Neither upload goes on: one as a whole, one in pieces.
        let whole =
            format!("POST /storage/v1/object/user-library/{id}/whole.png HTTP/1.1\r\nhost: x\r\n{bearer}");
        let mut whole =
            connect(&server, &format!("{whole}\r\ncontent-type: image/png\r\ncontent-length: 9\r\n\r\nhalf"));
        let piece = format!("PATCH /storage/v1{} HTTP/1.1\r\nhost: x\r\n{bearer}", account.upload);
        let piece_headers =
            "content-type: application/offset+octet-stream\r\nupload-offset: 0\r\ncontent-length: 9";
        let mut piece = connect(&server, &format!("{piece}\r\n{piece_headers}\r\n\r\nhalf"));
        let waiting = Instant::now();
        while folder.path().join("blobs").read_dir().map_or(0, Iterator::count) == 0 {
            assert!(waiting.elapsed() < PATIENCE, "nothing arrives");
            std::thread::sleep(Duration::from_millis(20));
        }
        end(&server, &account, how);
        assert!(read_to_end(&mut events).contains("event: status"), "{how:?}");
        for stream in [&mut whole, &mut piece] {
            let answer = read_to_end(stream);
            let is_refused = ["HTTP/1.1 401", "HTTP/1.1 400", "HTTP/1.1 403"];
            assert!(is_refused.iter().any(|begin| answer.starts_with(begin)), "{how:?}: {answer}");
        }
        let (_, rows) = server.call("GET", &format!("/rest/v1/jobs?id=eq.{job}"), &server.service, None);
        let status = rows[0]["status"].clone();
        assert_eq!(status, if how == End::Deleted { Json::Null } else { json!("cancelled") }, "{how:?}");
        let (_, listed) = server.call(
            "POST",
            "/storage/v1/object/list/user-library",
            &server.service,
            Some(&json!({"prefix": id})),
        );
        let names: Vec<&str> =
            listed.as_array().into_iter().flatten().filter_map(|file| file["name"].as_str()).collect();
        let expected: &[&str] = if how == End::Deleted { &[] } else { &["a.png"] };
        assert_eq!(names, expected, "{how:?}");
    }
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn nothing_of_a_deleted_account_is_left_and_the_check_would_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (gone, stays) = (account(&server, "gone"), account(&server, "stays"));
    for account in [&gone, &stays] {
        let recover = json!({"email": account.email});
        assert_eq!(server.call("POST", "/auth/v1/recover", &server.anon, Some(&recover)).0, 200);
        let path = "/rest/v1/conversations";
        let (status, made) = server.call("POST", path, &account.token, Some(&json!({"user_id": account.id})));
        assert_eq!(status, 201, "{made}");
        let headers = [("idempotency-key", "once")];
        let job = json!({"job_type": "sdxl_image_fast", "prompt": "a fox", "steps": 1});
        let path = "/functions/v1/queue-job";
        assert_eq!(server.call_with("POST", path, &account.token, Some(&job), &headers).0, 200);
        for table in ["negative_prompts", "prompt_templates"] {
            let row = match table {
                "negative_prompts" => {
                    json!({"model_type": "sdxl", "content_mode": "sfw", "negative_prompt": account.id})
                }
                _ => {
                    json!({"template_name": account.id, "use_case": "x", "system_prompt": "x", "token_limit": 9,
                            "enhancer_model": "x"})
                }
            };
            let mut row = row;
            row["created_by"] = json!(account.id);
            let (status, made) =
                server.call("POST", &format!("/rest/v1/{table}"), &server.service, Some(&row));
            assert_eq!(status, 201, "{table}: {made}");
        }
    }
    let outbox = || std::fs::read_to_string(folder.path().join("outbox.jsonl")).unwrap_or_default();
    let waiting = Instant::now();
    while outbox().lines().count() < 2 {
        assert!(waiting.elapsed() < PATIENCE, "{}", outbox());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.check()["left_behind"], json!([]));
    end(&server, &gone, End::Deleted);
    assert!(!outbox().contains(&gone.id) && outbox().contains(&stays.id), "{}", outbox());
    let uploads = files_in(&folder.path().join("uploads"));
    assert_eq!(uploads.len(), 2, "those of the other one: {uploads:?}");
    let report = server.check();
    assert_eq!((&report["left_behind"], &report["faults"]), (&json!([]), &json!(0)), "{report}");
    for table in models::schema().public() {
        let name = table.table.name;
        // The trail says what was done, not by whom.
        if name == "audit_logs" {
            continue;
        }
        let (status, rows) = server.call("GET", &format!("/rest/v1/{name}"), &server.service, None);
        let mut text = rows.to_string();
        if ["negative_prompts", "prompt_templates"].contains(&name) {
            assert!(text.contains(&gone.id), "the row of {name} stays");
            text = text.replace(&format!("\"negative_prompt\":\"{}\"", gone.id), "");
            text = text.replace(&format!("\"template_name\":\"{}\"", gone.id), "");
        }
        assert!(status < 300 && !text.contains(&gone.id), "{name}: {text}");
    }
    // What an earlier version left is listed.
    let row =
        json!({"model_type": "sdxl", "content_mode": "sfw", "negative_prompt": "x", "created_by": gone.id});
    assert_eq!(server.call("POST", "/rest/v1/negative_prompts", &server.service, Some(&row)).0, 201);
    let listed = json!([{"in": "negative_prompts.created_by", "accounts": [gone.id], "count": 1}]);
    let report = server.check();
    assert_eq!((&report["left_behind"], &report["faults"]), (&listed, &json!(0)), "{report}");
}
