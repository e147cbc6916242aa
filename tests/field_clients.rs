//! What Supabase's clients send as they really are: dates, numbers, searches and expressions of PostgreSQL, lost answers
//! of sign-ins and uploads.

mod common;

use std::io::{Read, Write};

use common::Server;
use common::files::{Answer, bearer, send};
use serde_json::{Value as Json, json};

fn ask(server: &Server, token: &str, method: &str, path: &str, body: &str, more: &[(&str, &str)]) -> Answer {
    let authorization = bearer(token);
    let mut headers = vec![
        ("authorization", authorization.as_str()),
        ("apikey", server.anon.as_str()),
        ("content-type", "application/json"),
    ];
    headers.extend_from_slice(more);
    send(&format!("{}{path}", server.url), method, &headers, body.as_bytes()).expect("an answer")
}

fn character(server: &Server, user: &str, token: &str, name: &str) -> Json {
    let own = json!({"user_id": user, "name": name, "description": format!("about {name}")});
    let (status, made) = server.call("POST", "/rest/v1/characters", token, Some(&own));
    assert_eq!(status, 201, "{made}");
    made[0].clone()
}

#[test]
fn rows_come_back_in_the_order_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ann@example.com");
    for name in ["b", "c", "a"] {
        character(&server, &user, &token, name);
    }
    let names = |rows: &Json| -> Vec<String> {
        let rows = rows.as_array().expect("rows").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_string()).collect()
    };
    let path = format!("/rest/v1/characters?user_id=eq.{user}&select=name&order=name");
    let (_, rows) = server.call("PATCH", &format!("{path}.desc"), &token, Some(&json!({"mood": "calm"})));
    assert_eq!(names(&rows), ["c", "b", "a"]);
    let (_, rows) = server.call("DELETE", &path, &token, None);
    assert_eq!(names(&rows), ["a", "b", "c"]);
}

