//! Chat files of SillyTavern: the alternatives of a line are versions of its message, both ways.

mod common;
mod model_server;
mod talk;

use std::time::Duration;

use common::Server;
use common::files::{Answer, bearer, send};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{invoke, messages_of, start};

fn call(server: &Server, token: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str()), ("content-type", kind)];
    send(&format!("{}/functions/v1/{path}", server.url), "POST", &headers, body).expect("an answer")
}

fn texts(versions: &Json) -> Vec<(&str, bool)> {
    let versions = versions["alternatives"].as_array().expect("a list").iter();
    versions
        .map(|it| (it["content"].as_str().expect("text"), it["active"].as_bool().expect("a flag")))
        .collect()
}

#[test]
fn swipes_come_in_as_versions_and_versions_go_out_as_swipes() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start(folder.path());
    model.become_default(&server);
    let (_, token) = server.sign_up("ann@example.com");
    let chat = concat!(
        "{\"user_name\":\"Ann\",\"character_name\":\"Mira\",\"chat_metadata\":{}}\n",
        "{\"name\":\"Mira\",\"is_user\":false,\"mes\":\"Hi\",\"swipes\":[\"Ho\",\"Hi\",\"Hey\"],\"swipe_id\":1,\"odd\":[1.50]}\n",
        "{\"name\":\"Ann\",\"is_user\":true,\"mes\":\"How is the sea?\"}\n",
        "{\"name\":\"Mira\",\"is_user\":false,\"mes\":\"Calm.\",\"swipes\":[\"Calm.\",\"Wild.\"],\"swipe_id\":0,",
        "\"swipe_info\":[{\"send_date\":\"a\",\"extra\":{}},{\"send_date\":\"b\",\"extra\":{\"api\":\"x\"}}]}\n",
        // A choice that the fields do not tell is left as it is.
        "{\"name\":\"Ann\",\"is_user\":true,\"mes\":\"Oh\",\"swipes\":[\"Oh\",7],\"swipe_id\":5}\n",
        "{\"name\":\"Mira\",\"is_user\":false,\"mes\":\"Yes\",\"swipes\":[\"Yes\",7],\"swipe_id\":0}\n",
    );
    let imported = call(&server, &token, "import-chat", "application/jsonl", chat.as_bytes()).json();
    assert_eq!((&imported["messages"], &imported["alternatives"]), (&json!(5), &json!(3)), "{imported}");
    let id = imported["conversationId"].as_str().expect("an id");
    let export = || {
        let body = json!({ "conversationId": id }).to_string();
        call(&server, &token, "export-chat", "application/json", body.as_bytes()).text()
    };
    assert_eq!(export(), chat, "what nobody changed goes out as it came");

    let path = format!("/rest/v1/messages?conversation_id=eq.{id}&select=id&order=created_at");
    let (_, rows) = server.call("GET", &path, &token, None);
    let inspect = |message: &Json| invoke(&server, &token, "inspect-reply", json!({"message_id": message})).1;
    let versions = inspect(&rows[2]["id"]);
    assert_eq!(texts(&versions), [("Wild.", false), ("Calm.", true)], "{versions}");
    let greeting = inspect(&rows[0]["id"]);
    assert_eq!(texts(&greeting), [("Ho", false), ("Hey", false), ("Hi", true)]);

    // Another version is chosen; what followed the old one goes with it.
    let choose = |message: &Json| invoke(&server, &token, "choose-reply", json!({"message_id": message}));
    let wild = &versions["alternatives"][0]["message_id"];
    assert_eq!(choose(wild).1["changed"], true);
    let lines = || export().lines().map(str::to_string).collect::<Vec<_>>();
    let out = lines();
    assert_eq!(out.len(), 4, "{out:?}");
    let line: Json = serde_json::from_str(&out[3]).expect("JSON");
    assert_eq!(
        (&line["mes"], &line["swipes"], &line["swipe_id"]),
        (&json!("Wild."), &json!(["Calm.", "Wild."]), &json!(1))
    );
    assert_eq!((&line["send_date"], &line["extra"]), (&json!("b"), &json!({"api": "x"})), "{line}");
    assert!(out[1].contains("\"odd\":[1.5"), "{}", out[1]);

    // A new reply is one alternative more.
    model.say("Asleep.");
    let (status, again) = invoke(&server, &token, "regenerate-reply", json!({"message_id": wild}));
    assert_eq!(status, 200, "{again}");
    let line: Json = serde_json::from_str(&lines()[3]).expect("JSON");
    assert_eq!(
        (&line["mes"], &line["swipes"], &line["swipe_id"]),
        (&json!("Asleep."), &json!(["Calm.", "Wild.", "Asleep."]), &json!(2))
    );
    assert_eq!(line["swipe_info"].as_array().map(Vec::len), Some(3), "{line}");
    assert_eq!(texts(&inspect(&again["message_id"])).len(), 3);

    // Back at the first version, the file is what it was, but for the reply that was made since.
    assert_eq!(choose(&rows[4]["id"]).1["changed"], true);
    let out = lines();
    assert_eq!(out.len(), 6, "{out:?}");
    let line: Json = serde_json::from_str(&out[3]).expect("JSON");
    assert_eq!(
        (&line["mes"], &line["swipes"], &line["swipe_id"]),
        (&json!("Calm."), &json!(["Calm.", "Wild.", "Asleep."]), &json!(0))
    );
    assert_eq!(out[4..], chat.lines().skip(4).map(str::to_string).collect::<Vec<_>>());
    assert_eq!(messages_of(&server, &token, id).len(), 5);
    assert_eq!(server.check()["faults"], 0);
}

