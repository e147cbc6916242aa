//! Roleplays from outside: characters, lore and memory in the prompt, and what is refused.

mod common;
mod model_server;
mod talk;

use std::path::Path;
use std::time::Duration;

use common::files::{bearer, send};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{character, conversation, invoke, messages_of, say, start, until, user};

#[test]
fn a_roleplay_knows_its_character_lore_and_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(1), 8);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let mira = character(&server, &id, &token, json!({"voice_tone": "calm"}));
    let book =
        json!({"entries": [{"keys": ["storm"], "content": "Storms come from the north.", "name": "storms"}]});
    let (status, set) =
        invoke(&server, &token, "character-lorebook", json!({"character_id": mira, "book": book}));
    assert_eq!((status, &set["entries"]), (200, &json!(1)), "{set}");
    let pin = json!({"conversation_id": chat, "action": "pin", "text": "the lamp is green"});
    assert_eq!(invoke(&server, &token, "conversation-memory", pin).0, 200);

    // The client stores what the person says.
    let line = json!({"conversation_id": chat, "sender": "user", "content": "A storm is coming!"});
    assert_eq!(server.call("POST", "/rest/v1/messages", &token, Some(&line)).0, 201);
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "A storm is coming!",
        "memory_tier": "conversation", "content_tier": "sfw", "model_provider": "no-such-model"});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["model_used"], "test:slow");
    assert_eq!((&answer["usedFallback"], &answer["fallbackModel"]), (&json!(true), &json!("test:slow")));
    assert!(answer["response"].as_str().is_some_and(|text| text.starts_with("word 0")), "{answer}");
    let path =
        format!("/rest/v1/messages?conversation_id=eq.{chat}&select=id,sender,message_type&order=created_at");
    let (_, rows) = server.call("GET", &path, &token, None);
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{rows}");
    assert_eq!((&rows[1]["id"], &rows[1]["message_type"]), (&answer["message_id"], &json!("roleplay_chat")));

    let prompt = model.last_prompt();
    let system = prompt[0]["content"].as_str().expect("text");
    for known in ["Mira", "A lighthouse keeper.", "calm", "Storms come from the north.", "the lamp is green"]
    {
        assert!(system.contains(known), "{known}: {system}");
    }
    assert_eq!(prompt.as_array().map(Vec::len), Some(2), "what was said is in the prompt once: {prompt}");
    let (_, account) = invoke(&server, &token, "inspect-reply", json!({"message_id": answer["message_id"]}));
    let sections = account["prompt"]["sections"].as_array().expect("sections");
    let lore = sections.iter().find(|section| section["kind"] == "lore").expect("lore");
    assert_eq!((&lore["name"], &lore["source"]["reason"]), (&json!("storms"), &json!({"key": "storm"})));

    // Another conversation with her remembers what is pinned, if its memory reaches that far.
    let second = conversation(&server, &id, &token);
    let path = format!("/rest/v1/conversations?id=eq.{chat}&select=character_id");
    assert_eq!(server.call("GET", &path, &token, None).1, json!([{"character_id": mira}]));
    for (reach, knows) in [("conversation", false), ("profile", true)] {
        let body = json!({"conversation_id": second, "character_id": mira, "kickoff": true, "memory_tier": reach,
            "content_tier": "sfw"});
        let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(model.last_prompt().to_string().contains("the lamp is green"), knows, "{reach}");
    }
    for (missing, body) in [
        ("conversation_id or character_id", json!({"message": "x"})),
        ("character_id", json!({"conversation_id": conversation(&server, &id, &token), "message": "x"})),
        (
            "message",
            json!({"conversation_id": chat, "character_id": mira, "memory_tier": "profile", "content_tier": "sfw"}),
        ),
    ] {
        let (status, refused) = invoke(&server, &token, "roleplay-chat", body);
        assert_eq!((status, refused["error"].as_str()), (400, Some(format!("{missing}: missing").as_str())));
    }
}

