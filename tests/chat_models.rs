//! Which chat model answers: those of this machine by name, those elsewhere by priority, and who stands in for whom.

mod common;
mod model_server;
mod talk;

use std::path::Path;
use std::time::Duration;

use common::Server;
use common::files::{bearer, send};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{character, conversation, invoke, messages_of, start, start_with, until};

fn ask(server: &Server, token: &str, chat: &str, model: Option<&str>) -> (u16, Json) {
    let body = json!({"conversation_id": chat, "message": "Hello", "model_provider": model, "max_tokens": 8, "seed": 1});
    invoke(server, token, "playground-chat", body)
}

/// Adds a provider with one model to the catalogue; the model's id.
fn add_model(server: &Server, base_url: &str, extra: Json) -> String {
    let provider = json!({"name": "test", "display_name": "Test", "base_url": base_url});
    let (status, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&provider));
    assert_eq!(status, 201, "{rows}");
    let mut row = json!({"provider_id": rows[0]["id"], "model_key": "slow", "display_name": "Slow", "modality": "chat",
        "tasks": ["roleplay"]});
    for (key, value) in extra.as_object().expect("an object") {
        row[key] = value.clone();
    }
    let (status, rows) = server.call("POST", "/rest/v1/api_models", &server.service, Some(&row));
    assert_eq!(status, 201, "{rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

#[test]
fn every_local_model_is_listed_and_can_be_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/language/llama-tiny");
    let models = folder.path().join("models");
    for name in ["one", "two"] {
        std::fs::create_dir_all(models.join(name)).expect("a folder");
        for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"] {
            std::fs::copy(fixture.join(file), models.join(name).join(file)).expect("a fixture");
        }
    }
    let server =
        Server::start(&folder.path().join("data"), &[("PLAYHOUSE_MODELS_DIR", &models.to_string_lossy())]);
    let (id, token) = server.sign_up("ada@example.com");
    let (status, list) = server.call("GET", "/v1/models", &token, None);
    assert_eq!(status, 200, "{list}");
    let chats: Vec<&str> = list["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|model| model["kind"] == "chat")
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(chats, ["one", "two"]);
    let chat = conversation(&server, &id, &token);
    for (asked, answered) in [
        (None, "local:one"),
        (Some("local"), "local:one"),
        (Some("two"), "local:two"),
        (Some("local:two"), "local:two"),
    ] {
        let (status, answer) = ask(&server, &token, &chat, asked);
        assert_eq!((status, &answer["model_used"]), (200, &json!(answered)), "{asked:?}: {answer}");
        assert_eq!(answer["usedFallback"], false);
    }
    let body = json!({"model": "two", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4});
    let (status, answer) = server.call("POST", "/v1/chat/completions", &token, Some(&body));
    assert_eq!((status, &answer["model"]), (200, &json!("two")), "{answer}");
}

#[test]
fn a_model_elsewhere_is_asked_by_its_priority() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start(folder.path());
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let used = || {
        let (status, answer) = ask(&server, &token, &chat, None);
        assert_eq!(status, 200, "{answer}");
        answer["model_used"].clone()
    };
    assert_eq!(used(), "local:tiny");
    // Better than the local model's 100, without being anybody's default.
    let row = add_model(&server, &model.url, json!({"priority": 10}));
    assert_eq!(used(), "test:slow");
    let path = format!("/rest/v1/api_models?id=eq.{row}");
    assert_eq!(server.call("PATCH", &path, &server.service, Some(&json!({"priority": 200}))).0, 200);
    assert_eq!(used(), "local:tiny");
}

#[test]
fn a_local_model_stands_in_for_a_server_that_is_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path());
    // No server listens there.
    add_model(&server, "http://127.0.0.1:1/v1", json!({"default_for_tasks": ["roleplay"]}));
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let (status, answer) = ask(&server, &token, &chat, None);
    assert_eq!(
        (status, &answer["model_used"], &answer["usedFallback"]),
        (200, &json!("local:tiny"), &json!(true)),
        "{answer}"
    );
    // What is asked in one question, and in OpenAI's dialect, names who answered as well.
    let scene = json!({"sceneContext": {"setting": "a lighthouse"}});
    let (status, answer) = invoke(&server, &token, "scene-narrative", scene);
    assert_eq!((status, &answer["model_used"]), (200, &json!("local:tiny")), "{answer}");
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4});
    let (status, answer) = server.call("POST", "/v1/chat/completions", &token, Some(&body));
    assert_eq!((status, &answer["model"]), (200, &json!("tiny")), "{answer}");
    let row = server.call("GET", "/rest/v1/api_models?model_key=eq.tiny&select=id", &server.service, None).1;
    assert_eq!(calls(&server), vec![("local".to_string(), "tiny".to_string(), row[0]["id"].clone()); 3]);
}

