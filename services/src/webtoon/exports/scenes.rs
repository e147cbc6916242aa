//! Scenes as an export shows them: which picture, which layers, which bubbles.

use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::super::{episodes, records};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// A scene as an export shows it.
#[derive(Clone, Debug)]
pub struct SceneShown {
    /// The scene.
    pub scene_id: Uuid,
    /// How much it matters to the story, where that is known.
    pub importance: String,
    /// The `render_result` that is shown.
    pub artifact_id: Option<Uuid>,
    /// Its picture.
    pub image_url: Option<String>,
    /// The pictures that it is composed of.
    pub panel_urls: Vec<Json>,
    /// Whether it has a dialogue layer, which may be empty.
    pub has_dialogue: bool,
    /// Bubbles, as `dialogue_layers` has them.
    pub bubbles: Vec<Json>,
    /// Layers with their objects.
    pub layers: Vec<Json>,
}

impl SceneShown {
    /// What the export's metadata say of it.
    pub fn in_manifest(&self) -> Json {
        json!({
            "scene_id": self.scene_id, "image_url": self.image_url, "artifact_id": self.artifact_id,
            "scene_importance": self.importance, "panel_urls": self.panel_urls, "bubbles": self.bubbles, "layers": self.layers,
        })
    }
}

/// The scenes of an export's row, in their order.
pub async fn of_export(context: &Context, export: &Json) -> Result<Vec<SceneShown>, ServiceError> {
    let ids = match (uuid(&export["scene_id"]), uuid(&export["episode_id"])) {
        (Some(scene), _) => vec![scene],
        (None, Some(episode)) => episodes::scene_ids(context, episode).await?,
        (None, None) => return Err(ServiceError::bad("what was exported is deleted")),
    };
    let mut shown = Vec::with_capacity(ids.len());
    for id in ids {
        shown.push(scene(context, id).await?);
    }
    Ok(shown)
}

/// A scene as it is shown now.
pub async fn scene(context: &Context, id: Uuid) -> Result<SceneShown, ServiceError> {
    let row = records::get(context, "scenes", id, "scene").await?;
    let renders = Query::all(position("artifacts"))
        .equal("scene_id", Value::Uuid(id))
        .equal("type", Value::text("render_result"))
        .order("version", true);
    let renders = records::find(context, renders).await?;
    let selected = uuid(&row["selected_render_artifact_id"]);
    let picture = chosen(selected, &renders);
    let layers = Query::all(position("layers")).equal("scene_id", Value::Uuid(id)).order("created_at", false);
    let layers = records::find(context, layers).await?;
    let dialogue = Query::all(position("dialogue_layers")).equal("scene_id", Value::Uuid(id)).limit(1);
    let dialogue = records::find(context, dialogue).await?.into_iter().next();
    let has_dialogue = dialogue.is_some();
    let bubbles = match dialogue {
        Some(row) => row["bubbles"].as_array().cloned().unwrap_or_default(),
        None => in_layers(&layers),
    };
    let kept = |layer: &Json| json!({"layer_id": layer["id"], "layer_type": layer["layer_type"], "objects": layer["objects"]});
    Ok(SceneShown {
        scene_id: id,
        importance: row["scene_importance"].as_str().unwrap_or_default().to_string(),
        artifact_id: picture.and_then(|picture| uuid(&picture["id"])),
        image_url: picture.and_then(|picture| picture["payload"]["image_url"].as_str()).map(str::to_string),
        panel_urls: picture.map(panel_urls).unwrap_or_default(),
        has_dialogue,
        bubbles,
        layers: layers.iter().map(kept).collect(),
    })
}

fn panel_urls(render: &Json) -> Vec<Json> {
    let panels = render["payload"]["panels"].as_array().into_iter().flatten();
    panels.map(|panel| panel["image_url"].clone()).filter(Json::is_string).collect()
}