#[test]
fn what_a_card_wants_said_last_is_said_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(1), 4);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let card = json!({"spec": "chara_card_v2", "spec_version": "2.0", "data": {
        "name": "Mira", "description": "Keeps the light.", "first_mes": "Oh.",
        "post_history_instructions": "{{original}} {{char}} never leaves the tower."}});
    let authorization = bearer(&token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/octet-stream")];
    let address = format!("{}/functions/v1/import-character", server.url);
    let imported = send(&address, "POST", &headers, card.to_string().as_bytes()).expect("an answer");
    assert_eq!(imported.status, 200, "{}", imported.text());
    let (_, rows) = server.call("GET", "/rest/v1/characters?name=eq.Mira&select=id", &token, None);
    let chat = conversation(&server, &id, &token);
    let body = json!({"conversation_id": chat, "character_id": rows[0]["id"], "message": "Come with me!",
        "memory_tier": "conversation", "content_tier": "sfw"});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
    assert_eq!(status, 200, "{answer}");
    let prompt = model.last_prompt();
    let last = prompt.as_array().and_then(|lines| lines.last()).expect("a line");
    assert_eq!(last, &json!({"role": "system", "content": "Mira never leaves the tower."}), "{prompt}");
}

#[test]
fn a_book_whose_entries_call_each_other_for_ever_harms_no_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let mira = character(&server, &id, &token, json!({}));
    let book = json!({"recursive_scanning": true, "entries": [
        {"keys": ["(("], "use_regex": true, "content": "never used"},
        {"keys": ["(a+)+$"], "use_regex": true, "content": "a".repeat(5000)},
        {"keys": ["egg"], "content": "An egg makes a hen."}, {"keys": ["hen"], "content": "A hen makes an egg."},
    ]});
    let (status, set) =
        invoke(&server, &token, "character-lorebook", json!({"character_id": mira, "book": book}));
    assert_eq!((status, &set["entries"]), (200, &json!(4)), "{set}");
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "What does the hen do?"});
    let (status, answer) = invoke(&server, &token, "playground-chat", body);
    assert_eq!(status, 200, "{answer}");
    let prompt = model.last_prompt().to_string();
    for text in ["An egg makes a hen.", "A hen makes an egg."] {
        assert_eq!(prompt.matches(text).count(), 1, "{text}: {prompt}");
    }
    assert!(!prompt.contains("never used"));
}

