//! What one client takes of memory, places and time, and what is left for the others: two accounts, and callers without.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::Server;
use serde_json::{Value as Json, json};

const MIB: usize = 1 << 20;
/// However slow the machine is, it takes no longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = Instant::now();
    while !holds() {
        assert!(waiting.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A line of the process's status in MiB: `VmRSS`, or `VmHWM` for the most it ever was.
fn memory(server: &Server, line: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let value = status.lines().find_map(|found| found.strip_prefix(line)).expect("a line");
    let value = value.trim_start_matches(':').trim().trim_end_matches(" kB");
    value.parse::<usize>().expect("a number") / 1024
}

fn health(server: &Server, field: &str) -> usize {
    let (_, health) = server.call("GET", "/health", &server.service, None);
    usize::try_from(health[field].as_u64().expect("a number")).expect("it fits")
}

/// A connection on which something has been said, and of which nothing is read.
fn say(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // A server that refuses a body does not read all of it.
    let _ = stream.write_all(bytes);
    stream
}

fn head(method: &str, path: &str, token: Option<&str>, more: &str) -> Vec<u8> {
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{bearer}{more}\r\n").into_bytes()
}

/// The status of an answer, once it begins.
fn status(stream: &TcpStream) -> u16 {
    let mut begin = [0; 12];
    let mut known = 0;
    let waiting = Instant::now();
    while known < begin.len() {
        assert!(waiting.elapsed() < PATIENCE, "no answer");
        known = stream.peek(&mut begin).expect("an answer");
    }
    String::from_utf8_lossy(&begin[9..]).parse().expect("a status")
}

/// How many of them have an answer.
fn answered(streams: &[TcpStream]) -> usize {
    let has_answer = |stream: &&TcpStream| {
        stream.set_nonblocking(true).expect("a mode");
        let answered = stream.peek(&mut [0; 12]).is_ok_and(|read| read == 12);
        stream.set_nonblocking(false).expect("a mode");
        answered
    };
    streams.iter().filter(has_answer).count()
}

/// Public characters of one account, each with a description of a mebibyte.
fn fill(server: &Server, token: &str, user: &str, rows: usize) {
    let text = "x".repeat(MIB);
    for number in 0..rows {
        let row = json!({"user_id": user, "name": format!("large {number}"), "is_public": true,
            "content_rating": "sfw", "description": text});
        let minimal = [("prefer", "return=minimal")];
        let written = server.call_with("POST", "/rest/v1/characters", token, Some(&row), &minimal);
        assert_eq!(written.0, 201, "{}", written.1);
    }
}

const LARGE: &str = "/rest/v1/characters?select=id,description&name=like.large*";

#[test]
fn answers_that_nobody_takes_are_few_and_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = [
        ("PLAYHOUSE_MEMORY_BYTES_MAX", "134217728"),
        ("PLAYHOUSE_ANSWER_PAUSE_S_MAX", "3"),
        // However slow the machine is.
        ("PLAYHOUSE_QUERY_S_MAX", "300"),
    ];
    let server = Server::start(folder.path(), &limits);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (_, bob_token) = server.sign_up("bob@example.com");
    fill(&server, &ada_token, &ada, 24);
    until("reads of the filling are over", || health(&server, "memory_bytes") == 0);
    let before = memory(&server, "VmRSS");

    // Forty without a key, and forty of one account: together they would hold 2 GB.
    let strangers: Vec<TcpStream> =
        (0..40).map(|_| say(&server, &head("GET", LARGE, None, "connection: close\r\n"))).collect();
    let greedy: Vec<TcpStream> = (0..40)
        .map(|_| say(&server, &head("GET", LARGE, Some(&ada_token), "connection: close\r\n")))
        .collect();
    let statuses: Vec<u16> = strangers.iter().chain(&greedy).map(status).collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    let served = statuses.iter().filter(|status| **status == 200).count();
    assert!((1..40).contains(&served), "{statuses:?}");
    // Another account reads and writes meanwhile.
    assert_eq!(server.call("GET", "/rest/v1/profiles?limit=1", &bob_token, None).0, 200);
    let grown = memory(&server, "VmHWM").saturating_sub(before);
    assert!(grown < 400, "{grown} MiB more");

    // They are not taken: they are given up, and what they took goes back to the system without any request.
    until("they are given up", || health(&server, "memory_bytes") == 0);
    until("memory goes back", || memory(&server, "VmRSS") < before + 120);
    // A client that takes what it asks for gets it whole.
    let bearer = format!("Bearer {bob_token}");
    let (status, rows) =
        common::get(&format!("{}{LARGE}", server.url), &[("authorization", &bearer)]).expect("rows");
    assert_eq!(status, 200, "{rows}");
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 24);
    assert!(rows.iter().all(|row| row["description"].as_str().is_some_and(|text| text.len() == MIB)));
    drop((strangers, greedy));
}

