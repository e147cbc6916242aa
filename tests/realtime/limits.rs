//! Bad input and too much of it: answered or closed, and the server goes on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Stage;
use crate::socket::{PATIENCE, Socket};

/// Waits until the server counts so many sockets.
fn await_sockets(stage: &Stage, count: u64) {
    let begun = Instant::now();
    loop {
        let (_, health) = stage.server.call("GET", "/health", &stage.server.service, None);
        if health["sockets"] == count && (count > 0 || health["subscriptions"] == 0) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{health}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn bad_frames_are_answered_and_the_socket_goes_on() {
    let stage = Stage::set(&[]);
    for (query, status) in [("apikey=wrong", 401), ("apikey=sb_publishable_x", 401), ("vsn=3.0.0", 400)] {
        assert_eq!(Socket::try_open(stage.url(), query, "2.0.0").err(), Some(status), "{query}");
    }
    let (status, answer) = stage.server.call("GET", "/realtime/v1/websocket", &stage.server.anon, None);
    assert_eq!(status, 400, "no upgrade: {answer}");
    for version in ["2.0.0", "1.0.0"] {
        let mut socket = Socket::open_as(stage.url(), &stage.server.anon, version);
        let deep =
            format!("[null,null,\"realtime:a\",\"phx_join\",{}{}]", "[".repeat(5000), "]".repeat(5000));
        let long = format!("[null,null,\"{}\",\"phx_join\",{{}}]", "t".repeat(300));
        for text in ["", "{", "null", "[]", "{}", "\"x\"", "[1,2,3,4,5,6]", &deep, &long] {
            socket.send_text(text);
        }
        for bytes in [vec![], vec![0], vec![3], vec![3, 255, 255, 255, 255, 255, 1], vec![9; 4096]] {
            socket.send_bytes(bytes);
        }
        let (status, _) = socket.ask("phoenix", "heartbeat", &json!({}));
        assert_eq!(status, "ok");
        let refused = socket.rest();
        assert!(refused.len() >= 12, "{refused:?}");
        assert!(refused.iter().all(|it| it["payload"]["status"] == "error"), "{refused:?}");
        for (topic, event, payload, reason) in [
            ("phoenix", "dance", json!({}), "is unknown"),
            ("realtime:a", "broadcast", json!({"event": "e"}), "unmatched topic"),
            ("realtime:a", "phx_leave", json!({}), "unmatched topic"),
            ("a", "phx_join", json!({}), "none of the form realtime:<name>"),
            ("realtime:", "phx_join", json!({}), "none of the form realtime:<name>"),
            ("realtime:a", "phx_join", json!({"config": 7}), "config"),
            ("realtime:a", "phx_join", json!({"access_token": "x.y.z"}), "access_token"),
            (
                "realtime:a",
                "phx_join",
                json!({"config": {"postgres_changes": [{"event": "*", "table": "x"}]}}),
                "does not exist",
            ),
        ] {
            let (status, answer) = socket.ask(topic, event, &payload);
            assert_eq!(status, "error", "{topic} {event} {payload}");
            assert!(answer["reason"].as_str().is_some_and(|text| text.contains(reason)), "{answer}");
        }
        assert_eq!(socket.join("a", None, &json!({})).0, "ok");
        for payload in [json!(null), json!([]), json!({"event": 1}), json!({"event": "e".repeat(256)})] {
            assert_eq!(socket.ask("realtime:a", "broadcast", &payload).0, "error");
        }
        assert_eq!(socket.ask("realtime:a", "dance", &json!({})).0, "error");
        // Joining again is one channel still.
        assert_eq!(socket.join("a", None, &json!({})).0, "ok");
        assert_eq!(socket.ask("realtime:a", "phx_leave", &json!({})).0, "ok");
        socket.until("a close", |it| it["event"] == "phx_close");
    }
    await_sockets(&stage, 0);
}

#[test]
fn keyless_callers_need_the_setting() {
    let stage = Stage::set(&[("PLAYHOUSE_KEYLESS_ANON", "false")]);
    assert_eq!(Socket::try_open(stage.url(), "vsn=2.0.0", "2.0.0").err(), Some(401));
}

#[test]
fn one_socket_may_ask_for_so_much() {
    let stage = Stage::set(&[]);
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    let every = json!({"postgres_changes": [{"event": "*"}]});
    let mut joined = 0;
    loop {
        let (status, answer) = socket.join(&format!("wide-{joined}"), None, &every);
        if status == "error" {
            assert!(
                answer["reason"].as_str().is_some_and(|text| text.contains("more than 1000")),
                "{answer}"
            );
            break;
        }
        joined += 1;
    }
    assert!(joined > 5, "{joined}");
    drop(socket);
    await_sockets(&stage, 0);

    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    let mut refused = 0;
    for number in 0..1500 {
        if socket.join(&format!("channel-{number}"), None, &json!({})).0 == "error" {
            refused += 1;
        }
    }
    assert_eq!(refused, 1400);
    // Ten thousand without a pause are too many.
    for number in 0..10_000 {
        socket.push(&format!("realtime:more-{number}"), "phx_join", &json!({}));
    }
    let (code, reason) = socket.end();
    assert_eq!((code, reason.as_str()), (1008, "ClientRateLimitReached: too many frames"));
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    socket.send_text(format!("[null,null,\"phoenix\",\"heartbeat\",\"{}\"]", "x".repeat(1 << 20)));
    assert!(socket.next().is_none(), "a frame of 1 MiB ends the socket");
    await_sockets(&stage, 0);
}

#[test]
fn sockets_are_shared_by_account_and_address() {
    let stage = Stage::set(&[("PLAYHOUSE_SOCKETS_MAX", "8")]);
    let query = format!("apikey={}&vsn=2.0.0", stage.server.anon);
    let open = || Socket::try_open(stage.url(), &query, "2.0.0");
    let mut sockets: Vec<Socket> = std::iter::from_fn(|| open().ok()).collect();
    assert_eq!(sockets.len(), 4, "an address leaves others half");
    assert_eq!(open().err(), Some(429));
    // A socket that is an account's does not count for its address.
    assert_eq!(sockets[0].join("a", Some(&stage.alice.1), &json!({})).0, "ok");
    assert_eq!(sockets[1].join("a", Some(&stage.alice.1), &json!({})).0, "ok");
    assert_eq!(sockets[2].join("a", Some(&stage.bob.1), &json!({})).0, "ok");
    assert!(open().is_ok());
    drop(sockets);
    await_sockets(&stage, 0);
}

#[test]
fn a_client_that_does_not_read_is_closed_and_delays_nobody() {
    let stage = Stage::set(&[]);
    let everything = json!([{"event": "*", "schema": "public", "table": "characters"}]);
    let mut stalled = Socket::open(stage.url(), &stage.server.service);
    stalled.listen("all", None, &everything);
    let mut reading = Socket::open(stage.url(), &stage.server.service);
    reading.listen(
        "some",
        None,
        &json!([{"event": "*", "schema": "public", "table": "characters", "filter": "name=eq.last"}]),
    );
    let text = "x".repeat(60_000);
    let row = |name: String| json!({"name": name, "description": text, "user_id": stage.alice.0});
    for batch in 0..10 {
        let rows: Vec<_> = (0..40).map(|number| row(format!("{batch}-{number}"))).collect();
        let path = "/rest/v1/characters?columns=name,description,user_id";
        let headers = [("prefer", "return=minimal")];
        let (status, answer) =
            stage.server.call_with("POST", path, &stage.server.service, Some(&json!(rows)), &headers);
        assert_eq!(status, 201, "{answer}");
    }
    stage.insert(&stage.alice, "characters", json!({"name": "last", "description": "d"}));
    assert_eq!(reading.change().1["record"]["name"], "last");
    let (code, reason) = stalled.end();
    assert_eq!(code, 1013);
    assert!(reason.contains("not read fast enough"), "{reason}");
}

#[test]
fn sockets_hear_that_the_server_stops() {
    let mut stage = Stage::set(&[]);
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    assert_eq!(socket.join("a", None, &json!({})).0, "ok");
    stage.server.stop();
    assert_eq!(socket.end(), (1001, "the server stops".to_string()));
}

#[test]
fn filters_that_read_too_much_end_their_channel_and_delay_nobody() {
    let stage = Stage::set(&[]);
    let row = stage.insert(&stage.alice, "characters", json!({"name": "n", "description": "d"}));
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    let filter: Vec<String> =
        (0..16).map(|number| format!("default_presets->>k{number}=isdistinct.x")).collect();
    let binding =
        json!({"event": "UPDATE", "schema": "public", "table": "characters", "filter": filter.join(",")});
    socket.listen("greedy", Some(&stage.alice.1), &json!(vec![binding; 20]));
    let plain = json!([{"event": "UPDATE", "schema": "public", "table": "characters"}]);
    socket.listen("plain", Some(&stage.alice.1), &plain);
    let path = format!("characters?id=eq.{}", row["id"].as_str().expect("an id"));
    let large = json!({"default_presets": {"text": "x".repeat(900_000)}});
    stage.change("PATCH", &stage.alice.1, &path, Some(&large));
    let said = socket.until("an end", |it| it["event"] == "system" && it["payload"]["status"] == "error");
    assert_eq!(said["topic"], "realtime:greedy", "{said}");
    assert!(
        said["payload"]["message"].as_str().is_some_and(|text| text.contains("too much to read")),
        "{said}"
    );
    let heard = socket.until("the change", |it| it["event"] == "postgres_changes");
    assert_eq!(heard["topic"], "realtime:plain", "{}", heard["topic"]);
    // The other channel goes on.
    stage.change("PATCH", &stage.alice.1, &path, Some(&json!({"name": "m"})));
    assert_eq!(socket.change().1["record"]["name"], "m");
}

#[test]
fn a_refused_join_leaves_the_channel_that_was_there() {
    let stage = Stage::set(&[]);
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    assert_eq!(socket.join("a", None, &json!({"broadcast": {"ack": true}})).0, "ok");
    assert_eq!(socket.join("a", Some("x.y.z"), &json!({})).0, "error");
    assert_eq!(socket.ask("realtime:a", "broadcast", &json!({"event": "e", "payload": {}})).0, "ok");
}

#[test]
fn a_socket_that_says_nothing_for_a_minute_is_closed() {
    let stage = Stage::set(&[]);
    let mut silent = Socket::open(stage.url(), &stage.server.anon);
    let mut alive = Socket::open(stage.url(), &stage.server.anon);
    assert_eq!(silent.join("a", None, &json!({})).0, "ok");
    // The other one is heard meanwhile, more often than it needs to be.
    let begun = Instant::now();
    let closed = loop {
        assert_eq!(alive.ask("phoenix", "heartbeat", &json!({})).0, "ok");
        match silent.next_within(Duration::from_secs(2)) {
            Ok(None) => break silent.closed.clone(),
            Ok(Some(_)) | Err(_) => assert!(begun.elapsed() < 2 * PATIENCE, "it is still open"),
        }
    };
    assert_eq!(closed, Some((1001, "no heartbeat for 60 s".to_string())));
    assert_eq!(alive.ask("phoenix", "heartbeat", &json!({})).0, "ok", "the other one stays");
    await_sockets(&stage, 1);
}
