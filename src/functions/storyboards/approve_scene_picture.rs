//! approve-scene-picture: one of a scene's pictures is approved and kept; `picture: null` takes the approval back.

use serde::Deserialize;
use serde_json::json;
use services::storyboards::approve_picture;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "sceneId")]
    scene_id: Option<Uuid>,
    picture: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.scene_id.ok_or_else(|| FunctionError::missing(&["scene_id"]))?;
    let scene = approve_picture::approve(&call.context, id, request.picture.as_deref()).await?;
    ok(json!({"success": true, "scene": scene}))
}
