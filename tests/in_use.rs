//! What others still use: deleting a character or a project says before what it takes along and never takes what
//! another account said; a picture stays as long as a scene or a conversation shows it, whether the server or a client wrote that there.

mod common;

use common::Server;
use common::files;
use common::jobs::{picture, queue, wait_for};
use serde_json::{Value as Json, json};

fn made(server: &Server, token: &str, table: &str, body: Json) -> String {
    let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), token, Some(&body));
    assert_eq!(status, 201, "{table}: {rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

fn rows(server: &Server, token: &str, path: &str) -> Json {
    let (status, rows) = server.call("GET", &format!("/rest/v1/{path}"), token, None);
    assert_eq!(status, 200, "{path}: {rows}");
    rows
}

fn ask(server: &Server, token: &str, name: &str, body: Json) -> (u16, Json) {
    server.call("POST", &format!("/functions/v1/{name}"), token, Some(&body))
}

fn kept_picture(user: &str, character: &str, path: &str) -> Json {
    json!({"user_id": user, "asset_type": "image", "storage_path": path, "file_size_bytes": 1, "mime_type": "image/png",
           "original_prompt": "x", "model_used": "x", "output_type": "portrait", "character_id": character})
}

/// A public character that its owner and a stranger have talked with.
struct Played {
    server: Server,
    ada: (String, String),
    bob: (String, String),
    mira: String,
    /// Hers and his.
    chats: [String; 2],
    project: String,
    _folder: tempfile::TempDir,
}

fn played() -> Played {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, bob) = (server.sign_up("ada@example.com"), server.sign_up("bob@example.com"));
    let project = made(
        &server,
        &ada.1,
        "projects",
        json!({"user_id": ada.0, "original_prompt": "a coast", "media_type": "image"}),
    );
    let mira = json!({"user_id": ada.0, "name": "Mira", "description": "keeps a light", "is_public": true,
                      "project_id": project});
    let mira = made(&server, &ada.1, "characters", mira);
    let chats = [&ada, &bob].map(|(user, token)| {
        let chat = json!({"user_id": user, "title": "Talk", "character_id": mira});
        let chat = made(&server, token, "conversations", chat);
        let line = json!({"conversation_id": chat, "sender": "user", "content": "Are you there?"});
        made(&server, token, "messages", line);
        made(&server, token, "user_library", kept_picture(user, &mira, &format!("{user}/a.png")));
        // The server writes the scenes of conversations.
        let scene = json!({"conversation_id": chat, "character_id": mira, "scene_prompt": "at sea"});
        made(&server, &server.service, "character_scenes", scene);
        chat
    });
    made(&server, &ada.1, "character_scenes", json!({"character_id": mira, "scene_prompt": "alone"}));
    let queued = queue(
        &server,
        &ada.1,
        &json!({"job_type": "sdxl_image_fast", "prompt": "a dot", "project_id": project}),
    );
    assert!(!queued.is_empty());
    Played { server, ada, bob, mira, chats, project, _folder: folder }
}

/// What is the stranger's is as it was, but for the name of the character.
fn assert_his(played: &Played, before: &[Json]) {
    for (now, before) in his(played).iter().zip(before) {
        let mut before = before.clone();
        for row in before.as_array_mut().expect("rows") {
            if row.get("character_id").is_some() {
                row["character_id"] = Json::Null;
            }
        }
        assert_eq!(now, &before);
    }
}

fn his(played: &Played) -> Vec<Json> {
    let token = &played.bob.1;
    [
        "conversations?select=id,title,character_id",
        "messages?select=id,content",
        "character_scenes?select=id,character_id,conversation_id,scene_prompt",
        "user_library?select=id,character_id,storage_path",
    ]
    .iter()
    .map(|path| rows(&played.server, token, path))
    .collect()
}

