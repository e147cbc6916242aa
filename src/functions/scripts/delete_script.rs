//! delete-script: deletes a script; an active one with `force: true` alone. What was made from it stays.

use actors::script::delete_script::DeleteScript;
use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "scriptId")]
    script_id: Option<Uuid>,
    #[serde(default)]
    force: bool,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "this function takes POST"));
    }
    let request: Request = call.read()?;
    let id = request.script_id.ok_or_else(|| FunctionError::missing(&["script_id"]))?;
    call.refuse_unknown()?;
    match call.context.ask(DeleteScript { id, by_force: request.force }).await? {
        true => ok(json!({"success": true, "deleted": id})),
        false => Err(FunctionError::not_found("Script not found")),
    }
}