/// A chat of so many lines, each of some kilobytes.
fn long_chat(lines: usize) -> String {
    let words =
        "The sea is calm, the lamp is lit, and nobody comes up the stairs before the morning. ".repeat(30);
    let line = |number: usize| {
        format!(
            "{{\"name\":\"Ann\",\"is_user\":{},\"mes\":\"{number} {words}\"}}\n",
            number.is_multiple_of(2)
        )
    };
    (0..lines).map(line).collect()
}

#[test]
fn a_stop_in_the_middle_of_an_import_leaves_all_of_it_or_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (id, token) = server.sign_up("ann@example.com");
    const LINES: usize = 10_000;
    let chat = long_chat(LINES);
    let answer = std::thread::scope(|scope| {
        let authorization = bearer(&token);
        let url = format!("{}/functions/v1/import-chat", server.url);
        let importing = scope.spawn(move || {
            let headers = [("authorization", authorization.as_str()), ("content-type", "application/jsonl")];
            send(&url, "POST", &headers, chat.as_bytes())
        });
        let waiting = std::time::Instant::now();
        while server.call("GET", "/health", &server.service, None).1["bodies_bytes"] == json!(0) {
            assert!(waiting.elapsed() < Duration::from_secs(60), "nothing arrives");
        }
        server.signal("TERM");
        importing.join().expect("no panic")
    });
    server.wait_for_death();
    let is_imported = answer.is_ok_and(|answer| answer.status == 200);
    let server = Server::start(folder.path(), &[]);
    let count = |path: &str| {
        let headers = [("prefer", "count=exact"), ("range", "0-0")];
        server.call_with("GET", path, &server.service, None, &headers).1.as_array().map_or(0, Vec::len)
    };
    let conversations = count(&format!("/rest/v1/conversations?user_id=eq.{id}"));
    assert!(conversations == 1 || !is_imported, "what was acknowledged is there");
    let last = count("/rest/v1/messages?content=like.9999%20*");
    assert_eq!(last, conversations, "a conversation is there with its last message, or neither");
    assert_eq!(server.check()["faults"], 0);
}