#[test]
fn what_may_not_be_said_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(1), 4);
    let server = start(folder.path());
    model.become_default(&server);
    let (adult, adult_token) = server.sign_up("adult@example.com");
    let (id, token) = server.sign_up("young@example.com");
    let path = format!("/rest/v1/profiles?id=eq.{adult}");
    let (status, _) = server.call("PATCH", &path, &adult_token, Some(&json!({"birth_date": "1990-01-01"})));
    assert_eq!(status, 200);

    let chat = conversation(&server, &adult, &adult_token);
    let teen = character(&server, &adult, &adult_token, json!({"age_range": "teen"}));
    let school = character(&server, &adult, &adult_token, json!({"description": "She is 16 years old."}));
    let grown = character(&server, &adult, &adult_token, json!({"age_range": "adult"}));
    let ask = |token: &str, chat: &str, character: &str, message: &str, tier: &str| {
        let body = json!({"conversation_id": chat, "character_id": character, "message": message, "content_tier": tier});
        let (status, answer) = invoke(&server, token, "playground-chat", body);
        (status, answer["code"].as_str().unwrap_or_default().to_string())
    };
    let refused = (422, "CONTENT_REFUSED".to_string());
    assert_eq!(ask(&adult_token, &chat, &teen, "hello", "nsfw"), refused);
    assert_eq!(ask(&adult_token, &chat, &school, "hello", "nsfw"), refused);
    assert_eq!(ask(&adult_token, &chat, &grown, "you are a schoolgirl", "nsfw"), refused);
    assert_eq!(ask(&adult_token, &chat, &grown, "an erotic story", "sfw"), refused);
    assert!(messages_of(&server, &adult_token, &chat).is_empty());
    assert_eq!(ask(&adult_token, &chat, &teen, "hello", "sfw").0, 200);
    assert_eq!(ask(&adult_token, &chat, &grown, "hello", "nsfw").0, 200);

    // What was said before counts as well.
    let line = json!({"conversation_id": chat, "sender": "user", "content": "when I was a child"});
    assert_eq!(server.call("POST", "/rest/v1/messages", &adult_token, Some(&line)).0, 201);
    assert_eq!(ask(&adult_token, &chat, &grown, "hello", "nsfw"), refused);
    // And so does what the model says: nothing of it is kept.
    let other = conversation(&server, &adult, &adult_token);
    model.say("She is still a teen.");
    assert_eq!(ask(&adult_token, &other, &grown, "hello", "nsfw"), refused);
    assert_eq!(messages_of(&server, &adult_token, &other), [user("hello")]);

    // No other account gets nsfw: what it asks for runs as sfw, and the answer says so.
    let own = conversation(&server, &id, &token);
    let mine = character(&server, &id, &token, json!({}));
    let young = character(&server, &id, &token, json!({"age_range": "teen"}));
    let naked =
        character(&server, &adult, &adult_token, json!({"is_public": true, "content_rating": "nsfw"}));
    model.say("A kid ran past us.");
    let body =
        json!({"conversation_id": own, "character_id": mine, "message": "hello", "content_tier": "nsfw"});
    let (status, answer) = invoke(&server, &token, "playground-chat", body.clone());
    assert_eq!((status, &answer["content_tier"]), (200, &json!("sfw")), "{answer}");
    assert_eq!((&answer["nsfw_enforce"], &answer["response"]), (&json!(false), &json!("A kid ran past us.")));
    assert!(answer["notice"].as_str().is_some_and(|notice| notice.contains("birth_date")), "{answer}");
    // What the model said before ends no later turn either, whatever its words may mean.
    let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
    assert_eq!((status, &answer["content_tier"]), (200, &json!("sfw")), "{answer}");
    assert!(answer["notice"].is_string(), "{answer}");
    // What a person puts into the character's mouth, or into its memory, does.
    for line in ["A kid ran past us.", "A stranger ran past us."] {
        let spoken = conversation(&server, &id, &token);
        let row = json!({"conversation_id": spoken, "sender": "assistant", "content": line});
        assert_eq!(server.call("POST", "/rest/v1/messages", &token, Some(&row)).0, 201);
        let pinned = conversation(&server, &id, &token);
        let pin = json!({"conversation_id": pinned, "action": "pin", "text": line});
        assert_eq!(invoke(&server, &token, "conversation-memory", pin).0, 200);
        for chat in [spoken, pinned] {
            let asked = ask(&token, &chat, &mine, "hello", "nsfw");
            match line.contains("kid") {
                true => assert_eq!(asked, refused, "{line}"),
                false => assert_eq!(asked.0, 200, "{line}"),
            }
            if line.contains("kid") {
                assert_eq!(ask(&token, &chat, &mine, "hello", "sfw").0, 200, "sfw was asked for");
            }
        }
    }
    assert_eq!(ask(&token, &own, &mine, "when I was a schoolgirl", "nsfw"), refused);
    assert_eq!(ask(&token, &own, &mine, "an erotic story", "nsfw"), refused);
    assert_eq!(ask(&token, &own, &young, "hello", "nsfw"), refused);
    assert_ne!(ask(&token, &own, &naked, "hello", "nsfw").0, 200);
    model.say("You are naked.");
    assert_eq!(ask(&token, &own, &mine, "hello", "nsfw"), refused);
}