#[test]
fn values_are_read_as_postgresql_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ann@example.com");
    let own = character(&server, &user, &token, "Mira");
    let path = format!("/rest/v1/characters?id=eq.{}", own["id"].as_str().expect("an id"));
    let patch =
        |body: &str| ask(&server, &token, "PATCH", &path, body, &[("prefer", "return=representation")]);

    // Every digit of a document stays.
    let digits = r#"{"media_defaults":{"a":12345678901234567890.50,"b":[1.10,1e2]}}"#;
    let answer = patch(digits);
    assert!(
        answer.text().contains(r#""a":12345678901234567890.50"#) && answer.text().contains("1.10"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("100"), "{}", answer.text());
    // Also where a path leads into it, in lists, texts, casts and orders.
    let parts = "select=a:media_defaults-%3Ea,b:media_defaults-%3Eb,t:media_defaults-%3E%3Ea";
    let answer = ask(&server, &token, "GET", &format!("{path}&{parts}"), "", &[]);
    let shown = r#""a":12345678901234567890.50,"b":[1.10,100],"t":"12345678901234567890.50""#;
    assert!(answer.text().contains(shown), "{}", answer.text());
    for (filter, found) in [("gt.12345678901234567890.4", 1), ("gt.12345678901234567890.5", 0)] {
        let filter = format!("media_defaults-%3Ea={filter}");
        let answer = ask(&server, &token, "GET", &format!("{path}&select=id&{filter}"), "", &[]);
        assert_eq!(answer.json().as_array().map(Vec::len), Some(found), "{filter}: {}", answer.text());
    }
    // Numbers beyond a column are out of range, not unreadable.
    let answer = patch(r#"{"likes_count":123456789012345678901234567890}"#);
    assert_eq!(answer.json()["code"], json!("22003"), "{}", answer.text());
    // The row that a check refuses is shown.
    let answer = patch(r#"{"gender":"blue"}"#);
    let details = answer.json()["details"].as_str().unwrap_or_default().to_string();
    assert!(
        answer.json()["code"] == json!("23514")
            && details.starts_with("Failing row contains (")
            && details.contains("blue"),
        "{}",
        answer.text()
    );
    let answer = patch(r#"{"name":null}"#);
    assert_eq!(answer.json()["code"], json!("23502"), "{}", answer.text());
    assert!(answer.json()["details"].as_str().is_some_and(|it| it.contains("null")), "{}", answer.text());

    for (filter, status, code) in [
        ("created_at=gt.yesterday", 200, ""),
        ("created_at=lt.tomorrow%2024:00", 200, ""),
        ("created_at=gt.epoch&created_at=lt.infinity", 200, ""),
        ("created_at=gt.20200101", 200, ""),
        ("created_at=gt.2020-01-01T00:00:00%20Europe/Berlin", 200, ""),
        ("created_at=gt.2020-13-01", 400, "22008"),
        ("created_at=gt.soon", 400, "22007"),
        ("created_at=gt.2020-01-01T00:00%2B16", 400, "22009"),
        ("created_at=gt.2020-01-01%2000:00%20Mars/Base", 400, "22023"),
        ("name=match.%5CmMira%5CM", 200, ""),
        ("name=match.(i)r%5C1", 200, "none"),
        ("name=match.M(?!x)", 200, ""),
        ("description=fts.the%20%26%20mira", 200, ""),
        ("description=wfts.%22about%20mira%22%20-dog", 200, ""),
        ("description=wfts.-mira", 200, "none"),
        ("description=fts(klingon).mira", 400, "42704"),
    ] {
        let answer =
            ask(&server, &token, "GET", &format!("/rest/v1/characters?select=name&{filter}"), "", &[]);
        assert_eq!(answer.status, status, "{filter}: {}", answer.text());
        let body = answer.json();
        match status {
            200 => assert_eq!(
                body.as_array().map(Vec::len),
                Some(usize::from(code.is_empty())),
                "{filter}: {body}"
            ),
            _ => assert_eq!(body["code"], json!(code), "{filter}: {body}"),
        }
    }

    // A list is taken apart as to_jsonb makes it.
    patch(r#"{"alternate_greetings":["One.","Two."],"appearance_tags":["tall","calm"]}"#);
    let answer = ask(
        &server,
        &token,
        "GET",
        "/rest/v1/characters?select=first:appearance_tags-%3E%3E0,all:appearance_tags-%3E1",
        "",
        &[],
    );
    assert_eq!(answer.json(), json!([{"first": "tall", "all": "calm"}]), "{}", answer.text());

    // A target that is too long gets an answer that a browser may read.
    // Clients' libraries refuse to send it, and browsers do not.
    let address = server.url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    let target = format!("/rest/v1/characters?id=in.({})", "a,".repeat(40_000));
    let head = "host: x\r\norigin: https://app.example.com\r\nconnection: close\r\n";
    stream.write_all(format!("GET {target} HTTP/1.1\r\n{head}\r\n").as_bytes()).expect("it is sent");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 414"), "{head}");
    assert!(head.to_ascii_lowercase().contains("access-control-allow-origin:"), "{head}");
    assert!(body.contains("URI too long"), "{body}");
}

#[test]
fn a_lost_answer_signs_nobody_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_REFRESH_TOKEN_REUSE_S", "0")]);
    let body = r#"{"email":"ann@example.com","password":"correct horse battery"}"#;
    let session = ask(&server, &server.anon, "POST", "/auth/v1/signup", body, &[]).json();
    let refresh = |token: &Json| {
        let body = json!({ "refresh_token": token }).to_string();
        ask(&server, &server.anon, "POST", "/auth/v1/token?grant_type=refresh_token", &body, &[])
    };
    let first = refresh(&session["refresh_token"]).json();
    std::thread::sleep(std::time::Duration::from_millis(5));
    // The answer was lost: the parent of the token that counts gets it again.
    let again = refresh(&session["refresh_token"]);
    assert_eq!(
        (again.status, &again.json()["refresh_token"]),
        (200, &first["refresh_token"]),
        "{}",
        again.text()
    );
    let second = refresh(&first["refresh_token"]).json();
    assert!(second["refresh_token"].is_string(), "{second}");
    // Its grandparent is a theft.
    let stolen = refresh(&session["refresh_token"]);
    assert_eq!(stolen.json()["error_code"], json!("refresh_token_already_used"), "{}", stolen.text());
    assert_eq!(refresh(&second["refresh_token"]).status, 400, "its session has ended");
}

#[test]
fn metadata_that_no_token_could_carry_is_refused_when_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, token) = server.sign_up("ann@example.com");
    let put = |bytes: usize| {
        let body = json!({"data": {"note": "x".repeat(bytes)}}).to_string();
        ask(&server, &token, "PUT", "/auth/v1/user", &body, &[])
    };
    let refused = put(12 << 10);
    assert_eq!(
        (refused.status, &refused.json()["error_code"]),
        (422, &json!("validation_failed")),
        "{}",
        refused.text()
    );
    assert_eq!(put(9 << 10).status, 200);
    let body = r#"{"email":"ann@example.com","password":"correct horse battery"}"#;
    let session = ask(&server, &server.anon, "POST", "/auth/v1/token?grant_type=password", body, &[]).json();
    if let Some(token) = session["access_token"].as_str() {
        assert_eq!(
            ask(&server, token, "GET", "/auth/v1/user", "", &[]).status,
            200,
            "a token with all of it opens"
        );
    }
    let body = json!({"email": "bob@example.com", "password": "correct horse battery", "data": {"note": "x".repeat(12 << 10)}});
    assert_eq!(ask(&server, &server.anon, "POST", "/auth/v1/signup", &body.to_string(), &[]).status, 422);
}

#[test]
fn a_look_at_a_link_redeems_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    server.sign_up("ann@example.com");
    let body = r#"{"type":"magiclink","email":"ann@example.com"}"#;
    let link = ask(&server, &server.service, "POST", "/auth/v1/admin/generate_link", body, &[]).json();
    let path = link["action_link"].as_str().expect("a link").replacen(&server.url, "", 1);
    let path = path.find("/auth/v1").map_or(path.clone(), |at| path[at..].to_string());
    assert_eq!(ask(&server, &server.anon, "HEAD", &path, "", &[]).status, 204);
    let hash = link["hashed_token"].as_str().expect("a hash");
    let verify = json!({"type": "magiclink", "token_hash": hash}).to_string();
    let opened = ask(&server, &server.anon, "POST", "/auth/v1/verify", &verify, &[]);
    assert!(opened.json()["access_token"].is_string(), "{}", opened.text());
}

#[test]
fn a_finished_upload_says_its_length_and_a_token_opens_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ann@example.com");
    let metadata = |name: &str| {
        use base64::Engine;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        format!(
            "bucketName {},objectName {},contentType {}",
            encode("user-library"),
            encode(name),
            encode("image/png")
        )
    };
    let piece = |token: &str, path: &str, bytes: &str, more: &[(&str, &str)]| {
        let authorization = bearer(token);
        let mut headers = vec![
            ("tus-resumable", "1.0.0"),
            ("upload-offset", "0"),
            ("content-type", "application/offset+octet-stream"),
            ("authorization", authorization.as_str()),
        ];
        headers.extend_from_slice(more);
        send(&format!("{}{path}", server.url), "PATCH", &headers, bytes.as_bytes()).expect("an answer")
    };
    let own = metadata(&format!("{user}/a.txt"));
    let begun = ask(
        &server,
        &token,
        "POST",
        "/storage/v1/upload/resumable",
        "",
        &[("upload-length", "5"), ("upload-metadata", &own)],
    );
    assert_eq!(begun.status, 201, "{}", begun.text());
    let place = begun.header("location").to_string();
    let place = place[place.find("/storage").expect("a path")..].to_string();
    assert_eq!(piece(&token, &place, "hello", &[]).status, 204);
    let state = ask(&server, &token, "HEAD", &place, "", &[]);
    assert_eq!((state.status, state.header("upload-offset"), state.header("upload-length")), (200, "5", "5"));
    let (_, stranger) = server.sign_up("bob@example.com");
    assert_eq!(ask(&server, &stranger, "HEAD", &place, "", &[]).status, 404);

    let name = format!("{user}/b.txt");
    let signed = ask(
        &server,
        &token,
        "POST",
        &format!("/storage/v1/object/upload/sign/user-library/{name}"),
        "{}",
        &[],
    )
    .json();
    let ticket = signed["token"].as_str().expect("a token");
    let own = metadata(&name);
    let with_token = [("upload-length", "5"), ("upload-metadata", own.as_str()), ("x-signature", ticket)];
    let begun = ask(&server, &server.anon, "POST", "/storage/v1/upload/resumable/sign", "", &with_token);
    assert_eq!(begun.status, 201, "{}", begun.text());
    let place = begun.header("location").to_string();
    let place = place[place.find("/storage").expect("a path")..].to_string();
    assert_eq!(piece(&server.anon, &place, "world", &[]).status, 400, "without the token it is nobody's");
    assert_eq!(piece(&server.anon, &place, "world", &[("x-signature", ticket)]).status, 204);
    // The answer was lost: who holds the token is told that it is whole, others are not.
    let state = ask(&server, &server.anon, "HEAD", &place, "", &[("x-signature", ticket)]);
    assert_eq!((state.status, state.header("upload-length")), (200, "5"));
    assert_ne!(ask(&server, &server.anon, "HEAD", &place, "", &[]).status, 200);
    let file = ask(
        &server,
        &token,
        "GET",
        &format!("/storage/v1/object/authenticated/user-library/{name}"),
        "",
        &[],
    );
    assert_eq!((file.status, file.text().as_str()), (200, "world"));
    let other = metadata(&format!("{user}/c.txt"));
    let other = [("upload-length", "5"), ("upload-metadata", other.as_str()), ("x-signature", ticket)];
    assert_eq!(
        ask(&server, &server.anon, "POST", "/storage/v1/upload/resumable/sign", "", &other).status,
        400
    );

    let search = |search: &str| {
        let body = json!({"prefix": user, "search": search}).to_string();
        ask(&server, &token, "POST", "/storage/v1/object/list/user-library", &body, &[])
            .json()
            .as_array()
            .map_or(0, Vec::len)
    };
    assert_eq!((search("B."), search("txt")), (1, 0), "a search begins names");
}

