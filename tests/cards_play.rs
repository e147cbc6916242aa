//! Cards play as written: greetings open conversations, the whole sheet reaches the prompt, and a turn is counted.

mod common;
mod model_server;
mod talk;

use std::time::Duration;

use common::Server;
use model_server::{ModelServer, Stream};
use serde_json::{Value as Json, json};
use talk::{assistant, character, conversation, invoke, messages_of, start, until, user};

/// A server with a model that says a few words, and an account.
fn stage(folder: &std::path::Path) -> (ModelServer, Server, String, String) {
    let model = ModelServer::start(Duration::ZERO, 2);
    let server = start(folder);
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    (model, server, id, token)
}

fn greeter(server: &Server, id: &str, token: &str) -> String {
    let extra = json!({"first_message": "Hello, {{user}}. I am {{char}}.", "alternate_greetings": ["Go away!", "Psst."]});
    character(server, id, token, extra)
}

fn export(server: &Server, token: &str, conversation: &Json) -> Vec<Json> {
    let address = format!("{}/functions/v1/export-chat", server.url);
    let authorization = common::files::bearer(token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = json!({ "conversationId": conversation }).to_string();
    let file = common::files::send(&address, "POST", &headers, body.as_bytes()).expect("an answer");
    assert_eq!(file.status, 200, "{}", file.text());
    file.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_greeting_opens_a_conversation_without_a_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, server, id, token) = stage(folder.path());
    let mira = greeter(&server, &id, &token);
    let book = json!({"entries": [
        {"keys": ["key"], "content": "@@is_greeting 0\nShe is friendly."},
        {"keys": ["key"], "content": "@@is_greeting 2\nShe hides a red key."},
    ]});
    let (status, set) =
        invoke(&server, &token, "character-lorebook", json!({"character_id": mira, "book": book}));
    assert_eq!(status, 200, "{set}");

    let (status, opened) =
        invoke(&server, &token, "roleplay-chat", json!({"conversation_id": null, "character_id": mira}));
    assert_eq!((status, &opened["response"]), (200, &json!("Hello, User. I am Mira.")), "{opened}");
    assert_eq!((&opened["greeting"], &opened["model_used"]), (&json!(0), &Json::Null), "{opened}");
    assert_eq!(opened["greetings"].as_array().map(Vec::len), Some(3), "{opened}");
    let chat = opened["conversation_id"].as_str().expect("an id").to_string();
    let path = format!("/rest/v1/conversations?id=eq.{chat}&select=user_id,character_id,title");
    let (_, rows) = server.call("GET", &path, &token, None);
    assert_eq!(rows, json!([{"user_id": id, "character_id": mira, "title": "Mira"}]));
    assert_eq!(messages_of(&server, &token, &chat), [assistant("Hello, User. I am Mira.")]);

    // Another one while nothing else has been said; the first stays as a version of it.
    let (status, other) =
        invoke(&server, &token, "roleplay-chat", json!({"conversation_id": chat, "greeting": 1}));
    assert_eq!((status, &other["response"]), (200, &json!("Go away!")), "{other}");
    let (_, versions) = invoke(&server, &token, "inspect-reply", json!({"message_id": other["message_id"]}));
    let versions = versions["alternatives"].as_array().expect("versions").iter();
    let mut versions: Vec<&str> = versions.map(|it| it["content"].as_str().expect("text")).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["Go away!", "Hello, User. I am Mira.", "Psst."]);
    let (status, refused) =
        invoke(&server, &token, "roleplay-chat", json!({"conversation_id": chat, "greeting": 9}));
    assert_eq!((status, &refused["error"]), (400, &json!("greeting: 9 is none of 0, 1, 2")));
    assert_eq!(refused["details"], json!({"field": "greeting", "accepted": [0, 1, 2]}), "{refused}");
    let third = &opened["greetings"][2]["message_id"];
    assert_eq!(invoke(&server, &token, "choose-reply", json!({"message_id": third})).1["changed"], true);
    assert_eq!(messages_of(&server, &token, &chat), [assistant("Psst.")]);
    assert!(model.prompts().is_empty(), "no model was asked: {:?}", model.prompts());

    // The turn that follows knows the greeting, and the lore of this one alone.
    let body = json!({"conversation_id": chat, "message": "Where is the key?"});
    assert_eq!(invoke(&server, &token, "roleplay-chat", body).0, 200);
    let prompt = model.last_prompt();
    assert_eq!(prompt[1], json!({"role": "assistant", "content": "Psst."}), "{prompt}");
    assert_eq!(prompt[2], json!({"role": "user", "content": "Where is the key?"}), "{prompt}");
    let system = prompt[0]["content"].as_str().expect("text");
    assert!(system.contains("She hides a red key.") && !system.contains("She is friendly."), "{system}");
    let (status, begun) =
        invoke(&server, &token, "roleplay-chat", json!({"conversation_id": chat, "greeting": 0}));
    assert_eq!((status, &begun["code"]), (409, &json!("CONVERSATION_BEGUN")), "{begun}");

    // As events; and what a stranger may not see opens nothing.
    let events =
        Stream::open(&server, &token, "roleplay-chat", &json!({"character_id": mira, "greeting": 1}));
    let events = events.all();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["start", "delta", "done"]);
    assert_eq!(events[2].1["response"], "Go away!");
    let (_, stranger) = server.sign_up("eve@example.com");
    assert_eq!(invoke(&server, &stranger, "roleplay-chat", json!({"character_id": mira})).0, 404);
    assert_eq!(
        invoke(&server, &stranger, "roleplay-chat", json!({"conversation_id": chat, "greeting": 0})).0,
        404
    );

    // Without a greeting there is nothing to say, and no conversation is left behind.
    let quiet = character(&server, &id, &token, json!({"name": "Quiet"}));
    assert_eq!(invoke(&server, &token, "roleplay-chat", json!({"character_id": quiet})).0, 400);
    let (_, rows) = server.call("GET", "/rest/v1/conversations?select=id", &token, None);
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{rows}");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn another_version_of_a_greeting_is_an_opening_by_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, server, id, token) = stage(folder.path());
    let mira = greeter(&server, &id, &token);
    let (_, opened) = invoke(&server, &token, "roleplay-chat", json!({"character_id": mira, "greeting": 1}));
    model.say("Rain beats on the window.");
    let again = json!({"message_id": opened["message_id"]});
    let (status, made) = invoke(&server, &token, "regenerate-reply", again);
    assert_eq!((status, &made["response"]), (200, &json!("Rain beats on the window.")), "{made}");
    assert_eq!(made["scene_generating_async"], false, "{made}");
    let prompt = model.last_prompt();
    let lines = prompt.as_array().expect("a prompt");
    let last = lines.last().expect("a line")["content"].as_str().expect("text");
    assert!(last.contains("Open the scene") && last.contains("let Mira speak first"), "{prompt}");
    assert!(!prompt.to_string().contains("Go away!"), "the greeting that it replaces is not in it: {prompt}");
    let chat = opened["conversation_id"].as_str().expect("an id");
    let path = format!("/rest/v1/messages?conversation_id=eq.{chat}&select=message_type,content");
    let (_, rows) = server.call("GET", &path, &token, None);
    assert_eq!(rows, json!([{"message_type": "scene_kickoff", "content": "Rain beats on the window."}]));
    // Its own next version is an opening too; back among the greetings no model is asked.
    let again = json!({"message_id": made["message_id"]});
    let (status, other) = invoke(&server, &token, "regenerate-reply", again);
    assert_eq!((status, model.prompts().len()), (200, 2), "{other}");
    let first = &opened["greetings"][0]["message_id"];
    assert_eq!(invoke(&server, &token, "choose-reply", json!({"message_id": first})).1["changed"], true);
    assert_eq!(messages_of(&server, &token, chat), [assistant("Hello, User. I am Mira.")]);
    assert_eq!(model.prompts().len(), 2);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn an_answer_with_a_greeting_says_what_its_scene_leaves_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, server, id, token) = stage(folder.path());
    let mira = greeter(&server, &id, &token);
    let settings = json!({"method": "photo_maker"});
    let body = json!({"character_id": mira, "scene_generation": true, "selected_image_model": "brush",
        "consistency_settings": settings});
    let (status, opened) = invoke(&server, &token, "roleplay-chat", body.clone());
    assert_eq!((status, &opened["greeting"]), (200, &json!(0)), "{opened}");
    let said = opened["warnings"].to_string();
    assert!(said.contains("photo_maker") && said.contains("selected_image_model: there is no"), "{opened}");
    // A turn says the same.
    let mut turn = body;
    turn["conversation_id"] = opened["conversation_id"].clone();
    turn["message"] = json!("Who are you?");
    let (status, answer) = invoke(&server, &token, "roleplay-chat", turn);
    assert_eq!(status, 200, "{answer}");
    let said = answer["warnings"].to_string();
    assert!(said.contains("photo_maker") && said.contains("selected_image_model: there is no"), "{answer}");
}

