//! A character that everybody may play: what a stranger says and sees in a conversation with it is the stranger's.

mod common;
mod model_server;
mod talk;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::Server;
use model_server::ModelServer;
use models::{Claims, Value, schema};
use serde_json::{Value as Json, json};
use store::{Caller, OpenOptions, Store, StoreError};
use talk::{character, conversation, invoke, start_with, until};
use uuid::Uuid;

fn rows(server: &Server, token: &str, path: &str) -> Json {
    let (status, rows) = server.call("GET", &format!("/rest/v1/{path}"), token, None);
    assert_eq!(status, 200, "{path}: {rows}");
    rows
}

#[test]
fn a_scene_is_its_players_and_not_its_characters_owners() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start_with(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    model.become_default(&server);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let mira = character(&server, &ada, &ada_token, json!({"is_public": true}));
    let chat = conversation(&server, &bob, &bob_token);
    model.say("Your whispered secret is safe with me.");
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "Can you keep a secret?",
        "memory_tier": "conversation", "content_tier": "sfw", "scene_generation": true,
        "scene_context": "a hidden cove"});
    let (status, answer) = invoke(&server, &bob_token, "roleplay-chat", body);
    assert_eq!(status, 200, "{answer}");

    let of_chat = format!("character_scenes?conversation_id=eq.{chat}");
    until("a scene", || rows(&server, &bob_token, &of_chat)[0]["job_id"].is_string());
    let scene = rows(&server, &bob_token, &of_chat)[0].clone();
    assert!(scene["scene_prompt"].as_str().is_some_and(|text| text.contains("whispered secret")), "{scene}");
    assert_eq!(scene["character_id"], json!(mira));
    let place = rows(&server, &bob_token, &format!("conversations?id=eq.{chat}&select=current_location"));
    assert_eq!(place, json!([{"current_location": "a hidden cove"}]));
    // He reads what the server did there for him.
    let about = format!("audit_logs?entity_id=eq.{}", scene["id"].as_str().expect("an id"));
    assert!(rows(&server, &bob_token, &about).to_string().contains("whispered secret"));

    // She sees none of it, by whatever question.
    for path in [
        "character_scenes",
        &of_chat,
        "character_scenes?scene_prompt=like.*whispered*",
        "character_scenes?scene_prompt=wfts.whispered",
        &about,
        "audit_logs?entity_type=eq.character_scenes",
        "jobs",
    ] {
        assert_eq!(rows(&server, &ada_token, path), json!([]), "{path}");
    }
    assert_eq!(rows(&server, &ada_token, "character_scenes?select=count()"), json!([{"count": 0}]));
    let embedded = rows(&server, &ada_token, "characters?select=id,character_scenes(id,scene_prompt)");
    assert_eq!(embedded, json!([{"id": mira, "character_scenes": []}]));
    let of_scene = format!("/rest/v1/character_scenes?id=eq.{}", scene["id"].as_str().expect("an id"));
    for (method, change) in
        [("PATCH", Some(json!({"scene_prompt": "mine", "conversation_id": null}))), ("DELETE", None)]
    {
        assert_eq!(server.call(method, &of_scene, &ada_token, change.as_ref()), (200, json!([])), "{method}");
    }
    // Nor may she put a scene of hers into his conversation, or move one there.
    let guest = json!({"character_id": mira, "conversation_id": chat, "scene_prompt": "look at me"});
    let (status, refused) = server.call("POST", "/rest/v1/character_scenes", &ada_token, Some(&guest));
    assert_eq!((status, &refused["code"]), (403, &json!("42501")), "{refused}");
    let own = json!({"character_id": mira, "scene_prompt": "her own"});
    let (status, made) = server.call("POST", "/rest/v1/character_scenes", &ada_token, Some(&own));
    assert_eq!(status, 201, "{made}");
    let path = format!("/rest/v1/character_scenes?id=eq.{}", made[0]["id"].as_str().expect("an id"));
    let there = json!({"conversation_id": chat});
    let (status, refused) = server.call("PATCH", &path, &ada_token, Some(&there));
    assert_eq!((status, &refused["code"]), (403, &json!("42501")), "{refused}");
    assert_eq!(rows(&server, &bob_token, "character_scenes"), json!([scene]));

    // What the server wrote there he may remove, not rewrite.
    let rewritten = server.call("PATCH", &of_scene, &bob_token, Some(&json!({"scene_prompt": "other"})));
    assert_eq!(rewritten, (200, json!([])));
    assert_eq!(server.call("DELETE", &of_scene, &bob_token, None), (200, json!([scene])));
    assert_eq!(rows(&server, &ada_token, "audit_logs?old_value->>scene_prompt=like.*whispered*"), json!([]));
    assert_eq!(server.check()["faults"], 0);
}

