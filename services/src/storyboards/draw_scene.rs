//! A picture of a scene is queued; it reaches the scene in the commit that ends the job.

use actors::storyboard::clip_result::SCENE;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::owned;
use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::{Queued, queue};

/// Queues a picture of a scene. `fields` are those of `queue-job`; the words and the character come from the scene and its
/// storyboard where they are not among them.
pub async fn draw(
    context: &Context,
    scene_id: Uuid,
    mut fields: Map<String, Json>,
) -> Result<Queued, ServiceError> {
    let user = context.user()?;
    let (scene, project) = owned::scene(context, scene_id)?;
    let given =
        |fields: &Map<String, Json>, name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    if !given(&fields, "prompt") {
        let words = ["/metadata/prompt", "/description", "/title"];
        let words = words.iter().find_map(|place| scene.pointer(place)?.as_str().map(str::trim));
        let words = words.filter(|words| !words.is_empty());
        let missing = || ServiceError::field("prompt", "missing, and the scene has no description to draw");
        fields.insert("prompt".into(), json!(words.ok_or_else(missing)?));
    }
    if !given(&fields, "character_id") && project["primary_character_id"].is_string() {
        fields.insert("character_id".into(), project["primary_character_id"].clone());
    }
    if !given(&fields, "job_type") {
        let is_fine = matches!(project["quality_preset"].as_str(), Some("high" | "best" | "quality"));
        fields.insert("job_type".into(), json!(if is_fine { "sdxl_image_high" } else { "sdxl_image_fast" }));
    }
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata["destination"] = json!(SCENE);
    metadata["storyboard_scene_id"] = json!(scene_id);
    if metadata["contentType"].is_null() {
        metadata["contentType"] = project["content_mode"].clone();
    }
    if metadata["aspect_ratio"].is_null() {
        metadata["aspect_ratio"] = project["aspect_ratio"].clone();
    }
    queue(context, user, job(fields)?).await
}

/// A job's request out of fields.
pub(super) fn job(fields: Map<String, Json>) -> Result<JobRequest, ServiceError> {
    serde_json::from_value(Json::Object(fields)).map_err(|error| ServiceError::bad(error.to_string()))
}
