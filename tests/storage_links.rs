//! The storage dialect's side doors: signed URLs, pictures in other sizes, resumable uploads, listings, removals.

mod common;

use std::time::Duration;

use common::Server;
use common::files::{Answer, ask, bearer, get, put, refusal, refused};
use serde_json::{Value as Json, json};

fn post(server: &Server, token: &str, path: &str, body: &serde_json::Value) -> Answer {
    let auth = bearer(token);
    let headers = [("authorization", auth.as_str()), ("content-type", "application/json")];
    ask(server, "POST", path, &headers, body.to_string().as_bytes())
}

/// A PNG whose header promises this size; only one of 1×1 holds what it promises.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&[8, 0, 0, 0, 0]);
    let crc = crc32(&bytes[12..]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    // One grey pixel, stored without compression.
    let data = b"IDAT\x78\x01\x01\x02\x00\xfd\xff\x00\x7f\x00\x80\x00\x80";
    bytes.extend_from_slice(&13_u32.to_be_bytes());
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&crc32(data).to_be_bytes());
    bytes.extend_from_slice(b"\0\0\0\0IEND\xaeB`\x82");
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn a_signed_url_opens_one_file_for_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    let (_, stranger) = server.sign_up("stranger@example.com");
    for name in ["a.png", "b.png"] {
        let path = format!("user-library/{owner}/{name}");
        assert_eq!(put(&server, &token, &path, "image/png", name.as_bytes()).status, 200);
    }
    let path = format!("/object/sign/user-library/{owner}/a.png");
    let sign =
        |who: &str, seconds: serde_json::Value| post(&server, who, &path, &json!({"expiresIn": seconds}));
    for outsider in [&stranger, &server.anon] {
        assert_eq!(refusal(&sign(outsider, json!(60))), refused("404", "NoSuchKey"));
    }
    for bad in [json!(0), json!(-1), json!("soon"), json!(null), json!([1])] {
        assert_eq!(refusal(&sign(&token, bad.clone())), refused("400", "InvalidRequest"), "{bad}");
    }
    let signed = sign(&token, json!("60")).json()["signedURL"].as_str().expect("a URL").to_string();
    assert!(signed.starts_with(&format!("{path}?token=")), "{signed}");
    let open = |url: &str| ask(&server, "GET", url, &[], b"");
    assert_eq!(open(&signed).text(), "a.png");
    let part = ask(&server, "GET", &signed, &[("range", "bytes=0-0")], b"");
    assert_eq!((part.status, part.text().as_str()), (206, "a"));
    // Another file, another signature, another claim, no token, a token of another kind.
    assert_eq!(refusal(&open(&signed.replace("a.png", "b.png"))), refused("400", "InvalidSignature"));
    let mut parts: Vec<String> = signed.split('.').map(str::to_string).collect();
    let last = parts.len() - 1;
    parts[last] = parts[last].chars().rev().collect();
    assert_eq!(refusal(&open(&parts.join("."))), refused("400", "InvalidJWT"));
    for other in ["", &token, &server.service, "x.y.z"] {
        assert_eq!(refusal(&open(&format!("{path}?token={other}"))), refused("400", "InvalidJWT"), "{other}");
    }
    let ticket = signed.split("token=").nth(1).expect("a token");
    assert_eq!(refusal(&get(&server, ticket, "/bucket")), refused("403", "InvalidJWT"));
    let upload = format!("/object/upload/sign/user-library/{owner}/a.png?token={ticket}");
    assert_eq!(refusal(&ask(&server, "PUT", &upload, &[], b"x")), refused("400", "InvalidSignature"));

    let short = sign(&token, json!(1)).json()["signedURL"].as_str().expect("a URL").to_string();
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(refusal(&open(&short)), refused("400", "InvalidJWT"));
    assert_eq!(open(&signed).status, 200);

    let several = json!({"expiresIn": 60, "paths": [format!("{owner}/b.png"), "../x"]});
    let answers = post(&server, &token, "/object/sign/user-library", &several).json();
    assert_eq!(open(answers[0]["signedURL"].as_str().expect("a URL")).text(), "b.png");
    assert!(answers[1]["signedURL"].is_null() && answers[1]["error"].is_string(), "{answers}");
}