#[test]
fn what_goes_out_in_pieces_is_what_went_out_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let row = |number: usize| {
        json!({"user_id": ada, "name": format!("n{number:03}"), "description": format!("{number},\"{}\"", "é".repeat(2000)),
            "mood": if number.is_multiple_of(2) { Json::Null } else { json!("t") }})
    };
    let rows: Json = (0..200).map(row).collect();
    let written = server.call("POST", "/rest/v1/characters", &token, Some(&rows));
    assert_eq!((written.0, written.1.as_array().map(Vec::len)), (201, Some(200)), "representation");
    let path = "/rest/v1/characters?select=name,description,mood&order=name&name=like.n*";
    let small = format!("{path}&limit=3");
    let read = |path: &str, accept: &str| {
        let answered = server.call_with("GET", path, &token, None, &[("accept", accept)]);
        assert_eq!(answered.0, 200, "{}", answered.1);
        answered.1
    };
    let all = read(path, "application/json");
    assert_eq!(all.as_array().map(Vec::len), Some(200));
    assert_eq!(all[7]["description"], rows[7]["description"]);
    assert_eq!(json!(all.as_array().expect("rows")[..3]), read(&small, "application/json"));
    let stripped = read(path, "application/vnd.pgrst.array+json;nulls=stripped");
    assert_eq!((stripped[0].get("mood"), &stripped[1]["mood"]), (None, &json!("t")));
    let csv = read(path, "text/csv").as_str().expect("text").to_string();
    assert!(csv.starts_with("name,description,mood\nn000,\"0,"), "{}", &csv[..60]);
    assert!(csv.starts_with(read(&small, "text/csv").as_str().expect("text")));
    assert_eq!(csv.lines().count(), 201);
    let none = format!("{path}&id=is.null");
    assert_eq!(read(&none, "application/json"), json!([]));
}

#[test]
fn bodies_of_strangers_leave_room_for_those_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_BODIES_BYTES_MAX", "16777216")]);
    let (ada, token) = server.sign_up("ada@example.com");
    // Sixty without a key send most of two mebibytes, and then nothing.
    let begun = head(
        "POST",
        "/rest/v1/rpc/verify_user_age",
        None,
        &format!("content-type: application/json\r\ncontent-length: {}\r\n", 2 * MIB),
    );
    let body = vec![b' '; 2 * MIB - 1];
    let idle: Vec<TcpStream> =
        (0..60).map(|_| say(&server, &[begun.clone(), body.clone()].concat())).collect();
    until("they take their part", || health(&server, "bodies_bytes") > 4 * MIB);
    // They never get all of it.
    assert!(health(&server, "bodies_bytes") < 12 * MIB);
    // A person signs in from the same address, and an account sends a large body.
    let (_, _) = server.sign_up("bob@example.com");
    let session = json!({"email": "ada@example.com", "password": "correct horse"});
    let signed_in = server.call("POST", "/auth/v1/token?grant_type=password", &server.anon, Some(&session));
    assert_eq!(signed_in.0, 200, "{}", signed_in.1);
    fill(&server, &token, &ada, 2);
    // A token that is none is refused before its body has come.
    let refused = say(
        &server,
        &[
            head("POST", "/rest/v1/characters", Some("nonsense"), "content-length: 100000\r\n"),
            vec![b' '; 100_000],
        ]
        .concat(),
    );
    assert_eq!(status(&refused), 401);
    drop(idle);
    until("it is free again", || health(&server, "bodies_bytes") == 0);
}

#[test]
fn uploads_of_one_account_leave_places_for_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let begin = |number: usize| {
        let path = format!("/storage/v1/object/user-library/{ada}/{number}.png");
        let more = "content-type: image/png\r\ncontent-length: 100\r\n";
        say(&server, &[head("POST", &path, Some(&ada_token), more), b"begun".to_vec()].concat())
    };
    let slow: Vec<TcpStream> = (0..64).map(begin).collect();
    // Those beyond its part are told so; the others go on.
    until("some are refused", || answered(&slow) >= 30);
    let path = format!("/storage/v1/object/user-library/{bob}/mine.png");
    let text = json!("a text");
    let sent = server.call_with("POST", &path, &bob_token, Some(&text), &[("content-type", "image/png")]);
    assert_eq!(sent.0, 200, "{}", sent.1);
    drop(slow);
}

