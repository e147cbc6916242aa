//! order-scenes: the scenes of a storyboard get the order of a list, numbered from 1, in one commit.

use actors::storyboard::arrange_scenes::ArrangeScenes;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "projectId")]
    project_id: Option<Uuid>,
    #[serde(alias = "sceneIds")]
    scene_ids: Option<Vec<Uuid>>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let (Some(project_id), Some(scenes)) = (request.project_id, request.scene_ids) else {
        return Err(FunctionError::missing(&["project_id", "scene_ids"]));
    };
    let ordered = call.context.ask(ArrangeScenes { project_id, scenes }).await?;
    let ordered = ordered.ok_or_else(|| FunctionError::not_found("Storyboard not found"))?;
    ok(json!({"success": true, "scenes": ordered}))
}