#[test]
fn pictures_are_made_smaller_but_not_from_bombs() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    for (name, bytes) in
        [("one.png", png(1, 1)), ("bomb.png", png(60_000, 60_000)), ("broken.png", png(2, 2))]
    {
        assert_eq!(put(&server, &token, &format!("avatars/{owner}/{name}"), "image/png", &bytes).status, 200);
    }
    let page = b"<script>alert(1)</script>";
    assert_eq!(put(&server, &token, &format!("avatars/{owner}/page.png"), "image/svg+xml", page).status, 200);
    let render = |name: &str, query: &str| {
        ask(&server, "GET", &format!("/render/image/public/avatars/{owner}/{name}?{query}"), &[], b"")
    };
    let made = render("one.png", "width=30&height=20&resize=fill&format=webp");
    assert_eq!((made.status, made.header("content-type")), (200, "image/webp"));
    assert_eq!(&made.bytes[8..12], b"WEBP");
    let url =
        format!("/render/image/public/avatars/{owner}/one.png?width=30&height=20&resize=fill&format=webp");
    let again = ask(&server, "GET", &url, &[("if-none-match", made.header("etag"))], b"");
    assert_eq!(again.status, 304);
    // These answer with their true status.
    let code =
        |answer: &Answer| (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_string());
    assert_eq!(code(&render("bomb.png", "width=10")), (422, "ImageTooLarge".into()));
    assert_eq!(code(&render("broken.png", "width=10")), (422, "InvalidImage".into()));
    assert_eq!(code(&render("page.png", "width=10")), (422, "InvalidImage".into()));
    assert_eq!(code(&render("one.png", "width=99999")), (400, "InvalidRequest".into()));
    assert_eq!(code(&render("none.png", "width=10")), (404, "NoSuchKey".into()));
    // A page among the pictures may not run as one of ours.
    let served = ask(&server, "GET", &format!("/object/public/avatars/{owner}/page.png"), &[], b"");
    assert_eq!(served.header("x-content-type-options"), "nosniff");
    assert!(served.header("content-security-policy").starts_with("sandbox"), "{:?}", served.headers);
}

