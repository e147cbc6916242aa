//! stop-reply: ends a reply under way, from any session of its owner; what was said of it is kept.

use serde_json::json;

use super::named_reply::ReplySelector;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let named: ReplySelector = call.read()?;
    if named.reply_id.is_none() && named.message_id.is_none() && named.conversation_id.is_none() {
        return Err(FunctionError::missing_one_of(&["reply_id", "message_id", "conversation_id"]));
    }
    if named.stream.is_some() {
        call.warnings.extend(["stream: an unknown field, not used".into()]);
    }
    let Some(running) = named.running(&call) else {
        return ok(json!({"success": true, "stopped": false, "message": "no such reply is under way"}));
    };
    call.context.services.chat.stop(&running);
    let ended = running.ended().await;
    ok(json!({
        "success": true,
        "stopped": true,
        "reply_id": running.reply_id,
        "conversation_id": running.conversation_id,
        "state": ended.as_ref().map(|ended| ended.state.name()),
        "message_id": ended.as_ref().and_then(|ended| ended.message_id),
        "response": ended.as_ref().map(|ended| ended.response.clone()),
    }))
}
