//! Which panels were drawn from what has been edited since.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::panel_looks::PanelLooks;
use super::panels::{MadeFrom, Sources};
use super::{artifacts, scenes};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;

/// The stale panels of a story's scenes, and why each is: exactly those whose characters, references, style, place, text
/// or model are not what they were drawn from.
pub async fn stale_panels(context: &Context, story: Uuid) -> Result<Vec<Json>, ServiceError> {
    let mut stale = Vec::new();
    for scene in scenes::list(context, story).await? {
        stale.extend(stale_of_scene(context, &scene).await?);
    }
    Ok(stale)
}

/// The stale panels of a scene.
pub async fn stale_of_scene(context: &Context, scene: &Json) -> Result<Vec<Json>, ServiceError> {
    let id = uuid(&scene["id"]).unwrap_or_default();
    let Some(drawn) = artifacts::latest_of(context, id, "render_result").await? else {
        return Ok(Vec::new());
    };
    let Some(semantics) = artifacts::latest_of(context, id, "panel_semantics").await? else {
        return Ok(Vec::new());
    };
    let model = drawn["payload"]["api_model_id"].as_str();
    let looks = PanelLooks::read(&drawn["payload"]["looks"])?;
    let sources = Sources::of(context, scene, None, model, &looks).await?;
    let seen = semantics["payload"]["panels"].as_array().cloned().unwrap_or_default();
    let mut stale = Vec::new();
    for panel in drawn["payload"]["panels"].as_array().into_iter().flatten() {
        let Ok(before) = serde_json::from_value::<MadeFrom>(panel["made_from"].clone()) else { continue };
        let index = panel["panel_index"].as_u64().unwrap_or(0);
        let now = index.checked_sub(1).and_then(|place| seen.get(place as usize));
        let reasons = match now {
            Some(now) => before.differences(&sources.made_from(now)),
            None => vec!["text".to_string()],
        };
        if !reasons.is_empty() {
            stale.push(json!({
                "scene_id": id, "panel_index": index, "artifact_id": drawn["id"], "image_id": panel["image_id"],
                "reasons": reasons,
            }));
        }
    }
    Ok(stale)
}