#[test]
fn an_export_names_each_speaker_beside_what_they_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, server, id, token) = stage(folder.path());
    let mira = character(&server, &id, &token, json!({}));
    let tom = character(&server, &id, &token, json!({"name": "Tom"}));
    let chat = conversation(&server, &id, &token);
    for said in ["**Mira:** Come in.\nNarrator: Rain.\ntom: Hi.\n**Rules:** none", "**Tom:** Bye."] {
        model.say(said);
        let body =
            json!({"conversation_id": chat, "character_id": mira, "message": "Hello", "participants": [tom]});
        let (status, answer) = invoke(&server, &token, "playground-chat", body);
        assert_eq!(status, 200, "{answer}");
    }
    let said = |lines: &[Json]| -> Vec<(String, String)> {
        let text = |line: &Json, field: &str| line[field].as_str().expect("text").to_string();
        lines[1..].iter().map(|line| (text(line, "name"), text(line, "mes"))).collect()
    };
    let line = |name: &str, words: &str| (name.to_string(), words.to_string());
    let exported = export(&server, &token, &json!(chat));
    let expected = [
        line("User", "Hello"),
        line("Mira", "Come in.\n*Rain.*"),
        line("Tom", "Hi.\n**Rules:** none"),
        line("User", "Hello"),
        line("Tom", "Bye."),
    ];
    assert_eq!(said(&exported), expected);
    // Versions of a reply stay together in one line, each without the name of who speaks first.
    model.say("**Tom:** Farewell.");
    let (status, made) = invoke(&server, &token, "regenerate-reply", json!({"conversation_id": chat}));
    assert_eq!(status, 200, "{made}");
    let exported = export(&server, &token, &json!(chat));
    let last = exported.last().expect("a line");
    assert_eq!((&last["name"], &last["mes"]), (&json!("Tom"), &json!("Farewell.")), "{last}");
    assert_eq!(last["swipes"], json!(["Bye.", "Farewell."]), "{last}");
}