/// Provider, name and row of the model of every call that was counted.
fn calls(server: &Server) -> Vec<(String, String, Json)> {
    let path =
        "/rest/v1/api_usage_logs?select=model_id,provider_metadata,api_providers(name)&order=created_at";
    let (status, rows) = server.call("GET", path, &server.service, None);
    assert_eq!(status, 200, "{rows}");
    let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
    let call = |row: &Json| {
        (
            text(&row["api_providers"]["name"]),
            text(&row["provider_metadata"]["model"]),
            row["model_id"].clone(),
        )
    };
    rows.as_array().expect("rows").iter().map(call).collect()
}

#[test]
fn a_call_is_counted_for_the_server_that_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = ModelServer::start(Duration::ZERO, 4);
    let server = Server::start(folder.path(), &[]);
    // This one does not listen; the other one has the task too.
    add_model(&server, "http://127.0.0.1:1/v1", json!({"default_for_tasks": ["roleplay"]}));
    let provider = json!({"name": "second", "display_name": "Second", "base_url": other.url});
    let (status, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&provider));
    assert_eq!(status, 201, "{rows}");
    let row = json!({"provider_id": rows[0]["id"], "model_key": "quick", "display_name": "Quick", "modality": "chat",
        "tasks": ["roleplay"], "priority": 50});
    let (status, rows) = server.call("POST", "/rest/v1/api_models", &server.service, Some(&row));
    assert_eq!(status, 201, "{rows}");
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let (status, answer) = ask(&server, &token, &chat, None);
    assert_eq!((status, &answer["model_used"]), (200, &json!("second:quick")), "{answer}");
    let body = json!({"model": "slow", "messages": [{"role": "user", "content": "Hi"}]});
    let (status, answer) = server.call("POST", "/v1/chat/completions", &token, Some(&body));
    assert_eq!((status, &answer["model"]), (200, &json!("quick")), "{answer}");
    let call = ("second".to_string(), "quick".to_string(), rows[0]["id"].clone());
    assert_eq!(calls(&server), vec![call; 2]);
}

#[test]
fn a_chat_worker_drops_out_when_it_is_ill_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let worker = ModelServer::start(Duration::ZERO, 4);
    let server = start_with(folder.path(), &[("PLAYHOUSE_WORKER_PROBE_S", "1")]);
    let (id, token) = server.sign_up("admin@example.com");
    let role = json!({"user_id": id, "role": "admin"});
    assert_eq!(server.call("POST", "/rest/v1/user_roles", &server.service, Some(&role)).0, 201);
    let register = json!({"worker_url": worker.url.trim_end_matches("/v1")});
    assert_eq!(invoke(&server, &token, "register-chat-worker", register).0, 200);
    let chat = conversation(&server, &id, &token);
    let answers = |provider: &str| {
        let (status, answer) = ask(&server, &token, &chat, Some("chat_worker"));
        assert_eq!(status, 200, "{answer}");
        answer["model_provider"] == provider
    };
    let kept = || {
        let path =
            "/rest/v1/system_config?id=eq.1&select=health:config->workerHealthCache->chatWorker->isHealthy";
        server.call("GET", path, &server.service, None).1[0]["health"].clone()
    };
    assert!(answers("chat_worker"));
    for (is_ill, provider) in [(true, "local"), (false, "chat_worker")] {
        worker.be_ill(is_ill);
        until("the worker is looked at", || answers(provider));
        until("what was found is kept", || kept() == json!(!is_ill));
    }
}

