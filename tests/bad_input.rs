//! What no client should send: each gets the dialect's error with the right code, nothing answers 5xx, and the server
//! goes on.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::Server;
use serde_json::{Value as Json, json};

/// A server and an account on it.
struct Scene {
    server: Server,
    user: String,
    token: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &[("PLAYHOUSE_LOG", "error")]);
        let (user, token) = server.sign_up(&format!("{name}@example.com"));
        Scene { server, user, token, _folder: folder }
    }

    /// Bytes as they are; the status and the body's JSON.
    fn raw(&self, head: &str, body: &[u8]) -> (u16, Json) {
        let address = self.server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let length = body.len();
        let head = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        // A server may answer and close before it has read everything.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).to_string();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        (
            status.unwrap_or_else(|| panic!("no answer: {answer:?}")),
            serde_json::from_str(body).unwrap_or(Json::Null),
        )
    }

    fn post(&self, table: &str, body: &[u8]) -> (u16, Json) {
        let bearer = &self.token;
        let head = format!(
            "POST /rest/v1/{table} HTTP/1.1\r\nauthorization: Bearer {bearer}\r\ncontent-type: application/json"
        );
        self.raw(&head, body)
    }

    /// Nothing broke: the server is well, nothing panicked, and the store is whole.
    fn assert_well(&self) {
        let (status, health) = self.server.call("GET", "/health", &self.server.service, None);
        assert_eq!((status, &health["status"]), (200, &json!("ok")), "{health}");
        for actor in health["actors"].as_array().expect("actors") {
            assert_eq!(actor["panicked"], 0, "{actor}");
        }
        assert_eq!(self.server.check()["faults"], 0);
    }
}