#[test]
fn an_upload_in_pieces_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    let (_, stranger) = server.sign_up("stranger@example.com");
    let bytes: Vec<u8> = (0..700_000_u32).map(|number| (number % 253) as u8).collect();
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let described = |key: &str| {
        format!(
            "bucketName {},objectName {},contentType {},cacheControl {}",
            encode("user-library"),
            encode(key),
            encode("video/mp4"),
            encode("60")
        )
    };
    let key = format!("{owner}/film.mp4");
    let begin = |server: &Server, token: &str, key: &str, length: &str| {
        let (auth, metadata) = (bearer(token), described(key));
        let headers = [
            ("authorization", auth.as_str()),
            ("tus-resumable", "1.0.0"),
            ("upload-length", length),
            ("upload-metadata", metadata.as_str()),
        ];
        ask(server, "POST", "/upload/resumable", &headers, b"")
    };
    assert_eq!(begin(&server, &stranger, &key, "700000").status, 403);
    assert_eq!(begin(&server, &token, &key, "999999999999").status, 413);
    assert_eq!(begin(&server, &token, &format!("{owner}/../x"), "5").status, 400);
    assert_eq!(begin(&server, &token, &key, "many").status, 400);
    let other = [("authorization", bearer(&token)), ("tus-resumable", "0.2.2".to_string())];
    let other: Vec<(&str, &str)> = other.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(ask(&server, "POST", "/upload/resumable", &other, b"").status, 412);
    let begun = begin(&server, &token, &key, "700000");
    assert_eq!((begun.status, begun.header("tus-resumable")), (201, "1.0.0"), "{}", begun.text());
    let location = begun.header("location").strip_prefix("/storage/v1").expect("a path").to_string();
    let piece = |server: &Server, token: &str, offset: &str, bytes: &[u8]| {
        let auth = bearer(token);
        let headers = [
            ("authorization", auth.as_str()),
            ("upload-offset", offset),
            ("content-type", "application/offset+octet-stream"),
        ];
        ask(server, "PATCH", &location, &headers, bytes)
    };
    let first = piece(&server, &token, "0", &bytes[..300_000]);
    assert_eq!((first.status, first.header("upload-offset")), (204, "300000"), "{}", first.text());
    assert_eq!(piece(&server, &stranger, "300000", b"x").status, 404);
    assert_eq!(piece(&server, &token, "5", b"x").status, 409);
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let auth = bearer(&token);
    let state = ask(&server, "HEAD", &location, &[("authorization", &auth)], b"");
    assert_eq!(
        (state.status, state.header("upload-offset"), state.header("upload-length")),
        (200, "300000", "700000")
    );
    assert_eq!(
        refusal(&get(&server, &token, &format!("/object/user-library/{key}"))),
        refused("404", "NoSuchKey")
    );
    let rest = piece(&server, &token, "300000", &bytes[300_000..]);
    assert_eq!((rest.status, rest.header("upload-offset")), (204, "700000"), "{}", rest.text());
    let whole = get(&server, &token, &format!("/object/user-library/{key}"));
    assert_eq!((whole.bytes == bytes, whole.header("content-type")), (true, "video/mp4"));
    assert_eq!(whole.header("cache-control"), "max-age=60");
    assert_eq!(piece(&server, &token, "700000", b"").status, 404);
    assert_eq!(begin(&server, &token, &key, "5").status, 409);
    // One that is given up is forgotten.
    let finished = location.clone();
    let other = begin(&server, &token, &format!("{owner}/other.mp4"), "5");
    let location = other.header("location").strip_prefix("/storage/v1").expect("a path").to_string();
    assert_eq!(ask(&server, "DELETE", &location, &[("authorization", &auth)], b"").status, 204);
    assert_eq!(ask(&server, "HEAD", &location, &[("authorization", &auth)], b"").status, 404);
    // What is left is the note of the finished one, for clients that did not hear of its end.
    let state = ask(&server, "HEAD", &finished, &[("authorization", &auth)], b"");
    assert_eq!((state.status, state.header("upload-offset")), (200, "700000"));
    assert_eq!(std::fs::read_dir(folder.path().join("uploads")).map(Iterator::count).ok(), Some(1));
    let options = ask(&server, "OPTIONS", "/upload/resumable", &[], b"");
    assert_eq!((options.status, options.header("tus-version")), (200, "1.0.0"));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn listings_jump_over_what_lies_deeper_and_an_account_takes_its_files_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    for number in 0..60 {
        for name in [format!("deep/{}/{number}.png", number % 3), format!("top-{number:02}.png")] {
            let path = format!("user-library/{owner}/{name}");
            // By the operator: the folder's owner owns them all the same.
            assert_eq!(put(&server, &server.service, &path, "image/png", b"x").status, 200);
        }
    }
    let names = |prefix: &str, more: serde_json::Value| -> Vec<String> {
        let mut body = json!({"prefix": prefix});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = post(&server, &token, "/object/list/user-library", &body).json();
        let entries = answer.as_array().unwrap_or_else(|| panic!("{answer}"));
        entries.iter().filter_map(|entry| entry["name"].as_str().map(str::to_string)).collect()
    };
    let all = names(&owner, json!({}));
    assert_eq!((all.len(), all[0].as_str(), all[60].as_str()), (61, "deep", "top-59.png"));
    assert_eq!(names(&format!("{owner}/deep/"), json!({})), ["0", "1", "2"]);
    assert_eq!(names(&owner, json!({"limit": 2, "offset": 60})), ["top-59.png"]);
    assert_eq!(names(&owner, json!({"search": "TOP-1", "limit": 1, "offset": 9})), ["top-19.png"]);
    let sorted = json!({"limit": 1, "sortBy": {"column": "created_at", "order": "desc"}});
    assert_eq!(names(&owner, sorted), ["top-59.png"]);
    assert_eq!(
        names(&owner, json!({"sortBy": {"column": "name", "order": "desc"}, "limit": 1})),
        ["top-59.png"]
    );
    let (_, stranger) = server.sign_up("stranger@example.com");
    for outsider in [&stranger, &server.anon] {
        let answer = post(&server, outsider, "/object/list/user-library", &json!({"prefix": owner}));
        assert_eq!((answer.status, answer.json()), (200, json!([])));
    }
    let path = format!("/auth/v1/admin/users/{owner}");
    assert_eq!(server.call("DELETE", &path, &server.service, None).0, 200);
    let left = post(&server, &server.service, "/object/list/user-library", &json!({"prefix": owner}));
    assert_eq!(left.json(), json!([]));
    let report = server.check();
    assert_eq!(
        (&report["faults"], report["orphans"].as_array().map(Vec::len)),
        (&json!(0), Some(1)),
        "{report}"
    );
}