#[test]
fn pictures_of_messages_go_to_models_that_see() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 3);
    let server = start(folder.path());
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let (_, other) = server.sign_up("bob@example.com");
    let mira = character(&server, &id, &token, json!({"is_public": true}));
    let path = format!("reference_images/{id}/door.png");
    let bytes =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/studio/public/icon.png")).expect("a picture");
    let url = format!("{}/storage/v1/object/{path}", server.url);
    let authorization = bearer(&token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "image/png")];
    assert_eq!(send(&url, "POST", &headers, &bytes).expect("an answer").status, 200);
    let turn = |token: &str, chat: Option<&Json>, message: &str| {
        let body = json!({"character_id": mira, "conversation_id": chat, "message": message});
        invoke(&server, token, "roleplay-chat", body)
    };
    let with_picture = format!("What is this? ![a door]({path})");
    let (status, begun) = turn(&token, None, &with_picture);
    assert_eq!((status, &begun["warnings"]), (200, &Json::Null), "{begun}");
    let seen = |asked: &Json| {
        let all = asked.as_array().expect("messages").iter();
        let pictures = all.filter_map(|one| one["content"].as_array()).flatten();
        pictures
            .filter(|part| {
                part["image_url"]["url"].as_str().is_some_and(|it| it.starts_with("data:image/png"))
            })
            .count()
    };
    let asked = model.last_prompt();
    assert_eq!(seen(&asked), 1, "{asked}");
    assert_eq!(
        asked.as_array().and_then(|all| all.last()).expect("it")["content"][0]["text"],
        "What is this? [picture: a door]"
    );
    // It stays with its message, and the model sees it in later turns and other versions too.
    let chat = &begun["conversation_id"];
    assert_eq!(messages_of(&server, &token, chat.as_str().expect("an id"))[0].1, with_picture);
    assert_eq!(turn(&token, Some(chat), "And its colour?").0, 200);
    assert_eq!(seen(&model.last_prompt()), 1);
    assert_eq!(invoke(&server, &token, "regenerate-reply", json!({"conversation_id": chat})).0, 200);
    assert_eq!(seen(&model.last_prompt()), 1);
    // What is another account's, or not there, is no picture of a message.
    assert_eq!(turn(&other, None, &with_picture).0, 404);
    assert_eq!(turn(&token, Some(chat), &format!("![](reference_images/{id}/none.png)")).0, 404);
    assert_eq!(turn(&token, Some(chat), &with_picture.repeat(2).replace("door.png", "other.png")).0, 404);
    // Other hosts' pictures are words.
    assert_eq!(turn(&token, Some(chat), "![x](https://example.com/a.png)").0, 200);
    // A model that does not see reads that there is one, and the answer says so.
    let blind = json!({"tasks": ["roleplay"]});
    server.call("PATCH", "/rest/v1/api_models?model_key=eq.slow", &server.service, Some(&blind));
    let (status, answer) = turn(&token, Some(chat), &with_picture);
    assert_eq!(status, 200, "{answer}");
    assert!(answer["warnings"].to_string().contains("sees no pictures"), "{answer}");
    assert_eq!(seen(&model.last_prompt()), 0);
}

#[test]
fn no_picture_of_a_minor_is_seen_in_an_nsfw_conversation() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 3);
    let server = start(folder.path());
    model.become_default(&server);
    let (user, token) = server.sign_up("ada@example.com");
    let verified = json!({"birth_date": "1990-01-01", "age_verified": true});
    let profile = format!("/rest/v1/profiles?id=eq.{user}");
    assert_eq!(server.call("PATCH", &profile, &server.service, Some(&verified)).0, 200);
    let icon =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/studio/public/icon.png")).expect("a picture");
    let (face, door) =
        (format!("reference_images/{user}/face.png"), format!("reference_images/{user}/door.png"));
    for (path, more) in [(&face, "face"), (&door, "door")] {
        // What follows a PNG's end changes its bytes alone.
        let bytes = [&icon[..], more.as_bytes()].concat();
        let url = format!("{}/storage/v1/object/{path}", server.url);
        let authorization = bearer(&token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "image/png")];
        assert_eq!(send(&url, "POST", &headers, &bytes).expect("an answer").status, 200);
    }
    let (_teen, mira) = (
        character(&server, &user, &token, json!({"age_range": "teen", "image_url": face})),
        character(&server, &user, &token, json!({"age_range": "adult"})),
    );
    let seen = || model.last_prompt().to_string().matches("data:image/png").count();
    for function in ["roleplay-chat", "playground-chat"] {
        let chat = conversation(&server, &user, &token);
        let turn = |message: &str, tier: &str| {
            let body = json!({"character_id": mira, "conversation_id": chat, "message": message, "content_tier": tier});
            invoke(&server, &token, function, body)
        };
        let (status, answer) = turn(&format!("Look: ![]({face})"), "nsfw");
        assert_eq!((status, &answer["code"]), (422, &json!("CONTENT_REFUSED")), "{function}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|it| it.starts_with("message: ")), "{answer}");
        let (status, answer) = turn(&format!("Look: ![]({face})"), "sfw");
        assert_eq!((status, seen()), (200, 1), "{function}: {answer}");
        // What was said before stays, but for its picture, and the answer says so.
        let (status, answer) = turn(&format!("And here: ![]({door})"), "nsfw");
        assert_eq!((status, seen()), (200, 1), "{function}: {answer}");
        let warnings = answer["warnings"].to_string();
        assert!(warnings.contains(&face) && !warnings.contains(&door), "{function}: {answer}");
    }
}