#[test]
fn slow_imports_of_one_account_leave_places_for_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (_, ada_token) = server.sign_up("ada@example.com");
    let (_, bob_token) = server.sign_up("bob@example.com");
    let more = "content-type: application/jsonl\r\ncontent-length: 1000000\r\n";
    let begun = [head("POST", "/functions/v1/import-chat", Some(&ada_token), more), b"{".to_vec()].concat();
    let slow: Vec<TcpStream> = (0..8).map(|_| say(&server, &begun)).collect();
    until("half are refused", || answered(&slow) >= 4);
    let chat = json!("{\"name\":\"Ann\",\"is_user\":true,\"mes\":\"hello\"}\n");
    let headers = [("content-type", "application/jsonl")];
    let imported = server.call_with("POST", "/functions/v1/import-chat", &bob_token, Some(&chat), &headers);
    assert_eq!((imported.0, &imported.1["messages"]), (200, &json!(1)), "{}", imported.1);
    assert_eq!(answered(&slow), 4, "the others go on");
}

#[test]
fn writes_of_others_go_on_while_the_rows_of_a_costly_one_are_looked_for() {
    const ROWS: usize = 16;
    let folder = tempfile::tempdir().expect("a folder");
    // However slow the machine is, the read of a caller who stays does not end by itself.
    let server = Server::start(folder.path(), &[("PLAYHOUSE_QUERY_S_MAX", "600")]);
    let (greedy_id, greedy) = server.sign_up("greedy@example.com");
    let (other_id, other) = server.sign_up("other@example.com");
    fill(&server, &greedy, &greedy_id, ROWS);
    let row = json!({"user_id": other_id, "name": "small", "description": "x"});
    let (_, small) = server.call("POST", "/rest/v1/characters", &other, Some(&row));
    let small = format!("/rest/v1/characters?id=eq.{}", small[0]["id"].as_str().expect("an id"));
    // Each pattern is tried at every place of a text of a mebibyte, and fits nowhere.
    let filter =
        ['a', 'b', 'c', 'd'].map(|end| format!("description.like.*_{}{end}*", "x".repeat(60))).join(",");
    let body = r#"{"name":"large too"}"#;
    let json = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    for (method, more, body) in [("PATCH", json.as_str(), body), ("DELETE", "", "")] {
        let mut costly = head(method, &format!("/rest/v1/characters?or=({filter})"), Some(&greedy), more);
        costly.extend_from_slice(body.as_bytes());
        let costly = say(&server, &costly);
        until("the rows are looked for", || health(&server, "long_reads") > 0);
        for number in 0..5 {
            let change = json!({"description": format!("{method} {number}")});
            let (status, changed) = server.call("PATCH", &small, &other, Some(&change));
            assert_eq!((status, &changed[0]["description"]), (200, &change["description"]), "{changed}");
        }
        assert_eq!(answered(std::slice::from_ref(&costly)), 0, "{method} is still looking for its rows");
        drop(costly);
        until("the read of a caller who left ends", || health(&server, "long_reads") == 0);
    }
    // What it would have done is done where it finds something.
    let large = "/rest/v1/characters?description=like.x*x";
    let (status, changed) = server.call("PATCH", large, &greedy, Some(&json!({"description": "small"})));
    assert_eq!((status, changed.as_array().map(Vec::len)), (200, Some(ROWS)));
    let (status, gone) = server.call("DELETE", "/rest/v1/characters?name=match.^large", &greedy, None);
    assert_eq!((status, gone.as_array().map(Vec::len)), (200, Some(ROWS)));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn what_a_write_reads_back_beside_its_rows_keeps_other_writes_waiting_for_a_moment_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_QUERY_S_MAX", "600")]);
    let (user, token) = server.sign_up("greedy@example.com");
    let made =
        server.call("POST", "/rest/v1/conversations", &token, Some(&json!({"user_id": user, "title": "a"})));
    let conversation = made.1[0]["id"].as_str().expect("an id").to_string();
    for _ in 0..16 {
        let row = json!({"conversation_id": conversation, "sender": "user", "content": "x".repeat(MIB)});
        let minimal = [("prefer", "return=minimal")];
        let written = server.call_with("POST", "/rest/v1/messages", &token, Some(&row), &minimal);
        assert_eq!(written.0, 201, "{}", written.1);
    }
    // Minutes, if nothing ended it: each pattern is tried at every place of every text.
    let costly = ('a'..='z').map(|end| format!("content.like.*_{}{end}*", "x".repeat(100)));
    let costly = format!("messages(id)&messages.or=({})", costly.collect::<Vec<_>>().join(","));
    let one = format!("/rest/v1/conversations?id=eq.{conversation}");
    let change = json!({"title": "b"});
    let (status, refused) = server.call("PATCH", &format!("{one}&select=id,{costly}"), &token, Some(&change));
    assert_eq!((status, &refused["code"]), (500, &json!("57014")), "{refused}");
    let (_, kept) = server.call("GET", &one, &token, None);
    assert_eq!(kept[0]["title"], "a", "what could not be answered is not done");
    let cheap = format!("{one}&select=title,messages(id)");
    let (status, changed) = server.call("PATCH", &cheap, &token, Some(&change));
    assert_eq!((status, &changed[0]["title"]), (200, &json!("b")), "{changed}");
    assert_eq!(changed[0]["messages"].as_array().map(Vec::len), Some(16));
}

