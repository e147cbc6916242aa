//! What channels say to each other, and the tokens under which they do.

use serde_json::json;

use crate::Stage;
use crate::socket::Socket;

const ROOM: &str = "realtime:room";

#[test]
fn broadcasts_reach_the_others_in_both_versions() {
    let stage = Stage::set(&[]);
    let mut two = Socket::open(stage.url(), &stage.server.anon);
    let mut one = Socket::open_as(stage.url(), &stage.server.anon, "1.0.0");
    assert_eq!(two.join("room", None, &json!({"broadcast": {"ack": true, "self": true}})).0, "ok");
    assert_eq!(one.join("room", None, &json!({"broadcast": {"ack": false, "self": false}})).0, "ok");

    let reference = two.push_binary(ROOM, "move", 1, br#"{"x":12345678901234567890}"#);
    let own = two.until("its own", |it| it["event"] == "broadcast");
    assert_eq!(own["payload"]["event"], "move");
    two.until("an acknowledgement", |it| it["event"] == "phx_reply" && it["ref"] == reference.as_str());
    let heard = one.until("the move", |it| it["event"] == "broadcast");
    assert_eq!(heard["payload"]["type"], "broadcast");
    assert_eq!(heard["payload"]["payload"].to_string(), r#"{"x":12345678901234567890}"#);

    one.push(ROOM, "broadcast", &json!({"type": "broadcast", "event": "say", "payload": {"text": "é"}}));
    let heard = two.until("what was said", |it| it["event"] == "broadcast");
    assert_eq!(heard["payload"], json!({"event": "say", "payload": {"text": "é"}}));

    two.push_binary(ROOM, "raw", 0, &[0, 159, 1]);
    let heard = two.until("the bytes", |it| it["event"] == "broadcast");
    assert_eq!(heard["payload"]["payload"], json!({"bytes": [0, 159, 1]}));
    let said = one.until("a remark", |it| it["event"] == "system");
    assert!(said["payload"]["message"].as_str().is_some_and(|text| text.contains("raw")), "{said}");
    // Without `self` and `ack` nothing came back.
    let (status, _) = one.ask("phoenix", "heartbeat", &json!({}));
    assert_eq!(status, "ok");
    assert_eq!(one.rest(), Vec::<serde_json::Value>::new());
}

#[test]
fn broadcasts_come_by_http_too() {
    let stage = Stage::set(&[]);
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    assert_eq!(socket.join("room", None, &json!({})).0, "ok");
    let call = |path: &str, token: &str, body| stage.server.call("POST", path, token, Some(&body));
    let messages = json!({"messages": [{"topic": "room", "event": "a", "payload": {"n": 1}, "private": false},
                                       {"topic": "elsewhere", "event": "a", "payload": {"n": 2}}]});
    assert_eq!(call("/realtime/v1/api/broadcast", &stage.server.anon, messages).0, 202);
    assert_eq!(call("/realtime/v1/api/broadcast/room/events/b", &stage.alice.1, json!({"n": 3})).0, 202);
    let mut heard = || socket.until("a broadcast", |it| it["event"] == "broadcast")["payload"].clone();
    assert_eq!(heard(), json!({"event": "a", "payload": {"n": 1}}));
    assert_eq!(heard(), json!({"event": "b", "payload": {"n": 3}}));
    for (body, status, reason) in [
        (json!({}), 422, "missing field `messages`"),
        (json!({"messages": [{"topic": "room"}]}), 422, "messages[0]: missing field `event`"),
        (json!({"messages": [{"topic": "", "event": "a"}]}), 422, "messages[0].topic"),
        (json!({"messages": [{"topic": "t", "event": "a", "private": true}]}), 403, "messages[0].topic"),
    ] {
        let (found, answer) = call("/realtime/v1/api/broadcast", &stage.alice.1, body);
        assert_eq!(found, status, "{answer}");
        assert!(answer["message"].as_str().is_some_and(|text| text.contains(reason)), "{answer}");
    }
    assert_eq!(call("/realtime/v1/api/broadcast", "nonsense", json!({"messages": []})).0, 401);
}

#[test]
fn presence_is_what_is_there() {
    let stage = Stage::set(&[]);
    let open = || Socket::open(stage.url(), &stage.server.anon);
    let (mut first, mut second) = (open(), open());
    let with = |key: &str| json!({"presence": {"key": key, "enabled": true}});
    assert_eq!(first.join("room", None, &with("a")).0, "ok");
    let state = first.until("who is there", |it| it["event"] == "presence_state");
    assert_eq!(state["payload"], json!({}));
    let track = |payload| json!({"type": "presence", "event": "track", "payload": payload});
    assert_eq!(first.ask(ROOM, "presence", &track(json!({"at": 1}))).0, "ok");
    let diff = first.until("itself", |it| it["event"] == "presence_diff");
    let reference = diff["payload"]["joins"]["a"]["metas"][0]["phx_ref"].clone();
    assert!(reference.is_string(), "{diff}");
    assert_eq!(second.join("room", None, &with("")).0, "ok");
    let state = second.until("who is there", |it| it["event"] == "presence_state");
    assert_eq!(state["payload"]["a"]["metas"], json!([{"at": 1, "phx_ref": reference}]));
    assert_eq!(second.ask(ROOM, "presence", &track(json!({"at": 2}))).0, "ok");
    let diff = first.until("the other", |it| it["event"] == "presence_diff");
    let joins = diff["payload"]["joins"].as_object().expect("joins");
    assert_eq!(joins.keys().next().map(String::len), Some(36), "an empty key becomes a UUID");
    assert_eq!(first.ask(ROOM, "presence", &track(json!({"at": 3}))).0, "ok");
    let of_a =
        |it: &serde_json::Value| it["event"] == "presence_diff" && it["payload"]["joins"].get("a").is_some();
    let diff = second.until("an update", of_a);
    assert_eq!(diff["payload"]["leaves"]["a"]["metas"][0]["phx_ref"], reference);
    assert_eq!(diff["payload"]["joins"]["a"]["metas"][0]["at"], 3);
    drop(second);
    let diff =
        first.until("a leave", |it| it["event"] == "presence_diff" && it["payload"]["joins"] == json!({}));
    assert_eq!(diff["payload"]["leaves"].as_object().map(serde_json::Map::len), Some(1));
    for (payload, reason) in [
        (track(json!([1])), "not an object"),
        (track(json!({"x": "y".repeat(5000)})), "larger than 4096"),
        (json!({"event": "dance"}), "neither track nor untrack"),
        (json!([]), "payload"),
    ] {
        let (status, answer) = first.ask(ROOM, "presence", &payload);
        assert_eq!(status, "error");
        assert!(answer["reason"].as_str().is_some_and(|text| text.contains(reason)), "{answer}");
    }
    assert_eq!(first.ask(ROOM, "presence", &json!({"event": "untrack"})).0, "ok");
}

#[test]
fn private_topics_have_the_policies_of_their_row() {
    let stage = Stage::set(&[]);
    let own =
        stage.insert(&stage.alice, "characters", json!({"name": "n", "description": "d", "is_public": true}));
    let hidden = stage.insert(&stage.alice, "conversations", json!({"title": "t"}));
    let name =
        |table: &str, row: &serde_json::Value| format!("{table}:{}", row["id"].as_str().expect("an id"));
    let (open, closed) = (name("characters", &own), name("conversations", &hidden));
    let private = json!({"private": true, "broadcast": {"ack": true}});
    let mut alice = Socket::open(stage.url(), &stage.server.anon);
    let mut bob = Socket::open(stage.url(), &stage.server.anon);
    for topic in [&open, &closed] {
        assert_eq!(alice.join(topic, Some(&stage.alice.1), &private).0, "ok");
    }
    assert_eq!(bob.join(&open, Some(&stage.bob.1), &private).0, "ok");
    for topic in
        [closed.as_str(), "anything", &format!("{open}x"), "characters:00000000-0000-0000-0000-000000000000"]
    {
        let (status, answer) = bob.join(topic, Some(&stage.bob.1), &private);
        assert_eq!(status, "error", "{topic}");
        assert!(answer["reason"].as_str().is_some_and(|text| text.starts_with("Unauthorized")), "{answer}");
    }
    let topic = format!("realtime:{open}");
    let say = json!({"type": "broadcast", "event": "e", "payload": {}});
    assert_eq!(bob.ask(&topic, "broadcast", &say).0, "error", "who may only read does not speak");
    // The public topic of the same name is another one.
    let mut anybody = Socket::open(stage.url(), &stage.server.anon);
    assert_eq!(anybody.join(&open, None, &json!({"broadcast": {"ack": true}})).0, "ok");
    assert_eq!(anybody.ask(&topic, "broadcast", &json!({"event": "forged", "payload": {}})).0, "ok");
    assert_eq!(alice.ask(&topic, "broadcast", &say).0, "ok");
    let heard = bob.until("the owner", |it| it["event"] == "broadcast");
    assert_eq!(heard["payload"]["event"], "e");
    assert_eq!(bob.rest().iter().filter(|it| it["event"] == "broadcast").count(), 0);
    let path = format!("/realtime/v1/api/broadcast/{open}/events/e?private=true");
    assert_eq!(stage.server.call("POST", &path, &stage.bob.1, Some(&json!({}))).0, 403);
    assert_eq!(stage.server.call("POST", &path, &stage.alice.1, Some(&json!({}))).0, 202);
}

#[test]
fn a_token_that_ends_ends_its_channel_and_a_new_one_keeps_it() {
    let stage = Stage::set(&[("PLAYHOUSE_ACCESS_TOKEN_S", "9")]);
    let sign_in = |email: &str| {
        let body = json!({"email": email, "password": "correct horse"});
        let path = "/auth/v1/token?grant_type=password";
        let (status, session) = stage.server.call("POST", path, &stage.server.anon, Some(&body));
        assert_eq!(status, 200, "{session}");
        session["access_token"].as_str().expect("a token").to_string()
    };
    let bindings = json!([{"event": "*", "schema": "public", "table": "conversations"}]);
    let mut socket = Socket::open(stage.url(), &stage.server.anon);
    let token = sign_in("alice@example.com");
    socket.listen("first", Some(&token), &bindings);
    socket.listen("second", Some(&token), &bindings);
    std::thread::sleep(std::time::Duration::from_secs(6));
    let later = sign_in("alice@example.com");
    for same in
        [json!({"access_token": null}), json!({"access_token": token}), json!({"access_token": "sb_x"})]
    {
        socket.push("realtime:second", "access_token", &same);
    }
    socket.push("realtime:second", "access_token", &json!({"access_token": later}));
    let said = socket.until("an end", |it| it["event"] == "system" && it["payload"]["status"] == "error");
    assert_eq!(said["topic"], "realtime:first", "{said}");
    assert!(said["payload"]["message"].as_str().is_some_and(|text| text.contains("expired")), "{said}");
    socket.until("a close", |it| it["event"] == "phx_close" && it["topic"] == "realtime:first");
    let (status, answer) = socket.join("third", Some(&token), &json!({}));
    assert_eq!((status.as_str(), answer["reason"].as_str()), ("error", Some("access_token: JWT expired")));
    socket.push("realtime:second", "access_token", &json!({"access_token": "nonsense"}));
    let said = socket.until("an end", |it| {
        it["event"] == "system" && it["topic"] == "realtime:second" && it["payload"]["status"] == "error"
    });
    assert!(said["payload"]["message"].as_str().is_some_and(|text| text.contains("access_token")), "{said}");
    assert_eq!(socket.ask("realtime:second", "broadcast", &json!({"event": "e"})).0, "error");
}

#[test]
fn a_job_shows_its_steps_to_its_owner_alone() {
    let stage = Stage::set(&[]);
    let body = json!({"prompt": "a hill", "job_type": "image_fast"});
    let (status, answer) = stage.server.call("POST", "/functions/v1/queue-job", &stage.alice.1, Some(&body));
    assert_eq!(status, 200, "{answer}");
    let id = answer["job"]["id"].as_str().or(answer["jobId"].as_str()).expect("a job");
    let (topic, private) = (format!("jobs:{id}"), json!({"private": true}));
    let mut bob = Socket::open(stage.url(), &stage.server.anon);
    assert_eq!(bob.join(&topic, Some(&stage.bob.1), &private).0, "error");
    let mut alice = Socket::open(stage.url(), &stage.server.anon);
    assert_eq!(alice.join(&topic, Some(&stage.alice.1), &private).0, "ok");
    let done = alice.until("the end", |it| it["payload"]["event"] == "done");
    assert_eq!(done["payload"]["payload"]["job"]["id"], id, "{done}");
    let events = alice.rest();
    let names: Vec<&str> = events.iter().filter_map(|it| it["payload"]["event"].as_str()).collect();
    assert!(names.contains(&"status"), "{names:?}");
    let say = json!({"type": "broadcast", "event": "done", "payload": {}});
    assert_eq!(
        alice.ask(&format!("realtime:{topic}"), "broadcast", &say).0,
        "error",
        "only the server speaks there"
    );
}

#[test]
fn what_ends_an_account_or_session_ends_its_channels() {
    let stage = Stage::set(&[]);
    let bindings = json!([{"event": "*", "schema": "public", "table": "conversations"}]);
    let ended = |socket: &mut Socket| {
        let said = socket.until("an end", |it| it["event"] == "system" && it["payload"]["status"] == "error");
        assert!(said["payload"]["message"].as_str().is_some_and(|text| text.contains("ended")), "{said}");
        socket.until("a close", |it| it["event"] == "phx_close");
        assert_eq!(socket.ask("realtime:own", "broadcast", &json!({"event": "e"})).0, "error");
    };
    let listen = |token: &str| {
        let mut socket = Socket::open(stage.url(), &stage.server.anon);
        socket.listen("own", Some(token), &bindings);
        socket
    };
    let path = |user: &str| format!("/auth/v1/admin/users/{user}");
    // Signed out: this session ends, and another of the same account goes on.
    let body = json!({"email": "alice@example.com", "password": "correct horse"});
    let sign_in = "/auth/v1/token?grant_type=password";
    let (status, session) = stage.server.call("POST", sign_in, &stage.server.anon, Some(&body));
    assert_eq!(status, 200, "{session}");
    let other = session["access_token"].as_str().expect("a token");
    let (mut left, mut stays) = (listen(other), listen(&stage.alice.1));
    let (status, answer) = stage.server.call("POST", "/auth/v1/logout?scope=local", other, None);
    assert_eq!(status, 204, "{answer}");
    ended(&mut left);
    stage.insert(&stage.alice, "conversations", json!({"title": "t"}));
    assert_eq!(stays.change().1["record"]["title"], "t");
    let ban = json!({"ban_duration": "1h"});
    let (status, answer) = stage.server.call("PUT", &path(&stage.alice.0), &stage.server.service, Some(&ban));
    assert_eq!(status, 200, "{answer}");
    ended(&mut stays);
    assert_eq!(stays.join("again", Some(&stage.alice.1), &json!({})).0, "error");
    let mut gone = listen(&stage.bob.1);
    let (status, answer) = stage.server.call("DELETE", &path(&stage.bob.0), &stage.server.service, None);
    assert_eq!(status, 200, "{answer}");
    ended(&mut gone);
}
