//! A project out as one file, and in again.

use std::io::{Cursor, Read, Write};

use serde_json::{Value as Json, json};

use crate::common::{Server, files};
use crate::drawn::{fetched, render, row, scene, story};
use crate::{Account, id};

/// What belongs to a project, without ids and places.
fn shape(account: &Account<'_>, project: &str) -> Json {
    let get = |path: String| {
        let (status, rows) = account.get(&path);
        assert_eq!(status, 200, "{path}: {rows}");
        rows
    };
    let story = get(format!("/rest/v1/stories?project_id=eq.{project}"))[0].clone();
    let scenes = get(format!("/rest/v1/scenes?story_id=eq.{}&order=created_at", id(&story, "id")));
    let scenes_shown: Vec<Json> = scenes
        .as_array()
        .expect("scenes")
        .iter()
        .map(|scene| {
            let of = id(scene, "id");
            let artifacts = get(format!("/rest/v1/artifacts?scene_id=eq.{of}&order=version"));
            let artifacts: Vec<Json> = artifacts
                .as_array()
                .expect("artifacts")
                .iter()
                .map(|artifact| {
                    let path = artifact["payload"]["image_url"].as_str().expect("a picture");
                    let picture = files::get(account.server, &account.token, &format!("/object/{path}"));
                    assert_eq!(picture.status, 200, "{path}");
                    let is_selected = scene["selected_render_artifact_id"] == artifact["id"];
                    json!([
                        artifact["version"],
                        artifact["payload"]["approved"],
                        picture.bytes.len(),
                        is_selected
                    ])
                })
                .collect();
            let dialogue = get(format!("/rest/v1/dialogue_layers?scene_id=eq.{of}"));
            json!([
                scene["source_text"],
                scene["scene_importance"],
                artifacts,
                dialogue[0]["bubbles"][0]["text"]
            ])
        })
        .collect();
    let episode = get(format!("/rest/v1/episodes?story_id=eq.{}", id(&story, "id")))[0].clone();
    let order =
        get(format!("/rest/v1/episode_scenes?episode_id=eq.{}&order=order_index", id(&episode, "id")));
    let order: Vec<Json> = order
        .as_array()
        .expect("an order")
        .iter()
        .map(|listed| {
            let place =
                scenes.as_array().expect("scenes").iter().position(|scene| scene["id"] == listed["scene_id"]);
            json!([listed["order_index"], place])
        })
        .collect();
    json!([story["title"], scenes_shown, episode["title"], order])
}

#[test]
fn a_project_comes_out_as_one_file_and_in_again_without_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let tale = story(&ada);
    let scenes: Vec<String> =
        ["One.", "Two."].iter().map(|text| scene(&ada, &tale.story, text, "climax")).collect();
    let first = render(&ada, &scenes[0], [200, 30, 30], 1, true);
    render(&ada, &scenes[0], [30, 200, 30], 2, false);
    render(&ada, &scenes[1], [30, 30, 200], 1, false);
    let selected = json!({"selected_render_artifact_id": first});
    let path = format!("/rest/v1/scenes?id=eq.{}", scenes[0]);
    assert_eq!(server.call("PATCH", &path, &ada.token, Some(&selected)).0, 200);
    let bubble =
        json!({"panel_id": 1, "text": "Hm", "position": {"x": 0.1, "y": 0.1}, "size": {"w": 0.4, "h": 0.2}});
    for scene in &scenes {
        ada.made(&format!("/v1/scenes/{scene}/dialogue"), &json!({"bubbles": [bubble]}));
    }
    let made = ada.made(&format!("/v1/stories/{}/episodes", tale.story), &json!({"title": "Salt"}));
    let list = format!("/v1/episodes/{}/scenes", id(&made, "episode_id"));
    ada.made(&list, &json!({"scene_ids": [scenes[1], scenes[0]]}));
    let bundle = format!("/v1/projects/{}/bundle", tale.project);
    assert_eq!(bob.post(&bundle, &json!({})).0, 404);
    let made = ada.made(&bundle, &json!({}));
    assert_eq!(made["manifest"]["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(made["manifest"]["provenance"].as_array().map(Vec::len), Some(3));
    let bytes = fetched(&id(&made, "download_url"));
    // Bob takes it in, from a file of his own.
    let import = |bytes: &[u8]| {
        let place = format!("exports/{}/in.zip", bob.user);
        let headers = [
            ("authorization", files::bearer(&bob.token)),
            ("content-type", "application/zip".into()),
            ("x-upsert", "true".into()),
        ];
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value): &(&str, String)| (*name, value.as_str())).collect();
        let put = files::ask(&server, "POST", &format!("/object/{place}"), &headers, bytes);
        assert_eq!(put.status, 200, "{}", put.text());
        bob.post("/v1/projects/import", &json!({"file": place}))
    };
    let (status, answer) = bob.post("/v1/projects/import", &json!({"file": made["file"]}));
    assert_eq!(status, 422, "another account's file: {answer}");
    let (status, answer) = import(&changed(&bytes));
    assert_eq!(status, 422, "{answer}");
    assert!(answer["detail"][0]["msg"].as_str().is_some_and(|it| it.contains("is damaged")), "{answer}");
    assert_eq!(import(b"no archive").0, 422);
    assert_eq!(bob.get("/v1/projects").1, json!([]), "what is refused writes nothing");
    let (status, answer) = import(&bytes);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["warnings"], json!([]));
    let project = id(&answer, "project_id");
    assert_ne!(project, tale.project);
    assert_eq!(shape(&bob, &project), shape(&ada, &tale.project));
    assert_eq!(server.check()["faults"], 0);
}