/// Where a link leads, without going there.
fn location(url: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = language::http_client().redirect(reqwest::redirect::Policy::none());
        let answer = client.build().expect("a client").get(url).send().await.expect("an answer");
        answer.headers()["location"].to_str().expect("an address").to_string()
    })
}

#[test]
fn a_wrong_verifier_leaves_the_code_and_refusals_are_in_the_query_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({"autoconfirm": false}).to_string();
    std::fs::write(folder.path().join("playhouse.json"), settings).expect("a file");
    let server = Server::start(folder.path(), &[]);
    let post = |path: &str, body: Json| {
        ask(&server, &server.anon, "POST", &format!("/auth/v1/{path}"), &body.to_string(), &[])
    };
    // The first link to a new address makes its account. S256 of "a verifier" is computed as RFC 7636 has it.
    let challenge = {
        use base64::Engine;
        use sha2::Digest;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(b"a verifier"))
    };
    let body =
        json!({"email": "new@example.com", "code_challenge": challenge, "code_challenge_method": "s256"});
    assert_eq!(post("otp", body).status, 200);
    let started = std::time::Instant::now();
    let link = loop {
        let outbox = std::fs::read_to_string(folder.path().join("outbox.jsonl")).unwrap_or_default();
        if let Some(link) = outbox.lines().find_map(|line| serde_json::from_str::<Json>(line).ok()) {
            break link["action_link"].as_str().expect("a link").to_string();
        }
        assert!(started.elapsed().as_secs() < 60, "no link");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let page = location(&link);
    let code = page.split_once("code=").unwrap_or_else(|| panic!("no code in {page}")).1;
    let redeem =
        |verifier: &str| post("token?grant_type=pkce", json!({"auth_code": code, "code_verifier": verifier}));
    for _ in 0..2 {
        let refused = redeem("another verifier");
        let shown = (refused.status, refused.json()["error_code"].clone());
        assert_eq!(shown, (400, json!("bad_code_verifier")), "{}", refused.text());
    }
    let session = redeem("a verifier");
    assert_eq!(session.json()["user"]["email"], "new@example.com", "{}", session.text());
    assert_eq!(redeem("a verifier").status, 404, "a code is good for one session");
    // The link was redeemed: browsers that look at the query alone are told, and so are those that look behind the hash.
    let page = location(&link);
    let (query, hash) = page.split_once('#').unwrap_or_else(|| panic!("{page}"));
    for part in [query, hash] {
        assert!(part.contains("error_code=otp_expired"), "{page}");
    }
}

