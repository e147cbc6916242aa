//! The storage dialect from outside: who may touch which file, and what a file answers.

mod common;

use common::Server;
use reqwest::Method;
use serde_json::{Value as Json, json};

/// An answer with what tests look at.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| json!(self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request with a body of bytes; the path begins after `/storage/v1`.
fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let method: Method = method.parse().expect("a method");
        let url = format!("{}/storage/v1{path}", server.url);
        let mut request = reqwest::Client::new().request(method, url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.expect("a body").to_vec() }
    })
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn put(server: &Server, token: &str, path: &str, mime_type: &str, body: &[u8]) -> Answer {
    let headers = [("authorization", bearer(token)), ("content-type", mime_type.to_string())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ask(server, "POST", &format!("/object/{path}"), &headers, body)
}

fn get(server: &Server, token: &str, path: &str) -> Answer {
    ask(server, "GET", path, &[("authorization", &bearer(token))], b"")
}

/// The true status and code of a refusal.
fn refusal(answer: &Answer) -> (String, String) {
    let body = answer.json();
    assert_eq!(answer.status, 400, "{body}");
    assert!(body["message"].is_string() && body["error"].is_string(), "{body}");
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
    (text("statusCode"), text("code"))
}

fn refused(status: &str, code: &str) -> (String, String) {
    (status.into(), code.into())
}

#[test]
fn each_bucket_admits_whom_it_should() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    let (_, stranger) = server.sign_up("stranger@example.com");
    let (admin_id, admin) = server.sign_up("admin@example.com");
    let role = json!({"user_id": admin_id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    for (bucket, is_public, mime_type) in [
        ("workspace-temp", false, "image/png"),
        ("user-library", false, "video/mp4"),
        ("reference_images", false, "image/webp"),
        ("avatars", true, "image/png"),
        ("videos", true, "video/mp4"),
    ] {
        let path = format!("{bucket}/{owner}/a.bin");
        for outsider in [&stranger, &server.anon] {
            let answer = put(&server, outsider, &path, mime_type, b"x");
            assert_eq!(refusal(&answer), refused("403", "AccessDenied"), "{bucket}");
        }
        // Nobody's folder, and no folder at all.
        for elsewhere in ["a.bin".to_string(), owner.clone(), format!("{}/a", owner.to_uppercase())] {
            let answer = put(&server, &token, &format!("{bucket}/{elsewhere}"), mime_type, b"x");
            assert_eq!(refusal(&answer), refused("403", "AccessDenied"), "{bucket}/{elsewhere}");
        }
        assert_eq!(put(&server, &token, &path, mime_type, b"mine").status, 200, "{bucket}");
        for (reader, reads) in [
            (&token, true),
            (&server.service, true),
            (&admin, true),
            (&stranger, is_public),
            (&server.anon, is_public),
        ] {
            let answer = get(&server, reader, &format!("/object/{path}"));
            if reads {
                assert_eq!((answer.status, answer.text().as_str()), (200, "mine"), "{bucket}");
            } else {
                assert_eq!(refusal(&answer), refused("404", "NoSuchKey"), "{bucket}");
            }
        }
        let public = ask(&server, "GET", &format!("/object/public/{path}"), &[], b"");
        if is_public {
            assert_eq!((public.status, public.text().as_str()), (200, "mine"), "{bucket}");
        } else {
            assert_eq!(refusal(&public), refused("404", "NoSuchBucket"), "{bucket}");
        }
        let removal = json!({"prefixes": [format!("{owner}/a.bin"), "nothing"]}).to_string();
        let remove = |token: &str| {
            let headers = [("authorization", bearer(token)), ("content-type", "application/json".into())];
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            ask(&server, "DELETE", &format!("/object/{bucket}"), &headers, removal.as_bytes()).json()
        };
        assert_eq!(remove(&stranger), json!([]), "{bucket}");
        assert_eq!(remove(&token)[0]["name"], json!(format!("{owner}/a.bin")), "{bucket}");
    }
    // The operator's pictures: everybody reads them, only admins put them there.
    let path = format!("system_assets/{owner}/logo.png");
    assert_eq!(refusal(&put(&server, &token, &path, "image/png", b"x")), refused("403", "AccessDenied"));
    assert_eq!(put(&server, &admin, &path, "image/png", b"logo").status, 200);
    assert_eq!(ask(&server, "GET", &format!("/object/public/{path}"), &[], b"").text(), "logo");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn buckets_are_made_changed_emptied_and_removed_by_operators_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("owner@example.com");
    let call = |server: &Server, token: &str, method: &str, path: &str, body: Json| {
        server.call(method, &format!("/storage/v1{path}"), token, Some(&body))
    };
    let (_, listed) = server.call("GET", "/storage/v1/bucket", &token, None);
    let names: Vec<&str> =
        listed.as_array().expect("buckets").iter().filter_map(|it| it["name"].as_str()).collect();
    let seeded = ["avatars", "reference_images", "system_assets", "user-library", "videos", "workspace-temp"];
    assert_eq!(names, seeded);
    assert_eq!(server.call("GET", "/storage/v1/bucket", &server.anon, None), (200, json!([])));

    let asked = json!({"id": "b", "name": "b", "public": false, "file_size_limit": "1KB", "allowed_mime_types": ["text/*"]});
    let (status, denied) = call(&server, &token, "POST", "/bucket", asked.clone());
    assert_eq!(
        (status, &denied["statusCode"], &denied["code"]),
        (400, &json!("403"), &json!("AccessDenied"))
    );
    let service = server.service.clone();
    assert_eq!(call(&server, &service, "POST", "/bucket", asked.clone()), (200, json!({"name": "b"})));
    assert_eq!(call(&server, &service, "POST", "/bucket", asked).1["statusCode"], "409");
    for bad in ["", "sign", "a/b", "..", "a?b"] {
        assert_eq!(
            call(&server, &service, "POST", "/bucket", json!({"id": bad})).1["code"],
            "InvalidBucketName",
            "{bad}"
        );
    }
    let (_, bucket) = server.call("GET", "/storage/v1/bucket/b", &token, None);
    assert_eq!(
        (&bucket["file_size_limit"], &bucket["allowed_mime_types"]),
        (&json!(1024), &json!(["text/*"]))
    );

    let too_large = put(&server, &service, "b/large", "text/plain", &[b'x'; 1025]);
    assert_eq!(refusal(&too_large), refused("413", "EntityTooLarge"));
    assert_eq!(refusal(&put(&server, &service, "b/p", "image/png", b"x")), refused("415", "InvalidMimeType"));
    assert_eq!(put(&server, &service, "b/t", "text/plain", &[b'x'; 1024]).status, 200);

    assert_eq!(call(&server, &service, "DELETE", "/bucket/b", json!({})).1["statusCode"], "409");
    assert_eq!(call(&server, &token, "POST", "/bucket/b/empty", json!({})).1["statusCode"], "403");
    assert_eq!(call(&server, &service, "POST", "/bucket/b/empty", json!({})).0, 200);
    assert_eq!(call(&server, &service, "DELETE", "/bucket/b", json!({})).0, 200);
    assert_eq!(call(&server, &service, "DELETE", "/bucket/b", json!({})).1["code"], "NoSuchBucket");

    // What an operator changed about a seeded bucket outlives a restart.
    assert_eq!(call(&server, &service, "PUT", "/bucket/avatars", json!({"public": false})).0, 200);
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let (_, bucket) = server.call("GET", "/storage/v1/bucket/avatars", &token, None);
    assert_eq!((&bucket["public"], &bucket["file_size_limit"]), (&json!(false), &json!(10 << 20)));
}

#[test]
fn a_file_answers_ranges_conditions_and_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    // Larger than what is kept in memory, so that it is written and read in pieces.
    let bytes: Vec<u8> = (0..1_500_000_u32).map(|number| (number % 251) as u8).collect();
    let path = format!("user-library/{owner}/film.mp4");
    let answer = put(&server, &token, &path, "video/mp4", &bytes);
    assert_eq!(answer.json()["Key"], json!(path), "{}", answer.text());
    let url = format!("/object/authenticated/{path}");
    let auth = bearer(&token);
    let with = |more: &[(&str, &str)]| {
        let mut headers = vec![("authorization", auth.as_str())];
        headers.extend_from_slice(more);
        ask(&server, "GET", &url, &headers, b"")
    };
    let whole = with(&[]);
    assert_eq!(whole.bytes, bytes);
    assert_eq!((whole.header("accept-ranges"), whole.header("content-type")), ("bytes", "video/mp4"));
    assert_eq!(whole.header("content-length"), "1500000");
    let part = with(&[("range", "bytes=1000-500999")]);
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-500999/1500000"));
    assert_eq!(part.bytes, bytes[1000..501_000]);
    assert_eq!(with(&[("range", "bytes=-5")]).bytes, bytes[bytes.len() - 5..]);
    let beyond = with(&[("range", "bytes=1500000-")]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */1500000"));
    let etag = whole.header("etag");
    let unchanged = with(&[("if-none-match", etag), ("range", "bytes=0-1")]);
    assert_eq!((unchanged.status, unchanged.bytes.len(), unchanged.header("etag")), (304, 0, etag));
    assert_eq!(with(&[("if-none-match", "\"other\"")]).status, 200);
    let head = ask(&server, "HEAD", &url, &[("authorization", &auth)], b"");
    assert_eq!((head.status, head.header("content-length"), head.bytes.len()), (200, "1500000", 0));
    let named = get(&server, &token, &format!("{url}?download=s%C3%A4%22m%0D%0A.mp4"));
    let disposition = named.header("content-disposition");
    assert_eq!(disposition, "attachment; filename=\"s__m__.mp4\"; filename*=UTF-8''s%C3%A4%22m%2Emp4");
    assert_eq!(get(&server, &token, &format!("{url}?download")).header("content-disposition"), "attachment");
}

#[test]
fn uploads_replace_only_when_asked_and_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    let path = format!("avatars/{owner}/me.png");
    let auth = bearer(&token);
    assert_eq!(put(&server, &token, &path, "image/png", b"one").status, 200);
    assert_eq!(
        refusal(&put(&server, &token, &path, "image/png", b"two")),
        refused("409", "KeyAlreadyExists")
    );
    assert_eq!(get(&server, &token, &format!("/object/{path}")).text(), "one");
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "image/png"),
        ("x-upsert", "true"),
        ("cache-control", "max-age=60"),
        ("x-metadata", "eyJrIjoidiJ9"),
    ];
    assert_eq!(ask(&server, "POST", &format!("/object/{path}"), &headers, b"two").status, 200);
    // The form of the JavaScript client: the file's part has an empty name.
    let form = "--x\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n3600\r\n--x\r\n\
        Content-Disposition: form-data; name=\"\"; filename=\"blob\"\r\nContent-Type: image/webp\r\n\r\nthree\r\n--x--\r\n";
    let headers = [("authorization", auth.as_str()), ("content-type", "multipart/form-data; boundary=x")];
    let answer = ask(&server, "PUT", &format!("/object/{path}"), &headers, form.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let found = ask(&server, "GET", &format!("/object/public/{path}"), &[], b"");
    assert_eq!((found.text().as_str(), found.header("content-type")), ("three", "image/webp"));
    assert_eq!(found.header("cache-control"), "max-age=3600");
    let report = server.check();
    // The replaced bytes wait for a sweep; the file's own are counted as used.
    assert_eq!(
        (&report["faults"], report["orphans"].as_array().map(Vec::len)),
        (&json!(0), Some(2)),
        "{report}"
    );
}