#[test]
fn the_length_of_an_upload_may_come_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let described = |key: &str| {
        format!(
            "bucketName {},objectName {},contentType {}",
            encode("user-library"),
            encode(key),
            encode("image/png")
        )
    };
    let auth = bearer(&token);
    let begin = |server: &Server, key: &str, more: &[(&str, &str)]| {
        let metadata = described(key);
        let mut headers = vec![("authorization", auth.as_str()), ("upload-metadata", metadata.as_str())];
        headers.extend_from_slice(more);
        ask(server, "POST", "/upload/resumable", &headers, b"")
    };
    let key = format!("{owner}/notes.txt");
    for odd in
        [&[("upload-defer-length", "2")][..], &[("upload-defer-length", "1"), ("upload-length", "5")], &[]]
    {
        assert_eq!(begin(&server, &key, odd).status, 400, "{odd:?}");
    }
    let begun = begin(&server, &key, &[("upload-defer-length", "1")]);
    assert_eq!(begun.status, 201, "{}", begun.text());
    let location = begun.header("location").strip_prefix("/storage/v1").expect("a path").to_string();
    let piece = |server: &Server, offset: &str, bytes: &[u8], more: &[(&str, &str)]| {
        let mut headers = vec![
            ("authorization", auth.as_str()),
            ("upload-offset", offset),
            ("content-type", "application/offset+octet-stream"),
        ];
        headers.extend_from_slice(more);
        ask(server, "PATCH", &location, &headers, bytes)
    };
    assert_eq!(piece(&server, "0", b"hel", &[]).status, 204);
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let head = |server: &Server| ask(server, "HEAD", &location, &[("authorization", auth.as_str())], b"");
    let state = head(&server);
    let shown =
        ["upload-offset", "upload-defer-length", "upload-length"].map(|name| state.header(name).to_string());
    assert_eq!((state.status, shown), (200, ["3".into(), "1".into(), String::new()]));
    for (length, status) in [("2", 400), ("many", 400), ("999999999999", 413)] {
        assert_eq!(piece(&server, "3", b"", &[("upload-length", length)]).status, status, "{length}");
    }
    assert_eq!(piece(&server, "3", b"l", &[("upload-length", "5")]).status, 204);
    assert_eq!(head(&server).header("upload-length"), "5");
    assert_eq!(piece(&server, "4", b"o", &[("upload-length", "6")]).status, 400, "it does not change");
    assert_eq!(piece(&server, "4", b"oo", &[]).status, 413);
    let state = head(&server).header("upload-offset").to_string();
    assert_eq!(piece(&server, &state, &b"o"[..usize::from(state == "4")], &[]).status, 204);
    let whole = get(&server, &token, &format!("/object/user-library/{key}"));
    assert_eq!((whole.status, whole.text().as_str()), (200, "hello"));
    assert_eq!(head(&server).header("upload-length"), "5");
    let options = ask(&server, "OPTIONS", "/upload/resumable", &[], b"");
    assert!(options.header("tus-extension").contains("creation-defer-length"), "{:?}", options.headers);
}

#[test]
fn pages_of_a_list_come_in_any_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (owner, token) = server.sign_up("owner@example.com");
    for name in ["b.txt", "a.txt", "sub/x.txt", "c.txt"] {
        assert_eq!(
            put(&server, &token, &format!("user-library/{owner}/{name}"), "image/png", b"x").status,
            200
        );
    }
    let page = |sort: Json, cursor: &Json| {
        let body = json!({"prefix": format!("{owner}/"), "limit": 2, "with_delimiter": true, "sortBy": sort,
            "cursor": cursor});
        server.call("POST", "/storage/v1/object/list-v2/user-library", &token, Some(&body))
    };
    for (sort, expected) in [
        (json!({"column": "name", "order": "desc"}), ["sub/", "c.txt", "b.txt", "a.txt"]),
        (json!({"column": "created_at", "order": "asc"}), ["sub/", "b.txt", "a.txt", "c.txt"]),
        (json!({"column": "created_at", "order": "desc"}), ["c.txt", "a.txt", "b.txt", "sub/"]),
        (json!({"column": "name"}), ["a.txt", "b.txt", "c.txt", "sub/"]),
    ] {
        let (mut names, mut cursor) = (Vec::new(), Json::Null);
        for place in 0..2 {
            let (status, answer) = page(sort.clone(), &cursor);
            assert_eq!((status, &answer["hasNext"]), (200, &json!(place == 0)), "{sort}: {answer}");
            let listed =
                ["objects", "folders"].iter().flat_map(|kind| answer[*kind].as_array().expect("a list"));
            let short =
                |entry: &Json| entry["name"].as_str().expect("a name").replace(&format!("{owner}/"), "");
            let mut found: Vec<String> = listed.map(short).collect();
            found.sort();
            names.push(found);
            cursor = answer["nextCursor"].clone();
        }
        let mut halves = [expected[..2].to_vec(), expected[2..].to_vec()];
        halves.iter_mut().for_each(|half| half.sort_unstable());
        assert_eq!(names, halves, "{sort}");
    }
    let (_, first) = page(json!({"column": "created_at"}), &Json::Null);
    let (status, refused) = page(json!({"column": "updated_at"}), &first["nextCursor"]);
    assert_eq!((status, &refused["statusCode"]), (400, &json!("400")), "{refused}");
    assert_eq!(page(json!({"column": "size"}), &Json::Null).0, 400);
}