#[test]
fn guesses_are_slowed_for_the_account_that_they_are_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_SIGN_IN_FAILURES_MAX", "3")]);
    server.sign_up("ada@example.com");
    server.sign_up("bob@example.com");
    let sign_in = |name: &str, password: &str| {
        let body = json!({"email": format!("{name}@example.com"), "password": password}).to_string();
        let more = format!(
            "content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        let path = "/auth/v1/token?grant_type=password";
        let mut stream = say(&server, &[head("POST", path, None, &more), body.into_bytes()].concat());
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let after = text.to_lowercase().split_once("retry-after: ").map(|(_, rest)| rest.to_string());
        let after = after.and_then(|rest| rest.split("\r\n").next()?.parse::<u64>().ok());
        let status: u16 = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, after, text)
    };
    let mut answers = Vec::new();
    for _ in 0..30 {
        let (status, after, text) = sign_in("ada", "wrong");
        assert!(status == 400 || (status == 429 && after.is_some_and(|after| after > 0)), "{text}");
        answers.push(status);
    }
    let tried = answers.iter().filter(|status| **status == 400).count();
    assert!(answers[..3] == [400; 3] && (3..12).contains(&tried), "{answers:?}");
    let (status, after, text) = sign_in("ada", "correct horse");
    assert!(status == 200 || (status == 429 && text.contains("over_request_rate_limit")), "{text}");
    // Others sign in from the same address, and so does she, once her time has come.
    assert_eq!(sign_in("bob", "correct horse").0, 200);
    // An account that is not there is slowed alike.
    let unknown: Vec<u16> = (0..8).map(|_| sign_in("eve", "wrong").0).collect();
    assert!(unknown[..3] == [400; 3] && unknown.contains(&429), "{unknown:?}");
    std::thread::sleep(Duration::from_secs(after.unwrap_or(0)));
    until("she may", || sign_in("ada", "correct horse").0 == 200);
}

#[test]
fn mails_are_counted_whether_or_not_there_is_an_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_MAILS_PER_ACCOUNT_MAX", "3")]);
    server.sign_up("ada@example.com");
    let ask = |path: &str, name: &str| {
        let body = json!({"email": format!("{name}@example.com"), "type": "signup", "create_user": false});
        server.call("POST", &format!("/auth/v1/{path}"), &server.anon, Some(&body))
    };
    for name in ["ada", "nobody"] {
        for path in ["recover", "otp", "magiclink"] {
            assert_eq!(ask(path, name), (200, json!({})), "{path} {name}");
        }
        for path in ["recover", "otp", "magiclink", "resend"] {
            let (status, refused) = ask(path, name);
            assert_eq!(
                (status, &refused["error_code"]),
                (429, &json!("over_email_send_rate_limit")),
                "{refused}"
            );
        }
    }
    // They are written after the answers.
    let outbox =
        || std::fs::read_to_string(folder.path().join("outbox.jsonl")).unwrap_or_default().lines().count();
    until("all are written", || outbox() >= 3);
    assert_eq!(outbox(), 3);
}