#[test]
fn a_conversation_made_by_rest_begins_with_the_greeting_and_exports_as_a_dialogue() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, server, id, token) = stage(folder.path());
    let mira = greeter(&server, &id, &token);
    let chat = conversation(&server, &id, &token);
    // This client stores what the person says.
    let line = json!({"conversation_id": chat, "sender": "user", "content": "Who are you?"});
    let (_, stored) = server.call("POST", "/rest/v1/messages", &token, Some(&line));
    model.say("**Mira:** I keep the light.");
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "Who are you?"});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
    assert_eq!((status, &answer["response"]), (200, &json!("I keep the light.")), "{answer}");
    assert_eq!(answer["user_message_id"], stored[0]["id"]);
    let greeting = assistant("Hello, User. I am Mira.");
    let mut expected = vec![greeting, user("Who are you?"), assistant("I keep the light.")];
    assert_eq!(messages_of(&server, &token, &chat), expected);

    // This one does not, and names neither character nor rating nor memory.
    model.say("Nothing.");
    let (status, answer) =
        invoke(&server, &token, "roleplay-chat", json!({"conversation_id": chat, "message": "And at day?"}));
    assert_eq!(status, 200, "{answer}");
    expected.extend([user("And at day?"), assistant("Nothing.")]);
    assert_eq!(messages_of(&server, &token, &chat), expected);
    // And this one says that it will.
    let body = json!({"conversation_id": chat, "message": "Why?", "message_stored": true});
    assert_eq!(invoke(&server, &token, "roleplay-chat", body).0, 200);
    expected.push(assistant("Nothing."));
    assert_eq!(messages_of(&server, &token, &chat), expected);
    assert_eq!(model.last_prompt()[6], json!({"role": "user", "content": "Why?"}), "{}", model.last_prompt());

    let lines = export(&server, &token, &json!(chat));
    let said: Vec<(&str, bool, &str)> = lines[1..]
        .iter()
        .map(|line| {
            let text = |field: &str| line[field].as_str().expect("text");
            (text("name"), line["is_user"].as_bool().expect("a flag"), text("mes"))
        })
        .collect();
    assert_eq!(
        said[..4],
        [
            ("Mira", false, "Hello, User. I am Mira."),
            ("User", true, "Who are you?"),
            ("Mira", false, "I keep the light."),
            ("User", true, "And at day?"),
        ]
    );
    assert_eq!(lines[1]["swipes"], json!(["Hello, User. I am Mira.", "Go away!", "Psst."]), "{}", lines[1]);

    // A wording of what was said is answered as it stands now.
    let path = format!("/rest/v1/messages?conversation_id=eq.{chat}&content=eq.And at day?&select=id");
    let (_, rows) = server.call("GET", &path.replace(' ', "%20").replace("day?", "day%3F"), &token, None);
    let edit = json!({"message_id": rows[0]["id"], "content": "And at noon?"});
    assert_eq!(invoke(&server, &token, "edit-message", edit).0, 200);
    let prompt = model.last_prompt();
    assert_eq!(
        prompt.as_array().and_then(|lines| lines.last()),
        Some(&json!({"role": "user", "content": "And at noon?"}))
    );
    assert!(!prompt.to_string().contains("And at day?"), "{prompt}");

    // What an earlier version wrote with a name in front goes out without it, and into no prompt.
    let old = conversation(&server, &id, &token);
    let line = json!({"conversation_id": old, "sender": "assistant", "content": "**Mira:** Come in.\n**Narrator:** Rain."});
    assert_eq!(server.call("POST", "/rest/v1/messages", &token, Some(&line)).0, 201);
    let body = json!({"conversation_id": old, "character_id": mira, "message": "Thanks."});
    assert_eq!(invoke(&server, &token, "roleplay-chat", body).0, 200);
    let prompt = model.last_prompt();
    assert_eq!(prompt[1]["content"], "Come in.\n*Rain.*", "{prompt}");
    assert_eq!(export(&server, &token, &json!(old))[1]["mes"], "Come in.\n*Rain.*");
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn the_whole_sheet_reaches_the_prompt_whatever_the_template_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, server, id, token) = stage(folder.path());
    // A template for this model; any model key will do.
    let template = json!({"enhancer_model": "chat", "use_case": "character_roleplay", "content_mode": "sfw",
        "template_name": "For slow models", "job_type": "chat", "target_model": "slow",
        "system_prompt": "You are {{character_name}}.\nBackground: {{character_background}}\nMood: {{mood}}\n{{scene_context}}"});
    let (status, row) = server.call("POST", "/rest/v1/prompt_templates", &server.service, Some(&template));
    assert_eq!(status, 201, "{row}");
    let mira = character(
        &server,
        &id,
        &token,
        json!({"gender": "female", "persona": "A shy giant.", "traits": "stubborn", "mood": "calm",
            "forbidden_phrases": ["As an AI"], "voice_examples": ["Aye, {{user}}."],
            "personality_traits": {"goals": ["find the bell"], "quirks": "hums", "relationships": {"Tom": "brother"}},
            "scene_behavior_rules": {"in_storms": "never sleeps"}}),
    );
    let chat = conversation(&server, &id, &token);
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "Hello"});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
    assert_eq!(status, 200, "{answer}");
    let (_, report) = invoke(&server, &token, "inspect-reply", json!({"message_id": answer["message_id"]}));
    assert_eq!(report["prompt"]["sections"][0]["name"], "For slow models", "{report}");
    let prompt = model.last_prompt();
    let system = prompt[0]["content"].as_str().expect("text");
    for known in [
        "You are Mira.",
        "Mood: calm",
        "A lighthouse keeper.",
        "Gender: female",
        "A shy giant.",
        "stubborn",
        "As an AI",
        "Aye, User.",
        "find the bell",
        "hums",
        "Tom: brother",
        "in storms: never sleeps",
    ] {
        assert_eq!(system.matches(known).count(), 1, "{known}: {system}");
    }
    assert!(!system.contains("Background"), "{system}");
    assert!(!system.contains("**Name:**"), "one speaker needs no name: {system}");
    // A name that was chosen is a name; half a mail address is none.
    let (status, _) = server.call(
        "PATCH",
        &format!("/rest/v1/profiles?id=eq.{id}"),
        &token,
        Some(&json!({"username": "Lady Ada"})),
    );
    assert_eq!(status, 200);
    let body = json!({"conversation_id": chat, "message": "Hello again"});
    assert_eq!(invoke(&server, &token, "roleplay-chat", body).0, 200);
    assert!(model.last_prompt()[0].to_string().contains("Aye, Lady Ada."), "{}", model.last_prompt());

    // A template that asks for names gets them.
    let path = format!("/rest/v1/prompt_templates?id=eq.{}", row[0]["id"].as_str().expect("an id"));
    let change =
        json!({"system_prompt": "You are {{character_name}}. Begin with **{{character_name}}:** each time."});
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&change)).0, 200);
    let body = json!({"conversation_id": chat, "message": "And now?"});
    let (_, answer) = invoke(&server, &token, "roleplay-chat", body);
    assert!(answer["response"].as_str().is_some_and(|text| text.starts_with("**Mira:** word 0")), "{answer}");
}