#[test]
fn rows_of_a_table_that_refers_to_itself_come_with_parents_and_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let add = |name: &str, parent: Json| {
        let row = json!({"name": name, "label": name, "style_type": "story", "is_system": true, "parent_id": parent});
        let (status, rows) = server.call("POST", "/rest/v1/style_presets", &server.service, Some(&row));
        assert_eq!(status, 201, "{rows}");
        rows[0]["id"].clone()
    };
    let parent = add("t-parent", Json::Null);
    add("t-child-a", parent.clone());
    add("t-child-b", parent.clone());
    let get = |select: &str, name: &str| {
        let path = format!("/rest/v1/style_presets?name=eq.{name}&select={select}");
        let (status, rows) = server.call("GET", &path, &server.service, None);
        assert_eq!(status, 200, "{select}: {rows}");
        rows
    };
    let children = "name,childs:style_presets!parent_id(name)&childs.order=name";
    let family = json!([{"name": "t-parent", "childs": [{"name": "t-child-a"}, {"name": "t-child-b"}]}]);
    assert_eq!(get(children, "t-parent"), family);
    for hint in ["above:parent_id(name)", "above:style_presets!style_presets_parent_id_fkey(name)"] {
        let above = get(&format!("name,{hint}"), "t-child-a");
        // A constraint of a table with itself leads both ways, and PostgREST takes the one to many.
        let expected = match hint.contains("fkey") {
            true => json!([]),
            false => json!({"name": "t-parent"}),
        };
        assert_eq!(above[0]["above"], expected, "{hint}");
    }
}