#[test]
fn long_conversations_are_summed_up_with_their_sources() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::from_millis(1), 6);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let lines: Vec<Json> = (0..30)
        .map(|number| {
            let sender = if number % 2 == 0 { "user" } else { "assistant" };
            json!({"conversation_id": chat, "sender": sender, "content": format!("line {number}"),
                "created_at": format!("2026-01-01T00:00:{number:02}Z")})
        })
        .collect();
    let (status, rows) = server.call("POST", "/rest/v1/messages", &token, Some(&json!(lines)));
    assert_eq!(status, 201, "{rows}");
    assert_eq!(say(&server, &token, &chat, "What happened so far?").0, 200);
    let memory = || invoke(&server, &token, "conversation-memory", json!({"conversation_id": chat})).1;
    until("a summary", || memory()["summaries"].as_array().is_some_and(|all| !all.is_empty()));
    let summary = memory()["summaries"][0].clone();
    let oldest: Vec<&Json> = rows.as_array().expect("rows")[..12].iter().map(|row| &row["id"]).collect();
    assert_eq!(summary["message_ids"].as_array().expect("ids").iter().collect::<Vec<_>>(), oldest);
    // The next prompt has it; an edit of what it covers takes it away.
    assert_eq!(say(&server, &token, &chat, "And then?").0, 200);
    let text = summary["text"].as_str().expect("text");
    assert!(
        model
            .prompts()
            .iter()
            .any(|prompt| prompt[0]["content"].to_string().contains(&format!("Earlier: {text}")))
    );
    // People may word it otherwise, which the next prompt has.
    let change = |body: Json| {
        let mut whole = json!({"conversation_id": chat});
        whole.as_object_mut().expect("it").extend(body.as_object().expect("it").clone());
        invoke(&server, &token, "conversation-memory", whole)
    };
    let (status, answer) = change(
        json!({"action": "edit_summary", "summary_id": summary["id"], "text": " The lamp went out. "}),
    );
    assert_eq!((status, &answer["summaries"][0]["text"]), (200, &json!("The lamp went out.")), "{answer}");
    assert_eq!(answer["summaries"][0]["message_ids"], summary["message_ids"]);
    assert_eq!(say(&server, &token, &chat, "And the lamp?").0, 200);
    assert!(model.last_prompt()[0]["content"].to_string().contains("Earlier: The lamp went out."));
    for (wrong, status, field) in [
        (json!({"action": "edit_summary", "summary_id": summary["id"], "text": " "}), 400, "text"),
        (json!({"action": "edit_summary", "text": "x"}), 400, "summary_id"),
        (json!({"action": "forget_summary", "summary_id": "none"}), 404, "summary"),
    ] {
        let (found, answer) = change(wrong);
        assert!(found == status && answer.to_string().contains(field), "{found} {answer}");
    }
    let edit = json!({"message_id": oldest[4], "content": "something else", "reply": false});
    assert_eq!(invoke(&server, &token, "edit-message", edit).0, 200);
    assert_eq!(memory()["summaries"], json!([]));
    let kept = json!({"memory_data": {"summaries": [{"id": "mine", "text": "Then it rained."}]}});
    server.call("PATCH", &format!("/rest/v1/conversations?id=eq.{chat}"), &token, Some(&kept));
    let (status, answer) = change(json!({"action": "forget_summary", "summary_id": "mine"}));
    assert_eq!((status, &answer["summaries"]), (200, &json!([])), "{answer}");
}