#[test]
fn hostile_paths_and_bodies_get_the_dialects_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("playhouse.json"), r#"{"file_bytes_max": 1000}"#).expect("a file");
    let server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    let long = "a".repeat(1100);
    for key in [
        "..%2F..%2Fkeys.json",
        "%2e%2e/keys.json",
        "a%2F%2E%2E%2Fb",
        "a%00b",
        "a%0Ab",
        "a//b",
        "a%5Cb",
        &long,
        "%FF",
    ] {
        let path = format!("/object/user-library/{owner}/{key}");
        for method in ["POST", "GET", "DELETE"] {
            let headers = [("authorization", bearer(&token)), ("content-type", "image/png".into())];
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = ask(&server, method, &path, &headers, b"");
            // The client's own library resolves dots before it sends; then the path is simply another one.
            let (status, code) = refusal(&answer);
            assert!(
                code == "InvalidKey" || status == "404" || status == "403",
                "{method} {key}: {status} {code}"
            );
        }
    }
    let bad_token = get(&server, "not.a.token", &format!("/object/user-library/{owner}/a"));
    assert_eq!(refusal(&bad_token), refused("403", "InvalidJWT"));
    assert_eq!(refusal(&get(&server, &token, "/object/nothing/a")), refused("404", "NoSuchBucket"));
    assert_eq!(refusal(&get(&server, &token, "/nowhere")), refused("404", "NoSuchRoute"));
    let path = format!("user-library/{owner}/a.png");
    let answer = put(&server, &token, &path, "image/png", &[0; 1001]);
    assert_eq!(refusal(&answer), refused("413", "EntityTooLarge"));
    let announced = put(&server, &token, &path, "image/png", &vec![0; 3 << 20]);
    assert_eq!(refusal(&announced), refused("413", "EntityTooLarge"));
    let auth = bearer(&token);
    for (content_type, body) in [
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"cacheControl\"\r\n\r\n1\r\n--x--\r\n",
        ),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disp"),
        ("multipart/form-data", "no boundary"),
    ] {
        let headers = [("authorization", auth.as_str()), ("content-type", content_type)];
        let answer = ask(&server, "POST", &format!("/object/{path}"), &headers, body.as_bytes());
        assert_eq!(refusal(&answer), refused("400", "InvalidRequest"), "{body}");
    }
    for (name, value) in [("x-metadata", "bm90IGpzb24="), ("x-metadata", "!!"), ("content-type", "html")] {
        let mut headers = vec![("authorization", auth.as_str()), (name, value)];
        if name != "content-type" {
            headers.push(("content-type", "image/png"));
        }
        let answer = ask(&server, "POST", &format!("/object/{path}"), &headers, b"x");
        assert!(matches!(refusal(&answer).0.as_str(), "400" | "415"), "{name} {value}");
    }
    assert_eq!(refusal(&get(&server, &token, &format!("/object/{path}"))), refused("404", "NoSuchKey"));
    assert_eq!(server.check()["orphans"], json!([]));
}
