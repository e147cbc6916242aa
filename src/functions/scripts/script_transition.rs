//! script-transition: a script goes to another state; 409 `{error, from, to}` where the contract has no such transition.

use actors::script::move_script::{MoveScript, Moved};
use actors::script::status::{READY, Status};
use serde::Deserialize;
use serde_json::json;
use services::scripts::find;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "scriptId")]
    script_id: Option<Uuid>,
    #[serde(alias = "to")]
    status: Option<String>,
    #[serde(alias = "evaluation_feedback")]
    feedback: Option<String>,
    #[serde(alias = "evaluation_score")]
    score: Option<i64>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.script_id.ok_or_else(|| FunctionError::missing(&["script_id"]))?;
    let to = match request.status.as_deref() {
        None | Some("") => return Err(FunctionError::missing_choice("status", &Status::NAMES)),
        Some(word) if word == READY || Status::NAMES.contains(&word) => word.to_string(),
        Some(other) => return Err(FunctionError::none_of("status", other, &Status::NAMES)),
    };
    let decision = MoveScript { id, to, score: request.score, feedback: request.feedback };
    let missing = || FunctionError::not_found("Script not found");
    let Moved { from, displaced, .. } = call.context.ask(decision).await?.ok_or_else(missing)?;
    let script = find::script(&call.context, id)?;
    ok(
        json!({"success": true, "from": from, "to": script["status"], "displaced": displaced, "script": script}),
    )
}
