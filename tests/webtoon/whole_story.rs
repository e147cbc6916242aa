//! From a story's text to a finished, lettered episode strip on a fresh server, with the picture model of the program and
//! with rules in the place of a language model. The strip stays in the target folder to be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::drawn::{ended as exported, file};
use crate::graphs::{STORY, ended};
use crate::{Account, id};

/// A file that stays when the test has ended.
pub fn left_to_look_at(name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("webtoon");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), bytes).expect("a file");
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn a_story_of_six_hundred_words_becomes_a_lettered_strip() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let ada = Account::new(&server, "ada@example.com");
    let project = id(&ada.made("/v1/projects", &json!({"name": "Tides"})), "project_id");
    let story = ada.made(&format!("/v1/projects/{project}/stories"), &json!({"title": "The Lighthouse"}));
    let story = id(&story, "story_id");
    let asked = json!({
        "source_text": STORY, "max_scenes": 6, "max_characters": 3, "planning_mode": "full", "offline": true,
        "story_style": "thriller at sea",
    });
    let made = ada.made(&format!("/v1/stories/{story}/generate/blueprint"), &asked);
    let scenes: Vec<String> = list(&made["scenes"]).iter().map(|scene| id(scene, "scene_id")).collect();
    assert_eq!(scenes.len(), 6, "{made}");
    // One character, one look: a face of each, with which its pictures begin.
    let mut faces = BTreeMap::new();
    for character in list(&made["characters"]) {
        let path = format!("/v1/characters/{}/generate-refs", id(character, "character_id"));
        let drawn = ada.made(&path, &json!({"count": 1}));
        faces.insert(id(character, "name"), drawn[0]["image_url"].clone());
    }
    let jobs: Vec<String> = scenes
        .iter()
        .map(|scene| {
            let path = format!("/v1/scenes/{scene}/generate/render_async");
            let (status, job) = ada.post(&path, &json!({"offline": true}));
            assert_eq!(status, 202, "{job}");
            id(&job, "job_id")
        })
        .collect();
    let mut seeds: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let (mut panels_drawn, mut styles) = (0, BTreeSet::new());
    for (scene, job) in scenes.iter().zip(&jobs) {
        let job = ended(&ada, job);
        assert_eq!(job["status"], "succeeded", "{job}");
        let artifact =
            |name: &str| ada.get(&format!("/v1/artifacts/{}", id(&job["result"], name))).1["payload"].clone();
        let (spec, result) = (artifact("render_spec"), artifact("render_result"));
        let (_, semantics) = ada.get(&format!("/v1/scenes/{scene}/artifacts?type=panel_semantics"));
        let seen = list(&list(&semantics).last().expect("a version")["payload"]["panels"]).to_vec();
        assert_eq!(list(&result["panels"]).len(), seen.len(), "structure is exact");
        panels_drawn += seen.len();
        styles.insert(result["style_id"].as_str().unwrap_or_default().to_string());
        for (panel, seen) in list(&spec["panels"]).iter().zip(&seen) {
            let names: Vec<&str> =
                list(&seen["characters"]).iter().filter_map(|it| it["name"].as_str()).collect();
            let prompt = panel["prompt"].as_str().expect("words");
            for name in &names {
                assert!(prompt.contains(&format!("({name})")), "labels say who is where: {prompt}");
            }
            if let [only] = names.as_slice() {
                seeds.entry((*only).to_string()).or_default().insert(panel["seed"].as_u64().expect("a seed"));
                assert_eq!(panel["reference_image_url"], faces[*only], "{panel}");
            }
        }
    }
    assert!(seeds.values().all(|seeds| seeds.len() == 1), "one seed for one character: {seeds:?}");
    assert_eq!(styles.len(), 1, "one style: {styles:?}");
    assert!(panels_drawn >= 6, "{panels_drawn}");

    let episode = ada.made(&format!("/v1/stories/{story}/episodes"), &json!({"title": "The blue boat"}));
    let episode = id(&episode, "episode_id");
    ada.made(&format!("/v1/episodes/{episode}/scenes"), &json!({"scene_ids": scenes}));
    let lettered = ada.made(&format!("/v1/episodes/{episode}/letter"), &json!({}));
    assert_eq!(list(&lettered["lettered"]).len(), 6, "{lettered}");
    let bubbles: u64 = list(&lettered["lettered"]).iter().filter_map(|scene| scene["bubbles"].as_u64()).sum();
    assert!(bubbles >= 5, "{lettered}");
    let again = ada.made(&format!("/v1/episodes/{episode}/letter"), &json!({}));
    assert_eq!(
        (&again["lettered"], list(&again["kept"]).len()),
        (&json!([]), 6),
        "layers that are there stay"
    );

    let export =
        ada.made(&format!("/v1/episodes/{episode}/export"), &json!({"kind": "strip", "format": "jpeg"}));
    let export = id(&export, "export_id");
    let done =
        exported(&ada, &export, |export| matches!(export["status"].as_str(), Some("completed" | "failed")));
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["metadata"]["warnings"], json!([]), "every bubble holds its text");
    let bytes = file(&ada, &export);
    left_to_look_at("strip.jpg", &bytes);
    let strip = image::load_from_memory(&bytes).expect("a picture").to_rgb8();
    // Six pages of 9:16 and the gaps below five of them.
    let pages = 6 * (800 * 16 / 9);
    assert_eq!(strip.width(), 800);
    assert!((pages + 5 * 50..pages + 6 * 330).contains(&strip.height()), "{}", strip.height());
}