/// Rows without what is new in another project: ids, times, owners and places.
fn plain(rows: &Json, columns: &[&str]) -> Vec<Json> {
    let rows = rows.as_array().expect("rows").iter();
    let mut found: Vec<Json> =
        rows.map(|row| columns.iter().map(|column| row[*column].clone()).collect()).collect();
    found.sort_by_key(Json::to_string);
    found
}

#[test]
fn suggestions_progress_default_looks_and_provenance_come_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let ada = Account::new(&server, "ada@example.com");
    let tale = story(&ada);
    let text =
        "Mira waits at the tower. She pulls her red coat close. \"Is he back?\" asks Mira. The wind turns.";
    let built = json!({"source_text": text, "max_scenes": 1, "planning_mode": "full", "offline": true});
    let made = ada.made(&format!("/v1/stories/{}/generate/blueprint", tale.story), &built);
    let (scene, mira) = (id(&made["scenes"][0], "scene_id"), id(&made["characters"][0], "character_id"));
    ada.made(&format!("/v1/scenes/{scene}/render"), &json!({"offline": true, "enforce_qc": false}));
    ada.made(
        &format!("/v1/stories/{}/characters/{mira}/variant-suggestions/refresh", tale.story),
        &json!({}),
    );
    let look = json!({"character_id": mira, "variant_name": "Default", "is_default": true});
    row(&ada, "character_variants", &look);
    let made = ada.made(&format!("/v1/projects/{}/bundle", tale.project), &json!({}));
    let drawn = &made["manifest"]["provenance"][0];
    let panels = drawn["panels"].as_array().expect("panels");
    assert!(!panels.is_empty() && drawn["file"].is_string(), "{drawn}");
    for panel in panels {
        assert!(panel["seed"].is_u64() && panel["model"].is_string() && panel["file"].is_string(), "{panel}");
        assert!(panel["made_from"]["style"].is_string(), "{panel}");
    }
    let taken = ada.made("/v1/projects/import", &json!({"file": made["file"]}));
    assert_eq!(taken["warnings"], json!([]));
    let project = id(&taken, "project_id");
    let get = |path: String| {
        let (status, rows) = ada.get(&format!("/rest/v1/{path}"));
        assert_eq!(status, 200, "{path}: {rows}");
        rows
    };
    let of = |project: &str| {
        let story = get(format!("stories?project_id=eq.{project}"));
        let story_id = id(&story[0], "id");
        let scenes = get(format!("scenes?story_id=eq.{story_id}"));
        let characters = get(format!("characters?project_id=eq.{project}&order=created_at"));
        let artifacts = get(format!("artifacts?scene_id=eq.{}", id(&scenes[0], "id")));
        let result = artifacts.as_array().expect("rows").iter().find(|it| it["type"] == "render_result");
        let payload = result.expect("a render")["payload"].clone();
        let images = get(format!("images?id=eq.{}", id(&payload, "image_id")));
        let panel = get(format!("images?id=eq.{}", id(&payload["panels"][0], "image_id")));
        let mut variants = Vec::new();
        let mut suggestions = Vec::new();
        for character in characters.as_array().expect("rows") {
            let of = id(character, "id");
            variants.extend(plain(
                &get(format!("character_variants?character_id=eq.{of}")),
                &["variant_name", "is_default"],
            ));
            suggestions.extend(plain(
                &get(format!("character_variant_suggestions?character_id=eq.{of}")),
                &["variant_type"],
            ));
        }
        json!([
            plain(
                &story,
                &["title", "generation_status", "generation_error", "progress", "progress_updated_at"]
            ),
            plain(&artifacts, &["type", "version"]),
            variants,
            suggestions,
            plain(&images, &["generation_mode", "status"]),
            plain(&panel, &["generation_mode", "seed", "prompt"]),
        ])
    };
    let here = of(&tale.project);
    assert_eq!(here[0][0][1], "completed");
    assert!(!here[3].as_array().expect("suggestions").is_empty(), "{here}");
    assert_eq!(of(&project), here);
}

/// The bundle with a picture that is not what the manifest says.
fn changed(bytes: &[u8]) -> Vec<u8> {
    let mut from = zip::ZipArchive::new(Cursor::new(bytes)).expect("a ZIP");
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for place in 0..from.len() {
        let mut file = from.by_index(place).expect("a file");
        let name = file.name().expect("a name").to_string();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("read");
        if name.starts_with("files/") {
            bytes.push(0);
        }
        to.start_file(name, zip::write::SimpleFileOptions::DEFAULT).expect("begun");
        to.write_all(&bytes).expect("written");
    }
    to.finish().expect("an archive").into_inner()
}
