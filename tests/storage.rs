//! The storage dialect from outside: who may touch which file, and what a file answers.

mod common;

use common::Server;
use common::files::{ask, bearer, get, put, refusal, refused, try_ask};
use serde_json::{Value as Json, json};

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
        // The folder of no account, and no folder at all.
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
    let seeded = [
        "avatars",
        "exports",
        "reference_images",
        "system_assets",
        "user-library",
        "videos",
        "workspace-temp",
    ];
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

#[test]
fn acknowledged_files_survive_kill_nine_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (owner, token) = Server::start(folder.path(), &[]).sign_up("crash@example.com");
    let auth = bearer(&token);
    let acknowledged = std::sync::Mutex::new(Vec::<(String, Vec<u8>)>::new());
    for round in 0..3_u64 {
        let mut server = Server::start(folder.path(), &[]);
        std::thread::scope(|scope| {
            for worker in 0..4_u8 {
                let (server, acknowledged, owner, auth) = (&server, &acknowledged, &owner, &auth);
                scope.spawn(move || {
                    for number in 0..200_u64 {
                        // Some are written in pieces; every other one replaces one that is there.
                        let name = if number % 2 == 0 {
                            format!("{round}-{worker}-{number}")
                        } else {
                            format!("{worker}")
                        };
                        let seed = format!("{round} {worker} {number}");
                        let bytes = seed.repeat(if number % 4 == 0 { 60_000 } else { 1 }).into_bytes();
                        let path = format!("/object/workspace-temp/{owner}/{name}");
                        let headers = [("authorization", auth.as_str()), ("content-type", "image/png")];
                        if !try_ask(server, "PUT", &path, &headers, &bytes)
                            .is_ok_and(|answer| answer.status == 200)
                        {
                            break;
                        }
                        if number % 2 == 0 {
                            acknowledged.lock().expect("no panic").push((name, bytes));
                        }
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(150 + 37 * round));
            server.signal("KILL");
        });
        server.kill();
    }
    let server = Server::start(folder.path(), &[]);
    let acknowledged = acknowledged.into_inner().expect("no panic");
    assert!(!acknowledged.is_empty());
    for (name, bytes) in &acknowledged {
        let found = get(&server, &token, &format!("/object/workspace-temp/{owner}/{name}"));
        assert!(found.status == 200 && found.bytes == *bytes, "{name}: {}", found.status);
    }
    let report = server.check();
    assert_eq!(report["faults"], 0, "{report}");
    assert_eq!(std::fs::read_dir(folder.path().join("blobs/partial")).map(Iterator::count).ok(), Some(0));
}