#[test]
fn query_strings() {
    let scene = Scene::new("queries");
    let many = "a,".repeat(10_000);
    let deep = |name: &str, depth: usize| {
        format!("jobs?{name}=({}attempts.eq.1{})", "and(".repeat(depth), ")".repeat(depth))
    };
    let embeds =
        |pairs: usize| format!("jobs?select={}id{}", "projects(jobs(".repeat(pairs), "))".repeat(pairs));
    let cases: Vec<(String, u16, &str)> = vec![
        ("jobs?attempts".into(), 200, ""),
        ("jobs?attempts=".into(), 400, "PGRST100"),
        ("jobs?attempts=1".into(), 400, "PGRST100"),
        ("jobs?attempts=eq".into(), 400, "PGRST100"),
        ("jobs?attempts=eq.".into(), 400, "22P02"),
        ("jobs?attempts=not.not.eq.1".into(), 400, "PGRST100"),
        ("jobs?attempts=eq.1e400".into(), 400, "22P02"),
        ("jobs?attempts=eq.%00".into(), 400, "22P02"),
        ("jobs?attempts=in.(1,x)".into(), 400, "22P02"),
        ("jobs?attempts=in.1,2".into(), 400, "PGRST100"),
        ("jobs?id=eq.not-a-uuid".into(), 400, "22P02"),
        ("jobs?created_at=gt.2026-13-45".into(), 400, "22008"),
        ("jobs?created_at=gt.soon".into(), 400, "22007"),
        ("jobs?created_at=is.maybe".into(), 400, "PGRST100"),
        ("jobs?status=match.(".into(), 400, "2201B"),
        ("jobs?status=like(any).{a".into(), 400, "22P02"),
        ("jobs?attempts=like.1*".into(), 404, "42883"),
        ("jobs?attempts=cs.{1}".into(), 404, "42883"),
        ("jobs?attempts->x=eq.1".into(), 404, "42883"),
        ("jobs?nothing=eq.1".into(), 400, "42703"),
        ("jobs?select=nothing".into(), 400, "42703"),
        ("jobs?select=id::nothing".into(), 400, "42704"),
        ("jobs?select=id,(".into(), 400, "PGRST100"),
        ("jobs?select=sum()".into(), 400, "PGRST200"),
        ("jobs?order=nothing".into(), 400, "42703"),
        ("jobs?order=id.sideways".into(), 400, "PGRST100"),
        ("jobs?order=projects(id)".into(), 400, "PGRST108"),
        ("jobs?projects.id=eq.1".into(), 400, "PGRST108"),
        ("jobs?or=()".into(), 400, "PGRST100"),
        ("jobs?or=(attempts.eq.1".into(), 400, "PGRST100"),
        ("jobs?limit=all".into(), 400, "PGRST100"),
        ("jobs?limit=-1".into(), 416, "PGRST103"),
        ("jobs?offset=99999999999999999999".into(), 400, "PGRST100"),
        (deep("and", 400), 400, "PGRST100"),
        (deep("or", 5000), 400, "PGRST100"),
        (embeds(20), 400, "PGRST100"),
        (embeds(4), 400, "54001"),
        (format!("jobs?select={many}"), 400, "PGRST100"),
        ("jobs?status=match.((a{1000}){1000}){1000}".into(), 400, "2201B"),
        ("jobs?status=fts.%26%26".into(), 400, "42601"),
        ("rpc/get_system_stats?p_days=soon".into(), 400, "22P02"),
        ("rpc/get_system_stats?nothing=1".into(), 404, "PGRST202"),
        ("%2e%2e%2f%2e%2e%2fetc%2fpasswd".into(), 404, "PGRST205"),
        ("auth.users".into(), 404, "PGRST205"),
        ("users".into(), 404, "PGRST205"),
    ];
    let mut wrong = Vec::new();
    for (query, status, code) in cases {
        let (found, body) = scene.server.call("GET", &format!("/rest/v1/{query}"), &scene.token, None);
        let found_code = body["code"].as_str().unwrap_or_default();
        if (found, found_code) != (status, code) {
            let shown: String = query.chars().take(80).collect();
            wrong.push(format!(
                "{shown}: {found} {found_code} instead of {status} {code}: {}",
                body["message"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.assert_well();
}

#[test]
fn bodies() {
    let scene = Scene::new("bodies");
    let user = &scene.user;
    let row = |column: &str, value: &str| {
        let mut row = format!("{{\"user_id\":\"{user}\",\"job_type\":\"rv51_fast\",\"{column}\":{value}");
        if column != "status" {
            // Else it is refused for not coming through the queue.
            row.push_str(",\"status\":\"completed\"");
        }
        (row + "}").into_bytes()
    };
    let nested = |depth: usize| row("metadata", &format!("{}1{}", "[".repeat(depth), "]".repeat(depth)));
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("nothing", Vec::new(), 400, "PGRST102"),
        ("half an object", b"{\"user_id\":".to_vec(), 400, "PGRST102"),
        ("no UTF-8", b"{\"user_id\":\"\xff\xfe\"}".to_vec(), 400, "PGRST102"),
        ("half a surrogate", row("error_message", "\"\\ud800\""), 400, "PGRST102"),
        ("a number", b"1".to_vec(), 400, "PGRST102"),
        ("null", b"null".to_vec(), 400, "PGRST102"),
        ("an array of numbers", b"[1]".to_vec(), 400, "PGRST102"),
        (
            "different keys",
            format!("[{{\"user_id\":\"{user}\"}},{{\"id\":null}}]").into_bytes(),
            400,
            "PGRST102",
        ),
        ("an unknown column", row("nothing", "1"), 400, "PGRST204"),
        ("a text for a number", row("attempts", "\"many\""), 400, "22P02"),
        ("an object for a number", row("attempts", "{}"), 400, "22P02"),
        ("a fraction for an integer", row("attempts", "1.5"), 400, "22P02"),
        ("too large an integer", row("attempts", "99999999999"), 400, "22003"),
        ("a number beyond all", row("attempts", "1e999"), 400, "22P02"),
        ("a NUL in a text", row("error_message", "\"a\\u0000b\""), 400, "22P05"),
        ("a NUL in JSON", row("metadata", "{\"a\":\"\\u0000\"}"), 400, "22P05"),
        ("no moment", row("created_at", "\"soon\""), 400, "22007"),
        ("a moment beyond time", row("created_at", "\"999999-01-01T00:00:00Z\""), 400, "22008"),
        ("no identifier", row("project_id", "\"1\""), 400, "22P02"),
        ("an unknown word", row("status", "\"asleep\""), 400, "23514"),
        ("an explicit null", row("job_type", "null"), 400, "23502"),
        ("a stranger to nobody", row("project_id", "\"00000000-0000-0000-0000-000000000001\""), 409, "23503"),
        ("JSON nested beyond the column", nested(100), 400, "54000"),
        ("JSON nested beyond the parser", nested(100_000), 400, "PGRST102"),
    ];
    let mut wrong = Vec::new();
    for (what, body, status, code) in cases {
        let (found, answer) = scene.post("jobs", &body);
        if (found, answer["code"].as_str().unwrap_or_default()) != (status, code) {
            wrong.push(format!("{what}: {found} {answer} instead of {status} {code}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing of this was kept.
    let (_, rows) = scene.server.call("GET", "/rest/v1/jobs?select=id", &scene.server.service, None);
    assert_eq!(rows, json!([]));

    let (status, _) = scene.post("jobs", &vec![b' '; 11 << 20]);
    assert_eq!(status, 413);
    let (status, body) = scene.raw(&format!("GET /rest/v1/jobs?id=eq.{} HTTP/1.1", "x".repeat(70_000)), b"");
    assert!(matches!(status, 414 | 431), "{status} {body}");
    let (status, _) = scene.raw("GET /rest/v1/jobs?\u{1} HTTP/1.1", b"");
    assert_eq!(status, 400);
    scene.assert_well();
}

#[test]
fn tokens_and_headers() {
    let scene = Scene::new("tokens");
    let parts: Vec<&str> = scene.token.split('.').collect();
    let swapped = |payload: &str, signature: &str| format!("{}.{payload}.{signature}", parts[0]);
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let service: Vec<&str> = scene.server.service.split('.').collect();
    let forged = [
        "x".to_string(),
        "..".to_string(),
        swapped(parts[1], "AAAA"),
        swapped(parts[1], ""),
        // Another's claims under this signature, and no signature at all.
        swapped(service[1], parts[2]),
        format!("{none}.{}.", service[1]),
        "a".repeat(20_000),
        "sb_secret_guessed".to_string(),
    ];
    for token in &forged {
        for path in ["/rest/v1/jobs", "/rest/v1/rpc/get_system_stats"] {
            let (status, body) = scene.server.call("GET", path, token, None);
            let shown: String = token.chars().take(60).collect();
            assert!(status == 401 && body["code"] == "PGRST301" || status == 431, "{shown}: {status} {body}");
        }
        let (status, body) = scene.server.call("GET", "/auth/v1/user", token, None);
        assert!(status == 403 && body["error_code"] == "bad_jwt" || status == 431, "{status} {body}");
    }
    let bearer = &scene.token;
    for (headers, status, code) in [
        ("accept: application/octet-stream", 406, "PGRST107"),
        ("accept: application/geo+json", 406, "PGRST107"),
        ("accept-profile: secrets", 406, "PGRST106"),
        ("prefer: handling=strict, nonsense=1", 400, "PGRST122"),
        ("range: 5-2", 416, "PGRST103"),
    ] {
        let head = format!("GET /rest/v1/jobs HTTP/1.1\r\nauthorization: Bearer {bearer}\r\n{headers}");
        let (found, body) = scene.raw(&head, b"");
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{headers}: {body}");
    }
    for method in ["PUT", "TRACE", "PURGE"] {
        let (status, body) = scene.raw(&format!("{method} /rest/v1/jobs HTTP/1.1"), b"");
        assert_eq!(status, 405, "{method} {body}");
    }
    scene.assert_well();
}

#[test]
fn the_auth_dialect() {
    let scene = Scene::new("auth");
    let long = format!("{}@example.com", "x".repeat(5000));
    for (method, path, body, status, code) in [
        ("POST", "signup", "", 422, "anonymous_provider_disabled"),
        ("POST", "signup", "{\"email\"", 400, "bad_json"),
        ("POST", "signup", "[1]", 400, "validation_failed"),
        ("POST", "signup", "{\"email\":1,\"password\":\"correct horse\"}", 400, "validation_failed"),
        ("POST", "signup", "{\"email\":\"nobody\",\"password\":\"correct horse\"}", 400, "validation_failed"),
        (
            "POST",
            "signup",
            &format!("{{\"email\":\"{long}\",\"password\":\"correct horse\"}}"),
            400,
            "validation_failed",
        ),
        ("POST", "signup", "{\"email\":\"a@example.com\",\"password\":\"short\"}", 422, "weak_password"),
        ("POST", "token?grant_type=password", "{}", 400, "validation_failed"),
        ("POST", "token?grant_type=password", r#"{"email": "a@b.c"}"#, 400, "validation_failed"),
        ("POST", "token?grant_type=%FF%00", "{}", 400, "invalid_credentials"),
        ("POST", "token", "{}", 400, "invalid_credentials"),
        ("POST", "token?grant_type=password&grant_type=password", "{}", 400, "validation_failed"),
        ("POST", "logout?scope=some&scope=none", "{}", 400, "validation_failed"),
        ("GET", "verify?token=1&type=nothing", "", 400, "validation_failed"),
        ("GET", "verify?token=%FF&token=2&type=signup&type=x", "", 400, "validation_failed"),
        ("POST", "otp?redirect_to=%FF", "{\"email\":1}", 400, "validation_failed"),
        ("GET", "nothing", "", 404, "validation_failed"),
        ("DELETE", "signup", "", 405, "validation_failed"),
    ] {
        let bearer = &scene.token;
        let head = format!(
            "{method} /auth/v1/{path} HTTP/1.1\r\nauthorization: Bearer {bearer}\r\ncontent-type: application/json\r\n\
             x-supabase-api-version: 2024-01-01"
        );
        let (found, answer) = scene.raw(&head, body.as_bytes());
        assert_eq!((found, &answer["code"]), (status, &json!(code)), "{method} {path} {body}: {answer}");
    }
    scene.assert_well();
}
