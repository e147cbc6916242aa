//! Dialogue, layers and episodes through `/v1`.

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::drawn::{row, scene, story};
use crate::{Account, id};

fn bubble(text: &str) -> Json {
    json!({"panel_id": 1, "text": text, "position": {"x": 0.1, "y": 0.1}, "size": {"w": 0.4, "h": 0.2}})
}

/// The bubble with a member changed.
fn with(member: &str, value: Json) -> Json {
    let mut bubble = bubble("Hm");
    bubble[member] = value;
    bubble
}

#[test]
fn a_scene_has_one_dialogue_layer_whose_bubbles_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let tale = story(&ada);
    let scene = scene(
        &ada,
        &tale.story,
        "Mira says \"Who goes there?\" and waits. \"Only the tide,\" says Tock.",
        "build",
    );
    let path = format!("/v1/scenes/{scene}/dialogue");
    assert_eq!(ada.get(&path).0, 404);
    for (bubble, field) in [
        (with("position", json!({"x": 1.2, "y": 0.0})), "position.x"),
        (with("position", json!({"x": 0.0, "y": -0.1})), "position.y"),
        (with("size", json!({"w": 0.0, "h": 0.2})), "size.w"),
        (with("size", json!({"w": 0.2, "h": 1.5})), "size.h"),
        (with("tail", json!({"x": 2, "y": 0})), "tail.x"),
        (with("panel_id", json!(0)), "panel_id"),
        (with("panel_id", json!("one")), "panel_id"),
        (with("text", json!("")), "text"),
        (with("bubble_type", json!("shout")), "bubble_type"),
        (with("speaker", json!("x".repeat(256))), "speaker"),
        (with("bubble_id", json!("7")), "bubble_id"),
        (json!({"panel_id": 1}), ""),
    ] {
        let (status, answer) = ada.post(&path, &json!({"bubbles": [bubble]}));
        assert_eq!(status, 422, "{field}: {answer}");
        let location = answer["detail"][0]["loc"].as_array().expect("a place").clone();
        let location: Vec<&str> = location.iter().filter_map(Json::as_str).collect();
        assert!(location.join(".").ends_with(field), "{field}: {answer}");
    }
    assert_eq!(ada.get(&path).0, 404, "nothing was written");
    let tailed = json!({"bubbles": [bubble("Hm"), with("tail", json!({"x": 0.5, "y": 0.5}))]});
    let made = ada.made(&path, &tailed);
    assert_eq!(made["scene_id"], json!(scene));
    assert_eq!(made["bubbles"][0]["bubble_type"], "chat");
    assert!(made["bubbles"][1]["bubble_id"].is_string());
    let (status, again) = ada.post(&path, &json!({"bubbles": []}));
    assert_eq!(status, 400, "a second layer: {again}");
    assert!(again["detail"].as_str().is_some_and(|detail| detail.contains("already")), "{again}");
    let dialogue = format!("/v1/dialogue/{}", id(&made, "dialogue_id"));
    let put = |account: &Account<'_>, body: &Json| {
        account.server.call("PUT", &dialogue, &account.token, Some(body))
    };
    let (status, replaced) = put(&ada, &json!({"bubbles": []}));
    assert_eq!((status, &replaced["bubbles"]), (200, &json!([])), "an empty list is allowed");
    assert_eq!(ada.get(&path).1["bubbles"], json!([]));
    // Another account finds none of it.
    assert_eq!(bob.get(&path).0, 404);
    assert_eq!(bob.post(&path, &json!({"bubbles": []})).0, 404);
    assert_eq!(put(&bob, &json!({"bubbles": []})).0, 404);
    // What the script suggests, and bubbles that are accepted as they are.
    let (status, suggested) = ada.get(&format!("{path}/suggestions"));
    assert_eq!(status, 200, "{suggested}");
    assert_eq!(suggested["source"], "source_text");
    let bubbles = suggested["bubbles"].clone();
    let said: Vec<&str> =
        bubbles.as_array().expect("bubbles").iter().filter_map(|it| it["text"].as_str()).collect();
    assert!(said.iter().any(|text| text.contains("Who goes there?")), "{said:?}");
    assert_eq!(put(&ada, &json!({"bubbles": bubbles})).0, 200);
    assert_eq!(bob.get(&format!("{path}/suggestions")).0, 404);
}