/// Which render is shown: the selected one, else the newest that is approved, else the newest. They come newest first;
/// one without a picture shows nothing.
fn chosen(selected: Option<Uuid>, renders: &[Json]) -> Option<&Json> {
    let has_picture = |render: &&Json| render["payload"]["image_url"].is_string();
    let is_selected = |render: &&Json| selected.is_some() && uuid(&render["id"]) == selected;
    let is_approved = |render: &&Json| render["payload"]["approved"] == Json::Bool(true);
    let with_picture = || renders.iter().filter(has_picture);
    with_picture()
        .find(is_selected)
        .or_else(|| with_picture().find(is_approved))
        .or_else(|| with_picture().next())
}

/// Bubbles of a scene that has none of its own: objects with text of its layers, from the lowest.
fn in_layers(layers: &[Json]) -> Vec<Json> {
    let mut found: Vec<(i64, Json)> = Vec::new();
    for layer in layers {
        let kind = match layer["layer_type"].as_str() {
            Some("dialogue") => "chat",
            Some("narration") => "narration",
            Some("sfx") => "sfx",
            _ => continue,
        };
        for object in layer["objects"].as_array().into_iter().flatten() {
            let (text, place) = (object["text"].as_str().unwrap_or_default(), &object["geometry"]);
            if text.trim().is_empty() || !place.is_object() {
                continue;
            }
            let kind = match object["type"].as_str() {
                Some(own @ ("chat" | "thought" | "narration" | "sfx")) => own,
                _ => kind,
            };
            let bubble = json!({
                "bubble_id": object["id"], "panel_id": object["panel_id"], "bubble_type": kind, "text": text,
                "position": {"x": place["x"], "y": place["y"]}, "size": {"w": place["w"], "h": place["h"]},
                "tail": object["tail"],
            });
            found.push((object["z_index"].as_i64().unwrap_or(0), bubble));
        }
    }
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, bubble)| bubble).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(number: u128, approved: bool, url: Option<&str>) -> Json {
        json!({"id": Uuid::from_u128(number), "payload": {"image_url": url, "approved": approved}})
    }

    #[test]
    fn the_selected_render_is_shown_before_the_approved_and_the_newest() {
        let renders = [
            render(4, false, Some("d")),
            render(3, true, Some("c")),
            render(2, true, Some("b")),
            render(1, false, Some("a")),
        ];
        let shown = |selected: Option<u128>| {
            let found = chosen(selected.map(Uuid::from_u128), &renders).expect("one");
            found["payload"]["image_url"].as_str().map(str::to_string)
        };
        assert_eq!(shown(Some(1)).as_deref(), Some("a"));
        assert_eq!(shown(None).as_deref(), Some("c"), "the newest that is approved");
        assert_eq!(shown(Some(9)).as_deref(), Some("c"), "a selection of another scene counts for nothing");
        let plain = [render(2, false, None), render(1, false, Some("a"))];
        assert_eq!(chosen(None, &plain).map(|one| &one["payload"]["image_url"]), Some(&json!("a")));
        assert_eq!(chosen(None, &[]), None);
    }

    #[test]
    fn objects_with_text_of_layers_are_bubbles_in_their_order() {
        let place = json!({"x": 0.1, "y": 0.2, "w": 0.3, "h": 0.1});
        let layers = [
            json!({"layer_type": "sfx", "objects": [{"text": "BOOM", "geometry": place, "z_index": 5}]}),
            json!({"layer_type": "dialogue", "objects": [
                {"text": "Hm", "type": "thought", "geometry": place, "z_index": 1}, {"text": " ", "geometry": place},
                {"geometry": place},
            ]}),
            json!({"layer_type": "effects", "objects": [{"text": "rain", "geometry": place}]}),
        ];
        let found = in_layers(&layers);
        let said: Vec<_> =
            found.iter().map(|bubble| (bubble["text"].as_str(), bubble["bubble_type"].as_str())).collect();
        assert_eq!(said, [(Some("Hm"), Some("thought")), (Some("BOOM"), Some("sfx"))]);
    }
}
