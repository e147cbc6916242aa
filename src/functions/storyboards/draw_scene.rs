//! draw-scene: queues a picture of a storyboard's scene; it reaches the scene's `metadata.pictures` when it is drawn.

use models::value_words::Takes;
use serde_json::{Map, Value as Json, json};
use services::ids::uuid;
use services::storyboards::draw_scene;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

/// The scene, and what `queue-job` takes of a picture.
const FIELDS: [Field<'static>; 14] = [
    ("scene_id", Takes::Uuid),
    ("prompt", Takes::Text),
    ("negative_prompt", Takes::Text),
    ("job_type", Takes::Text),
    ("character_id", Takes::Uuid),
    ("reference_image_url", Takes::Text),
    ("reference_strength", Takes::Number),
    ("num_images", Takes::Whole),
    ("seed", Takes::Seed),
    ("steps", Takes::Whole),
    ("guidance_scale", Takes::Number),
    ("width", Takes::Whole),
    ("height", Takes::Whole),
    ("model", Takes::Text),
];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let body = call.read_fields(&FIELDS)?;
    let scene = uuid(&body["scene_id"]).ok_or_else(|| FunctionError::missing(&["scene_id"]))?;
    let queued = draw_scene::draw(&call.context, scene, rest(&body, &["scene_id"])).await?;
    call.warnings.extend(queued.warnings);
    ok(json!({"success": true, "jobId": queued.id, "status": queued.status, "queueName": queued.queue}))
}

/// The fields that are given, without some.
pub(super) fn rest(body: &Json, without: &[&str]) -> Map<String, Json> {
    let given = body.as_object().cloned().unwrap_or_default();
    given.into_iter().filter(|(name, value)| !value.is_null() && !without.contains(&name.as_str())).collect()
}