#[test]
fn short_passwords_are_refused_unless_the_operator_wants_them() {
    for (setting, status) in [(None, 422), (Some(("PLAYHOUSE_PASSWORD_CHARS_MIN", "6")), 200)] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), setting.as_slice());
        let body = json!({"email": "ada@example.com", "password": "sieben7"});
        let answered = server.call("POST", "/auth/v1/signup", &server.anon, Some(&body));
        assert_eq!(answered.0, status, "{}", answered.1);
    }
}

#[test]
fn a_data_folder_that_was_open_is_closed_and_every_answer_says_what_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let outer = tempfile::tempdir().expect("a folder");
    let folder = outer.path().join("data");
    Server::start(&folder, &[]).stop();
    let set = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let (keys, own) = (folder.join("keys.json"), folder.join("notes.txt"));
    std::fs::write(&own, "mine").expect("a file");
    for (path, open) in [(&folder, 0o755), (&keys, 0o644), (&folder.join("tree/db"), 0o644), (&own, 0o644)] {
        set(path, open);
    }
    let server = Server::start(&folder, &[]);
    assert_eq!((mode(&folder), mode(&keys), mode(&folder.join("tree/db"))), (0o700, 0o600, 0o600));
    assert_eq!((mode(&own), mode(&folder.join("server.json"))), (0o644, 0o600), "what is not ours stays");
    let text = json!("a picture");
    let kind = [("content-type", "image/png")];
    let there = "/storage/v1/object/avatars/there.png";
    let (status, put) = server.call_with("POST", there, &server.service, Some(&text), &kind);
    assert_eq!(status, 200, "{put}");
    for (path, is_page) in [
        ("/health", false),
        ("/rest/v1/", false),
        ("/rest/v1/nothing", false),
        ("/auth/v1/settings", false),
        ("/functions/v1/nothing", false),
        ("/v1/models", false),
        ("/nowhere", false),
        ("/storage/v1/object/public/avatars/none", true),
        ("/storage/v1/object/public/avatars/there.png", true),
        ("/storage/v1/render/image/public/avatars/there.png?width=8", true),
        ("OPTIONS /rest/v1/characters", false),
        ("OPTIONS /storage/v1/object/avatars/there.png", true),
        ("OPTIONS /functions/v1/queue-job", false),
        ("HEAD /storage/v1/object/public/avatars/there.png", true),
        ("POST /functions/v1/queue-job", false),
        ("TRACE /rest/v1/characters", false),
    ] {
        let (method, path) = path.split_once(' ').unwrap_or(("GET", path));
        let browser =
            "connection: close\r\norigin: https://example.org\r\naccess-control-request-method: POST\r\n";
        let mut stream = say(&server, &head(method, path, None, browser));
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        assert!(text.contains("x-content-type-options: nosniff"), "{path}: {text}");
        if method == "GET" {
            assert_eq!(text.contains("x-frame-options: DENY"), !is_page, "{path}: {text}");
        }
    }
}

/// The niceness of the threads of a name, as the system has it.
#[cfg(target_os = "linux")]
fn niceness(server: &Server, name: &str) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("threads");
    let lines =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    let fields = lines.filter_map(|line| {
        let (head, rest) = line.rsplit_once(") ")?;
        // Priority and niceness are fields 18 and 19 of `proc(5)`; two come before.
        head.ends_with(name).then(|| rest.split(' ').nth(16)?.parse().ok())?
    });
    fields.collect()
}

#[test]
#[cfg(target_os = "linux")]
fn what_computes_for_long_gives_way_to_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_IMAGE_NICENESS", "12")]);
    let (_, token) = server.sign_up("drawer@example.com");
    let drawing = json!({"job_type": "sdxl_image_fast", "prompt": "a robot waving in a forest"});
    assert_eq!(server.call("POST", "/functions/v1/queue-job", &token, Some(&drawing)).0, 200);
    // All of the server may run at another priority.
    let behind = |by: i32| (niceness(&server, "(tokio-rt-worker")[0] + by).min(19);
    until("a thread draws", || niceness(&server, "(render") == [behind(12)]);
    // The password of the account was computed on such a thread; it ends when it had no work for a while.
    let password = json!({"email": "drawer@example.com", "password": "something else"});
    until("long work has threads", || {
        server.call("POST", "/auth/v1/token?grant_type=password", "", Some(&password));
        niceness(&server, "(long work").contains(&behind(5))
    });
    let computing: Vec<i32> = niceness(&server, "(compute 0");
    assert_eq!(computing, [behind(12)]);
}
