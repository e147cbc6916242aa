//! Looks of characters that a story suggests.

use serde_json::json;

use crate::common::Server;
use crate::rules::Stage;
use crate::{Account, id};

#[test]
fn a_story_suggests_looks_that_are_drawn_and_start_inactive() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]);
    let stage = Stage::new(&server);
    let ada = &stage.ada;
    let text = json!({"source_text": "Mira waits at the tower. She pulls her red coat close. She cried."});
    assert_eq!(ada.patch(&format!("scenes?id=eq.{}", stage.scene), &text).0, 200);
    let mira = ada.made(
        &format!("/v1/stories/{}/characters", stage.story),
        &json!({"name": "Mira", "description": "a keeper"}),
    );
    let path =
        format!("/v1/stories/{}/characters/{}/variant-suggestions", stage.story, id(&mira, "character_id"));
    assert_eq!(ada.get(&path).1, json!([]));
    let found = ada.made(&format!("{path}/refresh"), &json!({}));
    let found = found.as_array().expect("a list");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(
        (&found[0]["variant_type"], &found[0]["override_attributes"]["outfit"]),
        (&json!("outfit_change"), &json!("red coat"))
    );
    let again = ada.made(&format!("{path}/refresh"), &json!({}));
    assert_eq!(again.as_array().map(Vec::len), Some(2), "they give way to the new ones");
    let one = id(&again[0], "suggestion_id");
    let drawn = ada.made(&format!("{path}/generate"), &json!({"suggestion_id": one}));
    let look = &drawn[0];
    assert_eq!(
        (&look["is_active_for_story"], &look["variant_name"], &look["override_attributes"]["scene_ids"]),
        (&json!(false), &json!("red coat"), &json!([stage.scene]))
    );
    assert_eq!(ada.get(&path).1.as_array().map(Vec::len), Some(1), "the look took its place");
    assert_eq!(ada.post(&format!("{path}/generate"), &json!({"suggestion_id": one})).0, 404);
    // A look that is mapped to a scene is what the scene is drawn with.
    let body = json!({"offline": true, "enforce_qc": false, "panel_count": 1});
    let render = ada.made(&format!("/v1/scenes/{}/render", stage.scene), &body);
    let (_, spec) = ada.get(&format!("/v1/artifacts/{}", id(&render, "render_spec")));
    let refs = ada.get(&format!("/v1/characters/{}/refs", id(&mira, "character_id"))).1;
    assert_eq!(spec["payload"]["panels"][0]["reference_image_url"], refs[0]["image_url"]);
    let bob = Account::new(&server, "bob@example.com");
    assert_eq!(bob.get(&path).0, 404);
    assert_eq!(bob.post(&format!("{path}/refresh"), &json!({})).0, 404);
    let other = ada.made(&format!("/v1/projects/{}/stories", stage.project), &json!({"title": "Another"}));
    let elsewhere = format!(
        "/v1/stories/{}/characters/{}/variant-suggestions",
        id(&other, "story_id"),
        id(&mira, "character_id")
    );
    assert_eq!(ada.get(&elsewhere).0, 404, "she is not in that story");
}