#[test]
fn a_character_goes_on_after_its_own_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 3);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let mira = character(&server, &id, &token, json!({}));
    let (status, begun) = invoke(
        &server,
        &token,
        "roleplay-chat",
        json!({"character_id": mira, "message": "Is the light on?"}),
    );
    assert_eq!(status, 200, "{begun}");
    let chat = begun["conversation_id"].as_str().expect("an id");
    let go_on = json!({"conversation_id": chat, "go_on": true});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", go_on);
    assert_eq!(status, 200, "{answer}");
    let asked = model.last_prompt();
    let asked = asked.as_array().and_then(|all| all.last()).expect("a message");
    assert!(
        asked["content"].as_str().is_some_and(|text| text.contains("Go on from where Mira stopped")),
        "{asked}"
    );
    // Nothing was said by the person in between, and another version of it can be made.
    let senders =
        |chat: &str| messages_of(&server, &token, chat).into_iter().map(|(who, _)| who).collect::<Vec<_>>();
    assert_eq!(senders(chat), ["user", "assistant", "assistant"]);
    assert_eq!(invoke(&server, &token, "regenerate-reply", json!({"conversation_id": chat})).0, 200);
    assert_eq!(senders(chat), ["user", "assistant", "assistant"]);
    let both = json!({"conversation_id": chat, "go_on": true, "message": "And now?"});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", both);
    assert!(status == 400 && answer.to_string().contains("go_on"), "{status} {answer}");
}

