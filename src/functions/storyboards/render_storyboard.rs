//! render-storyboard: the finished clips of a storyboard, in the order of its scenes, as one film.

use actors::render::Transition;
use serde::Deserialize;
use serde_json::json;
use services::storyboards::film;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "projectId")]
    project_id: Option<Uuid>,
    transition: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.project_id.ok_or_else(|| FunctionError::missing(&["project_id"]))?;
    let name = request.transition.as_deref().unwrap_or(Transition::NAMES[0]);
    let transition = Transition::parse(name)
        .ok_or_else(|| FunctionError::none_of("transition", name, &Transition::NAMES))?;
    let begun = film::begin(&call.context, id, transition, name).await?;
    call.warnings.extend(begun.warnings);
    ok(json!({"success": true, "render": begun.render, "clips": begun.clips}))
}
