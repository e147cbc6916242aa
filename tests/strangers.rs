//! Rows that refer to other accounts' rows neither change them nor show them.

mod common;

use common::Server;
use serde_json::{Value as Json, json};

fn made(server: &Server, token: &str, table: &str, body: Json) -> String {
    let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), token, Some(&body));
    assert_eq!(status, 201, "{table}: {rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

fn one(server: &Server, token: &str, path: &str) -> Json {
    let (status, rows) = server.call("GET", path, token, None);
    assert_eq!(status, 200, "{rows}");
    rows[0].clone()
}

/// What an account reads in its audit trail about a kind of row.
fn trail(server: &Server, token: &str, table: &str) -> Json {
    server.call("GET", &format!("/rest/v1/audit_logs?entity_type=eq.{table}"), token, None).1
}

#[test]
fn counters_and_places_of_strangers_rows_stay_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let hidden =
        json!({"user_id": ada, "name": "Mira", "description": "secret", "traits": "", "is_public": false});
    let character = made(&server, &ada_token, "characters", hidden);
    let talk = json!({"user_id": ada, "title": "Private", "current_location": "harbour"});
    let conversation = made(&server, &ada_token, "conversations", talk);
    let collection = made(&server, &ada_token, "user_collections", json!({"user_id": ada, "name": "Mine"}));

    let asset = |user: &str, path: &str| {
        json!({"user_id": user, "asset_type": "image", "storage_path": path, "file_size_bytes": 1,
               "mime_type": "image/png", "original_prompt": "x", "model_used": "x", "output_type": "portrait",
               "character_id": character, "collection_id": collection})
    };
    let foreign = asset(&bob, "a.png");
    let (status, refused) = server.call("POST", "/rest/v1/user_library", &bob_token, Some(&foreign));
    assert_eq!((status, &refused["code"]), (409, &json!("23503")), "{refused}");
    // As an earlier version let it in; what the operator adds is counted.
    let (status, planted) = server.call("POST", "/rest/v1/user_library", &server.service, Some(&foreign));
    assert_eq!(status, 201, "{planted}");
    let before = one(&server, &ada_token, &format!("/rest/v1/characters?id=eq.{character}"));
    let path = format!("/rest/v1/user_library?id=eq.{}", planted[0]["id"].as_str().expect("an id"));
    for change in [json!({"is_favorite": true}), json!({"output_type": "scene", "collection_id": null})] {
        let (status, answer) = server.call("PATCH", &path, &bob_token, Some(&change));
        assert_eq!(status, 200, "{answer}");
    }
    let own = json!({"user_id": bob, "name": "Bo", "description": "own", "traits": "", "is_public": true});
    let own = made(&server, &bob_token, "characters", own);
    let scene = json!({"character_id": own, "conversation_id": conversation, "scene_prompt": "x",
                       "generation_metadata": {"scene_context": {"setting": "a cell"}}});
    let (status, refused) = server.call("POST", "/rest/v1/character_scenes", &bob_token, Some(&scene));
    assert_eq!((status, &refused["code"]), (403, &json!("42501")), "{refused}");

    assert_eq!(one(&server, &ada_token, &format!("/rest/v1/characters?id=eq.{character}")), before);
    let path = format!("/rest/v1/conversations?id=eq.{conversation}&select=current_location");
    assert_eq!(one(&server, &ada_token, &path), json!({"current_location": "harbour"}));
    let path = format!("/rest/v1/user_collections?id=eq.{collection}&select=asset_count");
    assert_eq!(one(&server, &ada_token, &path), json!({"asset_count": 1}));
    for table in ["conversations", "user_collections"] {
        assert_eq!(trail(&server, &bob_token, table), json!([]));
    }
    let seen = trail(&server, &bob_token, "characters").to_string();
    assert!(!seen.contains("secret"), "{seen}");

    // For their owner they are counted.
    made(&server, &ada_token, "user_library", asset(&ada, "b.png"));
    let path = format!("/rest/v1/characters?id=eq.{character}&select=portrait_count");
    assert_eq!(one(&server, &ada_token, &path), json!({"portrait_count": 2}));
    let path = format!("/rest/v1/user_collections?id=eq.{collection}&select=asset_count");
    assert_eq!(one(&server, &ada_token, &path), json!({"asset_count": 2}));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn what_goes_with_a_deleted_row_is_not_shown_to_whom_it_was_hidden_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let character = json!({"user_id": ada, "name": "Mira", "description": "seen by all", "traits": "", "is_public": true});
    let character = made(&server, &ada_token, "characters", character);
    let asset = json!({"user_id": bob, "asset_type": "image", "storage_path": "a.png", "file_size_bytes": 1,
                       "mime_type": "image/png", "original_prompt": "bobs secret", "model_used": "x",
                       "character_id": character});
    made(&server, &bob_token, "user_library", asset);
    let (status, answer) =
        server.call("DELETE", &format!("/rest/v1/characters?id=eq.{character}"), &ada_token, None);
    assert_eq!(status, 200, "{answer}");
    for table in ["conversations", "user_library", "character_scenes"] {
        assert_eq!(trail(&server, &ada_token, table), json!([]), "{table}");
    }
    assert!(
        trail(&server, &ada_token, "characters").to_string().contains("seen by all"),
        "one's own is recorded"
    );
    // Who operates the server sees all of it.
    // What an entry of a change leaves out, because it stayed, stands in the entries before.
    let path = "/rest/v1/audit_logs?select=old_value,new_value";
    let (_, all) = server.call("GET", path, &server.service, None);
    assert!(all.to_string().contains("bobs secret"), "{all}");
}
