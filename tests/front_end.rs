//! What an existing front end of this dialect asks, and how it reads the answers.

mod common;
mod model_server;
mod talk;

use std::path::Path;
use std::time::Duration;

use common::Server;
use common::files;
use common::jobs::{one, queue, wait_for};
use model_server::ModelServer;
use serde_json::{Value as Json, json};
use talk::{character, conversation, invoke, until};

/// Starts with two models that draw nothing to look at, but quickly.
fn start(data: &Path, environment: &[(&str, &str)]) -> Server {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sd15-tiny");
    for name in ["tiny", "other"] {
        copy(&fixture, &data.join("models").join(name));
    }
    let mut all = vec![("PLAYHOUSE_IMAGE_MODEL", "tiny")];
    all.extend_from_slice(environment);
    Server::start(data, &all)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a file")),
        }
    }
}

/// The row of a picture model of this server; its id and its name.
fn row_of(server: &Server, key: &str) -> (String, String) {
    let path = format!("/rest/v1/api_models?model_key=eq.{key}&modality=eq.image");
    let row = one(server, &server.service, &path);
    let text = |name: &str| row[name].as_str().expect("a text").to_string();
    (text("id"), text("display_name"))
}

/// Adds a model that draws elsewhere; its id.
fn elsewhere(server: &Server) -> String {
    let provider = json!({"name": "far away", "display_name": "Far away"});
    let (_, rows) = server.call("POST", "/rest/v1/api_providers", &server.service, Some(&provider));
    let row = json!({"provider_id": rows[0]["id"], "model_key": "far", "display_name": "Far",
        "modality": "image", "tasks": ["t2i"]});
    let (status, rows) = server.call("POST", "/rest/v1/api_models", &server.service, Some(&row));
    assert_eq!(status, 201, "{rows}");
    rows[0]["id"].as_str().expect("an id").to_string()
}

#[test]
fn a_model_of_the_catalogue_draws_by_whatever_name_it_is_selected() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    let (user, token) = server.sign_up("ada@example.com");
    until("the models are listed", || {
        let path = "/rest/v1/api_models?model_key=eq.other&modality=eq.image";
        one(&server, &server.service, path)["id"].is_string()
    });
    let (id, name) = row_of(&server, "other");
    let elsewhere = elsewhere(&server);
    let model_of = |job: &str| {
        let job = wait_for(&server, &token, job, &["completed"]);
        let asset = one(
            &server,
            &token,
            &format!("/rest/v1/workspace_assets?job_id=eq.{}", job["id"].as_str().expect("an id")),
        );
        asset["model_used"].as_str().expect("a name").to_string()
    };
    let picture = |changes: Json| {
        let mut body = json!({"job_type": "image_fast", "prompt": "a hat", "steps": 1});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    for (changes, model) in [
        (json!({}), "tiny"),
        (json!({"model_key": "other"}), "other"),
        (json!({"model_id": id}), "other"),
        (json!({"apiModelId": id}), "other"),
        (json!({"metadata": {"model_id": id}}), "other"),
        (json!({"metadata": {"apiModelId": name, "model_key": "tiny"}}), "other"),
        (json!({"model": "tiny", "model_key": "other"}), "tiny"),
    ] {
        let job = queue(&server, &token, &picture(changes.clone()));
        assert_eq!(model_of(&job), model, "{changes}");
    }
    let (status, answer) = invoke(&server, &token, "queue-job", picture(json!({"apiModelId": elsewhere})));
    let said = answer["warnings"][0].as_str().unwrap_or_default();
    assert!(status == 200 && said.starts_with("apiModelId: ") && said.contains("default"), "{answer}");
    let mira = character(&server, &user, &token, json!({}));
    for field in ["apiModelId", "modelId", "model_key"] {
        let named = if field == "model_key" { "other" } else { id.as_str() };
        let (status, answer) =
            invoke(&server, &token, "character-portrait", json!({"characterId": mira, field: named}));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(model_of(answer["jobId"].as_str().expect("an id")), "other", "{field}");
    }
}

#[test]
fn a_video_of_five_seconds_takes_five_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    let (_, token) = server.sign_up("ada@example.com");
    let video = |changes: Json| {
        let mut body =
            json!({"job_type": "video_fast", "prompt": "a hat", "steps": 1, "width": 16, "height": 16});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let job = queue(&server, &token, &video(json!({"metadata": {"duration": 5}})));
    wait_for(&server, &token, &job, &["completed"]);
    let asset = one(&server, &token, &format!("/rest/v1/workspace_assets?job_id=eq.{job}"));
    assert_eq!(
        (asset["duration_seconds"].as_f64(), &asset["asset_type"]),
        (Some(5.0), &json!("video")),
        "{asset}"
    );
    let (status, refused) = invoke(&server, &token, "queue-job", video(json!({"duration": 9000})));
    let said = refused["error"].as_str().unwrap_or_default();
    assert!(status == 400 && said.starts_with("duration: 9000 is not within"), "{refused}");
    let (status, answer) =
        invoke(&server, &token, "queue-job", video(json!({"duration_seconds": 5, "num_frames": 2})));
    let said = answer["warnings"][0].as_str().unwrap_or_default();
    assert!(status == 200 && said.starts_with("duration_seconds: "), "{answer}");
}