#[test]
fn what_a_file_says_of_itself_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (user, token) = server.sign_up("ann@example.com");
    let put = |name: &str, bytes: usize| {
        let metadata = json!({"note": "x".repeat(bytes)}).to_string();
        let part = |head: &str, body: &str| {
            format!("--part\r\ncontent-disposition: form-data; {head}\r\n\r\n{body}\r\n")
        };
        let form = [
            part("name=\"metadata\"", &metadata),
            part("name=\"\"; filename=\"a.png\"\r\ncontent-type: image/png", "a picture"),
            "--part--\r\n".into(),
        ];
        let path = format!("/storage/v1/object/user-library/{user}/{name}");
        // Later headers count: the type of a form is not JSON.
        let authorization = bearer(&token);
        let headers = [
            ("authorization", authorization.as_str()),
            ("apikey", server.anon.as_str()),
            ("content-type", "multipart/form-data; boundary=part"),
        ];
        send(&format!("{}{path}", server.url), "POST", &headers, form.concat().as_bytes()).expect("an answer")
    };
    let kept = put("a.png", 100_000);
    assert_eq!(kept.status, 200, "{}", kept.text());
    let info =
        ask(&server, &token, "GET", &format!("/storage/v1/object/info/user-library/{user}/a.png"), "", &[]);
    assert_eq!(info.json()["metadata"]["note"].as_str().map(str::len), Some(100_000), "{}", info.text());
    let refused = put("b.png", 2 << 20);
    assert!(refused.status >= 400 && refused.text().contains("metadata"), "{}", refused.text());
    let missing =
        ask(&server, &token, "GET", &format!("/storage/v1/object/info/user-library/{user}/b.png"), "", &[]);
    assert_eq!(missing.status, 400, "{}", missing.text());
}