#[test]
fn turns_are_counted_and_memory_says_when_it_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_model, server, id, token) = stage(folder.path());
    let mira = character(&server, &id, &token, json!({}));
    let chat = conversation(&server, &id, &token);
    let turn = |message: &str| {
        let body = json!({"conversation_id": chat, "character_id": mira, "message": message});
        let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let interactions = || {
        let path = format!("/rest/v1/characters?id=eq.{mira}&select=interaction_count");
        server.call("GET", &path, &token, None).1[0]["interaction_count"].clone()
    };
    let first = turn("One");
    assert_eq!((&first["memory_updated"], interactions()), (&json!(false), json!(1)));
    turn("Two");
    assert_eq!(interactions(), 2);
    let (status, _) = invoke(&server, &token, "regenerate-reply", json!({"conversation_id": chat}));
    assert_eq!((status, interactions()), (200, json!(2)), "another version is no other turn");

    let pin = json!({"conversation_id": chat, "action": "pin", "text": "the lamp is green"});
    assert_eq!(invoke(&server, &token, "conversation-memory", pin).0, 200);
    assert_eq!(turn("Three")["memory_updated"], true);
    assert_eq!(turn("Four")["memory_updated"], false);

    // Enough to sum up: the turn says that it is being done, a later one that it was.
    let lines: Vec<Json> = (0..24)
        .map(|number| {
            json!({"conversation_id": chat, "sender": if number % 2 == 0 { "user" } else { "assistant" },
                "content": format!("line {number}"), "created_at": format!("2026-01-01T00:00:{number:02}Z")})
        })
        .collect();
    assert_eq!(server.call("POST", "/rest/v1/messages", &token, Some(&json!(lines))).0, 201);
    let fifth = turn("Five");
    assert_eq!(
        (&fifth["memory_updating"], &fifth["memory_updated"]),
        (&json!(true), &json!(false)),
        "{fifth}"
    );
    let memory = || invoke(&server, &token, "conversation-memory", json!({"conversation_id": chat})).1;
    until("a summary", || memory()["summaries"].as_array().is_some_and(|all| !all.is_empty()));
    assert_eq!(turn("Six")["memory_updated"], true);
}