#[test]
fn a_scene_template_opens_a_conversation_and_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = start(&data, &[]);
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let mira = character(&server, &id, &token, json!({}));
    let body = json!({"conversation_id": null, "character_id": mira, "memory_tier": "conversation",
        "content_tier": "sfw", "scene_generation": true, "scene_name": "The pier",
        "scene_description": "Fog over a wooden pier", "scene_starters": ["You came."]});
    let (status, answer) = invoke(&server, &token, "roleplay-chat", body);
    assert_eq!((status, &answer["scene_generating_async"]), (200, &json!(true)), "{answer}");
    let chat = answer["conversation_id"].as_str().expect("a conversation");
    // After a reload the picture is found by the message that it belongs to.
    let path = format!(
        "/rest/v1/character_scenes?conversation_id=eq.{chat}\
         &select=image_url,scene_prompt,message_id:generation_metadata->>message_id"
    );
    let scene = || one(&server, &token, &path);
    until("the scene is drawn", || scene()["image_url"].is_string());
    assert_eq!(scene()["message_id"], answer["message_id"], "{answer}");
    let prompt = scene()["scene_prompt"].clone();
    assert!(prompt.as_str().is_some_and(|text| text.contains("Fog over a wooden pier")), "{prompt}");
    // A picture named by its signed address is taken like its path.
    let stored = scene()["image_url"].clone();
    let (bucket, key) = stored.as_str().and_then(|path| path.split_once('/')).expect("bucket and path");
    let (_, signed) = server.call(
        "POST",
        &format!("/storage/v1/object/sign/{bucket}/{key}"),
        &token,
        Some(&json!({"expiresIn": 600})),
    );
    let signed = format!("{}/storage/v1{}", server.url, signed["signedURL"].as_str().expect("an address"));
    let body = json!({"conversation_id": chat, "character_id": mira, "message": "On!", "content_tier": "sfw",
        "memory_tier": "conversation", "scene_generation": true, "current_scene_image_url": signed,
        "scene_prompt_override": "the pier at night"});
    assert_eq!(invoke(&server, &token, "roleplay-chat", body).0, 200);
    let path = format!("/rest/v1/character_scenes?conversation_id=eq.{chat}&order=created_at.desc");
    until("the next scene begins", || one(&server, &token, &path)["scene_prompt"] == "the pier at night");
    let next = one(&server, &token, &path);
    assert_eq!(
        (&next["generation_mode"], &next["previous_scene_image_url"]),
        (&json!("modification"), &stored)
    );
}

#[test]
fn a_stored_address_opens_for_those_who_may_see_its_character() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(folder.path(), &[]);
    let (id, token) = server.sign_up("ada@example.com");
    let (bob, bobs) = server.sign_up("bob@example.com");
    let mira = character(&server, &id, &token, json!({}));
    let (status, portrait) = invoke(&server, &token, "character-portrait", json!({"characterId": mira}));
    assert_eq!(status, 200, "{portrait}");
    let (status, other) = invoke(&server, &token, "character-portrait", json!({"characterId": mira}));
    assert_eq!(status, 200, "{other}");
    let path = format!("/rest/v1/characters?id=eq.{mira}");
    let stored = one(&server, &token, &path)["image_url"].as_str().expect("a path").to_string();
    assert!(stored.starts_with(&format!("user-library/{id}/portraits/")), "{stored}");
    let key = stored.strip_prefix("user-library/").expect("a path").to_string();
    let sign = |token: &str, key: &str| {
        let path = format!("/storage/v1/object/sign/user-library/{key}");
        let (status, signed) = server.call("POST", &path, token, Some(&json!({"expiresIn": 600})));
        (status == 200).then(|| signed["signedURL"].as_str().expect("an address").to_string())
    };
    // What stands in the row is signed as it stands, although the bucket is named twice by that.
    for key in [key.as_str(), stored.as_str()] {
        let address = sign(&token, key).expect("signed");
        let opened = files::ask(&server, "GET", &address, &[], b"");
        assert_eq!((opened.status, opened.header("content-type")), (200, "image/png"), "{address}");
    }
    let several = json!({"expiresIn": 600, "paths": [stored, "nothing"]});
    let (_, signed) = server.call("POST", "/storage/v1/object/sign/user-library", &token, Some(&several));
    assert_eq!(signed[0]["path"], json!(stored), "{signed}");
    let address = signed[0]["signedURL"].as_str().expect("an address");
    assert_eq!(files::ask(&server, "GET", address, &[], b"").status, 200);
    assert!(signed[1]["signedURL"].is_null(), "{signed}");

    // Others see it while they see the character, and no other file of its account: the row names the newest portrait.
    assert_eq!(other["storagePath"], json!(key));
    let elsewhere = portrait["storagePath"].as_str().expect("a path");
    assert_ne!(elsewhere, key);
    assert_eq!(sign(&bobs, &key), None);
    let public = |value: bool| {
        assert_eq!(server.call("PATCH", &path, &token, Some(&json!({"is_public": value}))).0, 200);
    };
    public(true);
    assert!(sign(&bobs, &key).is_some() && sign(&bobs, &stored).is_some());
    assert_eq!(files::get(&server, &bobs, &format!("/object/authenticated/user-library/{key}")).status, 200);
    assert_eq!(sign(&bobs, elsewhere), None);
    public(false);
    assert_eq!(sign(&bobs, &key), None);
    // A character of one's own that names the file opens nothing.
    let row = json!({"is_public": true, "image_url": stored});
    let claimed = json!({"user_id": bob, "name": "Thief", "description": "d", "is_public": true, "image_url": row["image_url"]});
    server.call("POST", "/rest/v1/characters", &bobs, Some(&claimed));
    assert_eq!(sign(&bobs, &key), None);
}