#[test]
fn facts_that_the_model_finds_cite_their_messages_and_go_with_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 6);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let lines: Vec<Json> = (0..30)
        .map(|number| {
            let sender = if number % 2 == 0 { "user" } else { "assistant" };
            json!({"conversation_id": chat, "sender": sender, "content": format!("my boat number {number} is red"),
                "created_at": format!("2026-01-01T00:00:{number:02}Z")})
        })
        .collect();
    let (_, rows) = server.call("POST", "/rest/v1/messages", &token, Some(&json!(lines)));
    model.say(r#"{"facts": [{"text": "Ada has a red boat.", "message": 3}, {"text": "Ada is a queen.", "message": 4}]}"#);
    assert_eq!(say(&server, &token, &chat, "Hello").0, 200);
    let memory = |body: Json| {
        let mut body = body;
        body["conversation_id"] = json!(chat);
        let (status, memory) = invoke(&server, &token, "conversation-memory", body);
        assert_eq!(status, 200, "{memory}");
        memory["key_facts"].as_array().cloned().unwrap_or_default()
    };
    until("a fact", || !memory(json!({})).is_empty());
    let facts = memory(json!({}));
    // What no message says is not believed.
    assert_eq!(facts.len(), 1, "{facts:?}");
    assert_eq!((&facts[0]["text"], &facts[0]["by"]), (&json!("Ada has a red boat."), &json!("model")));
    assert_eq!(facts[0]["source_message_id"], rows[2]["id"]);
    let asked = model.prompts().into_iter().find(|prompt| prompt.to_string().contains("JSON schema"));
    let asked = asked.expect("a question for facts");
    assert!(
        asked[1]["content"].as_str().is_some_and(|text| text.contains("3. User: my boat number 2 is red"))
    );

    // A person may reword or pin it; the next prompt has it.
    let fact = facts[0]["id"].clone();
    let edited = memory(json!({"action": "edit", "fact_id": fact, "text": "Ada's boat is called Red."}));
    assert_eq!((&edited[0]["text"], edited[0].get("by")), (&json!("Ada's boat is called Red."), None));
    assert_eq!(say(&server, &token, &chat, "And then?").0, 200);
    assert!(
        model
            .prompts()
            .iter()
            .any(|prompt| prompt[0].to_string().contains("Remember: Ada's boat is called Red."))
    );
    let wrong = json!({"conversation_id": chat, "action": "edit", "fact_id": "nobody", "text": "x"});
    assert_eq!(invoke(&server, &token, "conversation-memory", wrong).0, 404);

    // With its message it goes.
    let edit = json!({"message_id": rows[2]["id"], "content": "no boat", "reply": false});
    assert_eq!(invoke(&server, &token, "edit-message", edit).0, 200);
    assert_eq!(memory(json!({})), Vec::<Json>::new());
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn scenes_and_portraits_are_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 6);
    copy_folder(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter"),
        &folder.path().join("data/models/brush"),
    );
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let mira = character(&server, &id, &token, json!({"appearance_tags": ["tall", "grey coat"]}));
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "Show me the sea",
        "memory_tier": "conversation", "content_tier": "sfw", "scene_generation": true, "scene_name": "the pier", "selected_image_model": "brush"});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", body.clone());
    assert_eq!((status, &answer["scene_generating_async"]), (200, &json!(true)), "{answer}");
    let scenes = || {
        let path = format!(
            "/rest/v1/character_scenes?conversation_id=eq.{chat}&select=image_url,scene_prompt,generation_mode"
        );
        server.call("GET", &path, &token, None).1
    };
    until("the scene is drawn", || scenes()[0]["image_url"].is_string());
    let scene = &scenes()[0];
    assert_eq!(scene["generation_mode"], "t2i");
    let prompt = scene["scene_prompt"].as_str().expect("text");
    assert!(prompt.starts_with("Mira, tall, grey coat, the pier, word 0"), "{prompt}");
    assert!(scene["image_url"].as_str().is_some_and(|url| url.starts_with(&format!("workspace-temp/{id}/"))));

    let models = || {
        let path = "/rest/v1/workspace_assets?select=model_used&order=created_at";
        server.call("GET", path, &token, None).1
    };
    assert_eq!(models(), json!([{"model_used": "brush"}]));

    // An unknown model is no reason to have no picture, and the scene says so.
    let other = conversation(&server, &id, &token);
    let mut unknown = body;
    unknown["conversation_id"] = json!(other);
    unknown["selected_image_model"] = json!("no-such");
    assert_eq!(invoke(&server, &token, "roleplay-chat", unknown).0, 200);
    let path =
        format!("/rest/v1/character_scenes?conversation_id=eq.{other}&select=image_url,generation_metadata");
    let scene = || server.call("GET", &path, &token, None).1[0].clone();
    until("the other scene is drawn", || scene()["image_url"].is_string());
    assert_eq!(scene()["generation_metadata"]["unknown_model"], "no-such");
    assert_eq!(models()[1], json!({"model_used": "starter"}));

    let (status, refused) = invoke(
        &server,
        &token,
        "character-portrait",
        json!({"characterId": mira, "canonPoseKey": "upside_down"}),
    );
    assert_eq!((status, refused["available"].as_array().map(Vec::len)), (400, Some(5)), "{refused}");
    let ask = json!({"characterId": mira, "canonPoseKey": "profile", "presets": {"expression": "smiling"}});
    let (status, portrait) = invoke(&server, &token, "character-portrait", ask);
    assert_eq!((status, &portrait["success"]), (200, &json!(true)), "{portrait}");
    let path = portrait["storagePath"].as_str().expect("a path");
    assert!(path.starts_with(&format!("{id}/portraits/{mira}_")), "{path}");
    let path = format!("user-library/{path}");
    let (_, row) = server.call(
        "GET",
        &format!("/rest/v1/characters?id=eq.{mira}&select=image_url,portrait_count"),
        &token,
        None,
    );
    assert_eq!(row, json!([{"image_url": path, "portrait_count": 1}]));
    let (_, rows) = server.call("GET", "/rest/v1/character_portraits?select=is_primary,prompt", &token, None);
    assert_eq!(rows[0]["is_primary"], true);
    assert!(
        rows[0]["prompt"].as_str().is_some_and(|text| text.contains("side view") && text.contains("smiling"))
    );
    let path = "/rest/v1/user_library?select=id,label&output_type=eq.position";
    let (_, canon) = server.call("GET", path, &token, None);
    assert_eq!(canon, json!([{"id": portrait["canonId"], "label": "profile"}]));
    let (_, stranger) = server.sign_up("eve@example.com");
    assert_eq!(invoke(&server, &stranger, "character-portrait", json!({"characterId": mira})).0, 404);
    assert_eq!(server.check()["faults"], 0);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file");
        }
    }
}