#[test]
fn every_call_of_a_chat_model_is_counted_for_its_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_model, server, id, token) = stage(folder.path());
    let mira = character(&server, &id, &token, json!({}));
    let chat = conversation(&server, &id, &token);
    let lines: Vec<Json> = (0..30)
        .map(|number| {
            json!({"conversation_id": chat, "sender": if number % 2 == 0 { "user" } else { "assistant" },
                "content": format!("line {number}"), "created_at": format!("2026-01-01T00:00:{number:02}Z")})
        })
        .collect();
    assert_eq!(server.call("POST", "/rest/v1/messages", &token, Some(&json!(lines))).0, 201);
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "Hello"});
    assert_eq!(invoke(&server, &token, "roleplay-chat", body).0, 200);
    let body = json!({"conversation_id": conversation(&server, &id, &token), "message": "Hello"});
    assert_eq!(invoke(&server, &token, "playground-chat", body).0, 200);
    let body = json!({"type": "traits", "characterName": "Mira"});
    let _ = invoke(&server, &token, "character-suggestions", body);
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hello"}]});
    assert_eq!(server.call("POST", "/v1/chat/completions", &token, Some(&body)).0, 200);
    // Calls of a model of this machine count as well.
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4});
    assert_eq!(server.call("POST", "/v1/chat/completions", &token, Some(&body)).0, 200);

    let path = "/rest/v1/api_usage_logs?select=endpoint_path,user_id,tokens_input,tokens_output,\
                api_providers!inner(name)";
    let logs = || server.call("GET", path, &server.service, None).1.as_array().cloned().unwrap_or_default();
    until("all calls are counted", || logs().len() >= 7);
    let logs = logs();
    let mut counted: Vec<(&str, &str)> = logs
        .iter()
        .map(|log| {
            assert_eq!(log["user_id"], id, "{log}");
            assert!(
                log["tokens_input"].as_i64() > Some(0) && log["tokens_output"].as_i64() > Some(0),
                "{log}"
            );
            (
                log["endpoint_path"].as_str().expect("text"),
                log["api_providers"]["name"].as_str().expect("text"),
            )
        })
        .collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            ("character-suggestions", "test"),
            ("chat/completions", "local"),
            ("chat/completions", "test"),
            ("facts", "test"),
            ("playground-chat", "test"),
            ("roleplay-chat", "test"),
            ("summary", "test"),
        ]
    );
    // This server offers what is installed.
    let (_, offered) = server.call("GET", "/rest/v1/api_providers?select=name&order=name", &token, None);
    assert_eq!(offered, json!([{"name": "local"}, {"name": "test"}]));
}