/// Writes a row with the server's rights into a data folder that no server has open.
fn put(store: &Store, table: &str, values: &[(&str, Value)]) {
    let claims = Claims::service();
    let table = schema().known(table);
    let written = store.transact(&claims, |transaction| {
        let mut row = table.default_row();
        values.iter().for_each(|(column, value)| row[table.at(column)] = value.clone());
        transaction.insert(&Caller::new(&claims), table, row)?;
        Ok::<_, StoreError>(())
    });
    written.expect("the row fits").1.wait_blocking().expect("durable");
}

/// A data folder as an earlier version left it: the mark that scenes are mended is not there.
fn as_before(data: &Path, fill: impl FnOnce(&Store)) {
    let (store, _) = Store::open(data, schema(), &OpenOptions::default()).expect("a store");
    let claims = Claims::service();
    let seeds = schema().known("catalog.seeds");
    let unmarked = store.transact(&claims, |transaction| {
        let mark = transaction.reads().get(seeds, &[Value::text("scenes-of-players-1")])?;
        transaction.delete(&Caller::new(&claims), seeds, &mark.expect("a mark"))?;
        Ok::<_, StoreError>(())
    });
    unmarked.expect("a mark").1.wait_blocking().expect("durable");
    fill(&store);
}

/// Starts a server that dies where a test lets it die.
fn dies(data: &Path, point: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_playhouse"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .envs([
            ("PLAYHOUSE_LOG", "error"),
            ("PLAYHOUSE_FETCH_CHAT_MODEL", "false"),
            ("PLAYHOUSE_CRASH_AT", point),
        ])
        .stdin(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let started = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        assert!(started.elapsed() < Duration::from_secs(120), "it lives on: {point}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn scenes_of_earlier_versions_go_back_to_their_players() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let mira = character(&server, &ada, &ada_token, json!({"is_public": true}));
    let (hers, his) = (conversation(&server, &ada, &ada_token), conversation(&server, &bob, &bob_token));
    server.stop();
    let id = |text: &str| Value::Uuid(text.parse().expect("an id"));
    let said = |name: &str| Value::text(format!("{name} words"));
    let [edited, taken, guest, deleted, own] = [1, 2, 3, 4, 5].map(Uuid::from_u128);
    as_before(folder.path(), |store| {
        let scene = |scene: Uuid, chat: Option<&str>, name: &str| {
            let chat = chat.map_or(Value::Null, id);
            put(
                store,
                "character_scenes",
                &[
                    ("id", Value::Uuid(scene)),
                    ("character_id", id(&mira)),
                    ("conversation_id", chat),
                    ("scene_prompt", said(name)),
                ],
            );
        };
        scene(edited, Some(&his), "edited");
        scene(taken, None, "taken");
        scene(guest, Some(&his), "guest");
        scene(own, Some(&hers), "own");
        // What the trail kept of her, who could then see and change all of them.
        let trail = |scene: Uuid,
                     action: &str,
                     old: Option<Option<&str>>,
                     new: Option<Option<&str>>,
                     name: &str| {
            let document = |chat: Option<Option<&str>>| {
                chat.map_or(Value::Null, |chat| {
                    Value::json(&json!({"id": scene, "conversation_id": chat, "scene_prompt": format!("{name} words")}))
                })
            };
            put(
                store,
                "audit_logs",
                &[
                    ("entity_type", Value::text("character_scenes")),
                    ("entity_id", Value::Uuid(scene)),
                    ("action", Value::text(action)),
                    ("user_id", id(&ada)),
                    ("old_value", document(old)),
                    ("new_value", document(new)),
                ],
            );
        };
        trail(edited, "update", Some(Some(&his)), Some(Some(&his)), "edited");
        trail(taken, "update", Some(Some(&his)), Some(None), "taken");
        trail(guest, "create", None, Some(Some(&his)), "guest");
        trail(deleted, "delete", Some(Some(&his)), None, "deleted");
        trail(own, "create", None, Some(Some(&hers)), "own");
    });
    // It is done whenever the process dies meanwhile.
    dies(folder.path(), "before_apply");
    dies(folder.path(), "after_apply");
    for _ in 0..2 {
        let mut server = Server::start(folder.path(), &[]);
        let scenes =
            |token: &str| rows(&server, token, "character_scenes?select=id,conversation_id&order=id");
        let scene = |id: Uuid, chat: Option<&str>| json!({"id": id, "conversation_id": chat});
        assert_eq!(scenes(&bob_token), json!([scene(edited, Some(&his)), scene(taken, Some(&his))]));
        assert_eq!(scenes(&ada_token), json!([scene(guest, None), scene(own, Some(&hers))]));
        let path = "audit_logs?entity_type=eq.character_scenes&select=entity_id&order=entity_id";
        assert_eq!(rows(&server, &ada_token, path), json!([{"entity_id": guest}, {"entity_id": own}]));
        // The operator still has all of it.
        let (_, all) = server.call("GET", &format!("/rest/v1/{path}&action=neq.x"), &server.service, None);
        assert!(all.to_string().contains(&deleted.to_string()), "{all}");
        assert_eq!(server.check()["faults"], 0);
        server.stop();
    }
}