#[test]
fn layers_hold_objects_within_the_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let tale = story(&ada);
    let scene = scene(&ada, &tale.story, "Rain.", "setup");
    let path = format!("/v1/scenes/{scene}/layers");
    for (layer, status) in [
        (json!({"layer_type": "fog"}), 422),
        (json!({"layer_type": "sfx", "objects": [7]}), 422),
        (json!({"layer_type": "sfx", "objects": [{"geometry": {"x": 0, "y": 0, "w": 2, "h": 1}}]}), 422),
        (json!({"objects": []}), 422),
    ] {
        let (found, answer) = ada.post(&path, &layer);
        assert_eq!(found, status, "{layer}: {answer}");
    }
    let object = json!({"text": "DRIP", "type": "sfx", "geometry": {"x": 0.1, "y": 0.1, "w": 0.3, "h": 0.1}});
    let made = ada.made(&path, &json!({"layer_type": "sfx", "objects": [object]}));
    assert_eq!(made["objects"][0]["z_index"], 0);
    assert!(made["objects"][0]["id"].is_string());
    assert_eq!(ada.get(&path).1.as_array().map(Vec::len), Some(1));
    let layer = format!("/v1/layers/{}", id(&made, "layer_id"));
    let (status, replaced) = server.call("PUT", &layer, &ada.token, Some(&json!({"objects": []})));
    assert_eq!((status, &replaced["objects"]), (200, &json!([])));
    assert_eq!(server.call("PUT", &layer, &bob.token, Some(&json!({"objects": []}))).0, 404);
    assert_eq!(bob.get(&path).0, 404);
}

#[test]
fn an_episodes_scenes_are_replaced_as_a_whole_and_its_assets_are_pinned_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let (ada, bob) = (Account::new(&server, "ada@example.com"), Account::new(&server, "bob@example.com"));
    let tale = story(&ada);
    let scenes: Vec<String> =
        (0..4).map(|place| scene(&ada, &tale.story, &format!("Scene {place}."), "build")).collect();
    let other = ada.made(&format!("/v1/projects/{}/stories", tale.project), &json!({"title": "Another"}));
    let foreign = scene(&ada, &id(&other, "story_id"), "Elsewhere.", "build");
    let path = format!("/v1/stories/{}/episodes", tale.story);
    let (status, answer) = ada.post(&path, &json!({"title": "One", "default_image_style": "no such style"}));
    assert_eq!(status, 400, "{answer}");
    let episode = id(&ada.made(&path, &json!({"title": "One"})), "episode_id");
    let list = format!("/v1/episodes/{episode}/scenes");
    let set = |ids: &[&String]| ada.post(&list, &json!({"scene_ids": ids}));
    let order = || ada.get(&format!("/v1/episodes/{episode}")).1["scene_ids"].clone();
    let (status, answer) = set(&[&scenes[2], &scenes[0], &scenes[3]]);
    assert_eq!(status, 200, "{answer}");
    let first = json!([scenes[2], scenes[0], scenes[3]]);
    assert_eq!(order(), first);
    let strange = "6f1b2f2e-0000-4000-8000-000000000000".to_string();
    for ids in [vec![&scenes[0], &foreign], vec![&scenes[0], &scenes[0]], vec![&strange]] {
        let (status, answer) = set(&ids);
        assert_eq!(status, 400, "{answer}");
        assert_eq!(order(), first, "a refused list changes nothing");
    }
    assert_eq!(set(&[&scenes[1]]).0, 200);
    let (_, rows) = ada.get(&format!("/rest/v1/episode_scenes?episode_id=eq.{episode}"));
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "replaced as a whole: {rows}");
    assert_eq!(rows[0]["order_index"], 0);
    // Assets.
    let anchor = row(&ada, "environment_anchors", &json!({"description": "A pier", "user_id": ada.user}));
    let assets = format!("/v1/episodes/{episode}/assets");
    let pinned = json!({"asset_type": "environment", "asset_id": anchor});
    let made = ada.made(&assets, &pinned);
    assert_eq!(ada.post(&assets, &pinned).0, 400, "twice");
    assert_eq!(ada.post(&assets, &json!({"asset_type": "weather", "asset_id": anchor})).0, 422);
    assert_eq!(ada.post(&assets, &json!({"asset_type": "character", "asset_id": anchor})).0, 404);
    assert_eq!(ada.get(&assets).1.as_array().map(Vec::len), Some(1));
    assert_eq!(ada.delete(&format!("{assets}/{}", id(&made, "episode_asset_id"))).0, 204);
    assert_eq!(ada.get(&assets).1, json!([]));
    let style = format!("/v1/episodes/{episode}/set-style");
    assert_eq!(ada.post(&style, &json!({"style_id": "no such style"})).0, 400);
    assert_eq!(ada.post(&style, &json!({"style_id": "default"})).0, 200);
    // Another account finds none of it.
    for (method, path) in [("GET", format!("/v1/episodes/{episode}")), ("GET", assets), ("GET", path)] {
        assert_eq!(server.call(method, &path, &bob.token, None).0, 404, "{path}");
    }
    assert_eq!(bob.post(&list, &json!({"scene_ids": []})).0, 404);
    assert_eq!(order(), json!([scenes[1]]));
}
