//! choose-reply: goes back to another version of a message, with what followed it.

use actors::conversation::choose_branch::ChooseBranch;
use serde::Deserialize;
use serde_json::json;
use services::conversations::messages;
use services::conversations::participants;
use services::ids::uuid;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    message_id: Option<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.message_id.ok_or_else(|| FunctionError::missing(&["message_id"]))?;
    let (conversation, _) = messages::message(&call.context, id).await?;
    let conversation_id = uuid(&conversation["id"]).unwrap_or_default();
    let choose =
        ChooseBranch { conversation_id, user_id: participants::owner(&conversation)?, message_id: id };
    let changed = call.context.ask(choose).await;
    let changed = changed.map_err(actors::conversation::chat::TurnError::from)?;
    ok(json!({"success": true, "message_id": id, "conversation_id": conversation_id, "changed": changed}))
}