#[test]
fn a_character_in_use_goes_with_what_is_its_own_and_nothing_that_others_said() {
    let played = played();
    let (server, token) = (&played.server, &played.ada.1);
    let path = format!("/rest/v1/characters?id=eq.{}", played.mira);
    let (status, error) = server.call("DELETE", &path, token, None);
    assert_eq!((status, &error["code"]), (409, &json!("23503")), "as PostgreSQL does: {error}");

    let before = his(&played);
    // First it only says what it would do: of the stranger's rows not even how many there are.
    let (status, would) = ask(server, token, "delete-character", json!({"character_id": played.mira}));
    assert_eq!((status, &would["deleted"]), (200, &json!(false)), "{would}");
    assert_eq!(would["deleted_rows"], json!({"character_scenes": 1, "characters": 1}));
    let cleared = json!({"character_scenes": 1, "conversations": 1, "user_library": 1});
    assert_eq!(would["cleared_references"], cleared, "{would}");
    let talk = json!({"character_id": played.mira, "conversations": "delete"});
    let (_, with_talk) = ask(server, token, "delete-character", talk);
    assert_eq!(
        with_talk["deleted_rows"],
        json!({"character_scenes": 2, "characters": 1, "conversations": 1, "messages": 1}),
        "{with_talk}"
    );
    assert_eq!(his(&played), before);
    assert_eq!(rows(server, token, "characters?select=id"), json!([{"id": played.mira}]));

    let confirmed = json!({"character_id": played.mira, "confirm": true});
    let (status, done) = ask(server, token, "delete-character", confirmed.clone());
    assert_eq!((status, &done["deleted"]), (200, &json!(true)), "{done}");
    assert_eq!((&done["deleted_rows"], &done["cleared_references"]), (&would["deleted_rows"], &cleared));
    assert_eq!(rows(server, token, "characters"), json!([]));
    let hers = rows(server, token, "conversations?select=id,character_id,messages(content)");
    assert_eq!(
        hers,
        json!([{"id": played.chats[0], "character_id": null, "messages": [{"content": "Are you there?"}]}])
    );
    assert_eq!(
        rows(server, token, "character_scenes?select=scene_prompt"),
        json!([{"scene_prompt": "at sea"}])
    );
    assert_his(&played, &before);
    assert_eq!(ask(server, token, "delete-character", confirmed).0, 404);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_project_in_use_goes_with_its_characters_and_leaves_jobs_and_talk() {
    let played = played();
    let (server, token) = (&played.server, &played.ada.1);
    let path = format!("/rest/v1/projects?id=eq.{}", played.project);
    assert_eq!(server.call("DELETE", &path, token, None).0, 409);
    let before = his(&played);
    let (status, would) = ask(server, token, "delete-project", json!({"project_id": played.project}));
    assert_eq!((status, &would["deleted"]), (200, &json!(false)), "{would}");
    assert_eq!(would["deleted_rows"], json!({"character_scenes": 1, "characters": 1, "projects": 1}));
    assert_eq!(
        would["cleared_references"],
        json!({"character_scenes": 1, "conversations": 1, "jobs": 1, "user_library": 1})
    );
    // With her own talk; the stranger's stays all the same.
    let body = json!({"project_id": played.project, "confirm": true, "conversations": "delete"});
    let (status, done) = ask(server, token, "delete-project", body);
    assert_eq!((status, &done["deleted"]), (200, &json!(true)), "{done}");
    for table in ["projects", "characters", "character_scenes", "conversations", "messages"] {
        assert_eq!(rows(server, token, table), json!([]), "{table}");
    }
    assert_eq!(
        rows(server, token, "jobs?select=status,project_id"),
        json!([{"status": "queued", "project_id": null}])
    );
    assert_his(&played, &before);
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn only_an_owner_deletes_and_bad_requests_say_why() {
    let played = played();
    let (server, token) = (&played.server, &played.bob.1);
    let ask = |name: &str, body: Json| {
        let (status, answer) = ask(server, token, name, body);
        (status, answer["error"].as_str().unwrap_or_default().to_string())
    };
    let body = json!({"character_id": played.mira, "confirm": true});
    assert_eq!(ask("delete-character", body).0, 403, "he sees it, and it is not his");
    assert_eq!(ask("delete-project", json!({"project_id": played.project, "confirm": true})).0, 404);
    for (name, body, word) in [
        ("delete-character", json!({}), "character_id: missing"),
        ("delete-character", json!({"character_id": "x"}), "character_id"),
        ("delete-character", json!({"character_id": played.mira, "conversations": "some"}), "keep"),
        ("delete-character", json!({"character_id": played.mira, "confirm": "yes"}), "confirm"),
        ("delete-character", json!({"character_id": played.mira, "dry_run": false}), "dry_run"),
        ("delete-character", json!({"character_id": played.mira, "project_id": played.project}), "only"),
        ("delete-project", json!({"character_id": played.mira}), "project_id: missing"),
    ] {
        let (status, error) = ask(name, body.clone());
        assert!(status == 400 && error.contains(word), "{name} {body}: {status} {error}");
    }
    assert_eq!(rows(server, &played.ada.1, "characters?select=id"), json!([{"id": played.mira}]));
}

#[test]
fn a_row_that_goes_takes_nothing_of_strangers_along_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    let (ada, ada_token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let mira = json!({"user_id": ada, "name": "Mira", "description": "keeps a light", "is_public": true});
    let mira = made(&server, &ada_token, "characters", mira);
    // His conversation is with no character by now; a scene and a picture are left from when it was with her.
    let chat = made(&server, &bob_token, "conversations", json!({"user_id": bob, "title": "Talk"}));
    let scene = json!({"conversation_id": chat, "character_id": mira, "scene_prompt": "at sea"});
    let scene = made(&server, &server.service, "character_scenes", scene);
    let kept = made(&server, &bob_token, "user_library", kept_picture(&bob, &mira, "a.png"));
    let (status, answer) =
        server.call("DELETE", &format!("/rest/v1/characters?id=eq.{mira}"), &ada_token, None);
    assert_eq!(status, 200, "{answer}");
    let left = rows(&server, &bob_token, "character_scenes?select=id,character_id");
    assert_eq!(left, json!([{"id": scene, "character_id": null}]));
    let left = rows(&server, &bob_token, "user_library?select=id,character_id");
    assert_eq!(left, json!([{"id": kept, "character_id": null}]));
    assert_eq!(server.check()["faults"], 0);
}

#[test]
fn a_picture_stays_while_a_scene_or_a_conversation_shows_it_whether_the_server_or_a_client_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, token) = server.sign_up("ada@example.com");
    let (bob, bob_token) = server.sign_up("bob@example.com");
    let mira = json!({"user_id": ada, "name": "Mira", "description": "keeps a light", "is_public": false});
    let mira = made(&server, &token, "characters", mira);
    let chat = made(&server, &token, "conversations", json!({"user_id": ada, "title": "Talk"}));
    let jobs: Vec<String> = (0..4).map(|_| queue(&server, &token, &picture("a dot"))).collect();
    let assets: Vec<Json> = jobs
        .iter()
        .map(|job| {
            let row = wait_for(&server, &token, job, &["completed", "failed"]);
            assert_eq!(row["status"], "completed", "{row}");
            rows(&server, &token, &format!("workspace_assets?job_id=eq.{job}"))[0].clone()
        })
        .collect();
    let path = |asset: usize| assets[asset]["temp_storage_path"].as_str().expect("a path").to_string();
    // Written by a client: no job is named, and the bucket stands before the path or not.
    let scene = json!({"character_id": mira, "scene_prompt": "x", "image_url": format!("workspace-temp/{}", path(0))});
    made(&server, &token, "character_scenes", scene);
    let scene =
        json!({"character_id": mira, "conversation_id": chat, "scene_prompt": "x", "image_url": path(1)});
    made(&server, &token, "character_scenes", scene);
    let shown = json!({"last_scene_image": path(2)});
    let of_chat = format!("/rest/v1/conversations?id=eq.{chat}");
    assert_eq!(server.call("PATCH", &of_chat, &token, Some(&shown)).0, 200);
    // A stranger's rows that name her file, as earlier versions took them, keep nothing.
    let operator = &server.service;
    let his = json!({"user_id": bob, "name": "Bo", "description": "x", "is_public": false});
    let his = made(&server, &bob_token, "characters", his);
    made(
        &server,
        operator,
        "character_scenes",
        json!({"character_id": his, "scene_prompt": "x", "image_url": path(3)}),
    );
    let talk = json!({"user_id": bob, "title": "Talk", "last_scene_image": path(3)});
    made(&server, operator, "conversations", talk);

    // Their time is over, and then they are thrown away.
    let over = json!({"expires_at": "2020-01-01T00:00:00Z"});
    let of_ada = format!("/rest/v1/workspace_assets?user_id=eq.{ada}");
    assert_eq!(server.call("PATCH", &of_ada, &server.service, Some(&over)).0, 200);
    let swept = server.call(
        "POST",
        "/rest/v1/rpc/cleanup_expired_workspace_assets",
        &server.service,
        Some(&json!({})),
    );
    assert_eq!(swept, (200, json!(1)), "the one that nothing shows");
    let there = |asset: usize| {
        files::get(&server, &token, &format!("/object/workspace-temp/{}", path(asset))).status == 200
    };
    assert_eq!([0, 1, 2, 3].map(there), [true, true, true, false]);
    for asset in &assets[..3] {
        let body = json!({"action": "discard_asset", "assetId": asset["id"]});
        assert_eq!(ask(&server, &token, "workspace-actions", body).0, 200);
    }
    assert_eq!([0, 1, 2].map(there), [true, true, true]);
    assert_eq!(server.check()["faults"], 0);
}
