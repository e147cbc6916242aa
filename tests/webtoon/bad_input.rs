//! What is refused: each with the error that the contract documents, and nothing changed.

use serde_json::{Value as Json, json};

use crate::common::Server;
use crate::rules::Stage;
use crate::{Account, id};

const NOBODY: &str = "6f1b2f2e-0000-4000-8000-000000000000";

/// Rows of every table that a call might have written.
fn counts(ada: &Account) -> Vec<usize> {
    let tables =
        ["stories", "scenes", "artifacts", "episodes", "episode_scenes", "style_presets", "dialogue_layers"];
    let mut counts: Vec<usize> =
        tables.iter().map(|table| ada.rows(&format!("{table}?select=id&limit=1000")).len()).collect();
    counts.push(ada.rows("exports?select=id").len() + ada.rows("jobs?select=id").len());
    counts
}

#[test]
fn bad_input_gets_the_documented_error_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let (ada, bob) = (&stage.ada, Account::new(&server, "bob@example.com"));
    let (story, scene, project) = (&stage.story, &stage.scene, &stage.project);
    let episode = ada.made(&format!("/v1/stories/{story}/episodes"), &json!({"title": "One"}));
    let episode = id(&episode, "episode_id");
    ada.made(&format!("/v1/episodes/{episode}/scenes"), &json!({"scene_ids": [scene]}));
    let style = |name: &str, parent: Option<&str>| {
        let body = json!({"project_id": project, "style_type": "image", "name": name, "label": name, "parent_id": parent});
        id(&ada.made("/v1/style-presets", &body), "preset_id")
    };
    let first = style("first", None);
    let second = style("second", Some(&first));
    let before = counts(ada);
    let blueprint = format!("/v1/stories/{story}/generate/blueprint");
    let bubble = |x: f64| json!({"panel_id": 1, "text": "Hm", "position": {"x": x, "y": 0}, "size": {"w": 0.4, "h": 0.2}});
    let long = "x".repeat(10 << 20);
    for (what, path, body, status) in [
        ("an empty story", blueprint.clone(), json!({"source_text": " \n"}), 422),
        ("a story of 10 MB", blueprint.clone(), json!({"source_text": long}), 413),
        ("a story of 1 MB", blueprint.clone(), json!({"source_text": &long[..1 << 20]}), 422),
        ("0 scenes", blueprint.clone(), json!({"source_text": "A.", "max_scenes": 0}), 422),
        ("21 scenes", blueprint.clone(), json!({"source_text": "A.", "max_scenes": 21}), 422),
        ("a text for a number", blueprint.clone(), json!({"source_text": "A.", "max_scenes": "six"}), 422),
        ("scenes that are there", blueprint, json!({"source_text": "A."}), 400),
        (
            "an empty text in parts",
            format!("/v1/stories/{story}/scenes/auto-chunk"),
            json!({"source_text": ""}),
            422,
        ),
        (
            "21 parts",
            format!("/v1/stories/{story}/scenes/auto-chunk"),
            json!({"source_text": "A.", "max_scenes": 21}),
            422,
        ),
        ("an unknown story", format!("/v1/stories/{NOBODY}/scenes"), json!({"source_text": "A."}), 404),
        ("an unknown scene", format!("/v1/scenes/{NOBODY}/render"), json!({"offline": true}), 404),
        ("an unknown export", format!("/v1/exports/{NOBODY}/finalize"), json!({}), 404),
        ("an unknown job", format!("/v1/jobs/{NOBODY}/cancel"), json!({}), 404),
        ("no id", "/v1/scenes/seven/render".into(), json!({}), 422),
        (
            "a scene that is missing",
            format!("/v1/episodes/{episode}/scenes"),
            json!({"scene_ids": [scene, NOBODY]}),
            400,
        ),
        (
            "a scene twice",
            format!("/v1/episodes/{episode}/scenes"),
            json!({"scene_ids": [scene, scene]}),
            400,
        ),
        ("no list of scenes", format!("/v1/episodes/{episode}/scenes"), json!({}), 422),
        (
            "a bubble outside the page",
            format!("/v1/scenes/{scene}/dialogue"),
            json!({"bubbles": [bubble(1.01)]}),
            422,
        ),
        ("13 panels", format!("/v1/scenes/{scene}/plan"), json!({"panel_count": 13, "offline": true}), 422),
        ("no plan to lock", format!("/v1/scenes/{scene}/planning/lock"), json!({}), 400),
        ("nothing to approve", format!("/v1/scenes/{scene}/review/approve"), json!({}), 400),
        ("no pictures to export", format!("/v1/episodes/{episode}/export"), json!({"kind": "strip"}), 400),
        (
            "an unknown style",
            format!("/v1/scenes/{scene}/set-style"),
            json!({"image_style_override": "glitter"}),
            400,
        ),
    ] {
        let (answered, answer) = ada.post(&path, &body);
        assert_eq!(answered, status, "{what}: {answer}");
        match status {
            422 => assert!(
                answer["detail"][0]["loc"].is_array() && answer["detail"][0]["msg"].is_string(),
                "{what}: {answer}"
            ),
            400 => {
                assert!(answer["detail"].is_string() && answer["request_id"].is_string(), "{what}: {answer}")
            }
            _ => assert!(answer["detail"].is_string(), "{what}: {answer}"),
        }
    }
    // A circle of parents, and a parent of another type.
    for (what, change) in [
        ("a circle", json!({"parent_id": second})),
        ("itself", json!({"parent_id": first})),
        ("one that is not there", json!({"parent_id": NOBODY})),
    ] {
        let path = format!("/v1/style-presets/{first}");
        let (status, answer) = server.call("PATCH", &path, &ada.token, Some(&change));
        assert!(matches!(status, 400 | 404) && answer["detail"].is_string(), "{what}: {status} {answer}");
    }
    assert_eq!(ada.get(&format!("/v1/style-presets/{first}")).1["parent_id"], Json::Null);
    // What is another account's is not there.
    for (path, body) in [
        (format!("/v1/stories/{story}/generate/blueprint"), json!({"source_text": "A."})),
        (format!("/v1/scenes/{scene}/plan"), json!({"offline": true})),
        (format!("/v1/scenes/{scene}/render"), json!({"offline": true})),
        (format!("/v1/scenes/{scene}/review/approve"), json!({})),
        (format!("/v1/episodes/{episode}/scenes"), json!({"scene_ids": []})),
        (format!("/v1/episodes/{episode}/letter"), json!({})),
        (format!("/v1/episodes/{episode}/restyle"), json!({"style_id": "noir"})),
        (format!("/v1/episodes/{episode}/export"), json!({})),
        (format!("/v1/projects/{project}/bundle"), json!({})),
        (format!("/v1/style-presets/{first}/clone"), json!({"project_id": project})),
    ] {
        let (status, answer) = bob.post(&path, &body);
        assert_eq!(status, 404, "{path}: {answer}");
    }
    assert_eq!(counts(ada), before);
    assert_eq!(ada.get(&format!("/v1/episodes/{episode}")).1["scene_ids"], json!([scene]));
    assert_eq!(server.check()["faults"], 0);
}