#[test]
fn answers_have_the_shapes_that_screens_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = ModelServer::start(Duration::ZERO, 4);
    let server = Server::start(folder.path(), &[("PLAYHOUSE_LOCAL_WORKER", "false")]);
    model.become_default(&server);
    let (id, token) = server.sign_up("ada@example.com");
    let chat = conversation(&server, &id, &token);
    let ask = |name: &str, body: Json| {
        let (status, answer) = invoke(&server, &token, name, body);
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    };
    // A model that there is not is stood in for, and the answer says so.
    let body = json!({"conversation_id": chat, "message": "Hello", "model_variant": "gone/model"});
    let answer = ask("playground-chat", body);
    assert_eq!(
        (&answer["usedFallback"], &answer["model_used"]),
        (&json!(true), &json!("test:slow")),
        "{answer}"
    );
    assert!(
        answer["warnings"][0].as_str().is_some_and(|said| said.starts_with("model_variant: ")),
        "{answer}"
    );
    assert_eq!(answer["content"], answer["response"]);
    assert!(answer["generation_time"].as_f64().is_some_and(|seconds| seconds < 120.0), "{answer}");

    let plan = json!({"action": "story_plan", "projectDescription": "A storm passes.", "targetDuration": 12});
    let answer = ask("storyboard-ai-assist", plan);
    let seconds: Vec<Json> = answer["storyBeats"]
        .as_array()
        .expect("beats")
        .iter()
        .map(|beat| beat["suggestedDuration"].clone())
        .collect();
    assert_eq!(seconds, [json!(5.0), json!(5.0), json!(2.0)], "{answer}");
    model.say(
        r#"{"prompts": [{"prompt": "Waves rise.", "intensity": "dramatic", "description": "The storm comes."}, "Rain."]}"#,
    );
    let answer =
        ask("storyboard-ai-assist", json!({"action": "suggest_prompts", "sceneDescription": "a pier"}));
    let expected = json!([
        {"prompt": "Waves rise.", "intensity": "dramatic", "description": "The storm comes."},
        {"prompt": "Rain.", "intensity": "moderate", "description": "Rain."},
    ]);
    assert_eq!(answer["prompts"], expected);
    let answer = ask("storyboard-ai-assist", json!({"action": "recommend_clip_type", "position": "last"}));
    assert_eq!(answer["recommended"], "quick", "{answer}");
    assert!(
        answer["alternatives"][0]["type"].is_string() && answer["alternatives"][0]["description"].is_string()
    );

    model.say(r#"{"suggestedBackstory": ["Born at sea."], "suggestedPersona": "A quiet keeper."}"#);
    let answer = ask("character-suggestions", json!({"type": "backstory", "characterName": "Mira"}));
    assert_eq!(answer["suggestions"]["suggestedPersona"], "A quiet keeper.", "{answer}");
    model.say(r#"{"description": "A woman.", "traits": ["calm", "stubborn"], "appearance_tags": ["tall"]}"#);
    let answer = ask("describe-image", json!({"imageUrl": "data:image/png;base64,iVBORw0KGgo="}));
    assert_eq!(answer["data"]["traits"], "calm, stubborn", "{answer}");

    // Rows of a storyboard begin with a state, whether or not the client names one.
    let insert = |table: &str, row: Json| {
        let (status, rows) = server.call("POST", &format!("/rest/v1/{table}"), &token, Some(&row));
        assert_eq!(status, 201, "{table}: {rows}");
        rows[0].clone()
    };
    let project = insert("storyboard_projects", json!({"user_id": id, "title": "The storm"}));
    let scene = insert("storyboard_scenes", json!({"project_id": project["id"], "scene_order": 0}));
    let clip = insert("storyboard_clips", json!({"scene_id": scene["id"], "prompt": "waves"}));
    let render = insert("storyboard_renders", json!({"project_id": project["id"]}));
    let states = [project, scene, clip, render].map(|row| row["status"].clone());
    assert_eq!(states, ["draft", "planned", "pending", "queued"].map(|state| json!(state)));
    // Everybody who makes one finds the movements that the server brings along.
    let path = "/rest/v1/motion_presets?is_builtin=eq.true&select=name,category,description";
    let (_, motions) = server.call("GET", path, &token, None);
    assert_eq!(motions.as_array().map(Vec::len), Some(10), "{motions}");
}
