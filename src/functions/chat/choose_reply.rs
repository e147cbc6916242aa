//! choose-reply: goes back to another version of a message, with what followed it.

use actors::conversation::choose_branch::ChooseBranch;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::named_reply;
use crate::functions::call::{Call, Outcome, ok};
use crate::functions::cast;
use crate::functions::error::FunctionError;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    message_id: Option<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.message_id.ok_or_else(|| FunctionError::bad("message_id is required"))?;
    let (conversation, _) = named_reply::message(&call, id).await?;
    let conversation_id = cast::uuid(&conversation["id"]).unwrap_or_default();
    let choose = ChooseBranch { conversation_id, user_id: cast::owner(&conversation)?, message_id: id };
    let changed = call.app.actors.ask(&call.claims, choose).await;
    let changed = changed.map_err(actors::conversation::chat::TurnError::from)?;
    ok(json!({"success": true, "message_id": id, "conversation_id": conversation_id, "changed": changed}))
}
