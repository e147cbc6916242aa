//! watch-reply: comes back to a reply under way, from its beginning; one that has ended is answered whole.

use actors::conversation::chat::ReplyOutcome;
use serde_json::json;
use services::ids::uuid;

use super::chat_answer;
use super::named_reply::ReplySelector;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let named: ReplySelector = call.read()?;
    if named.reply_id.is_none() && named.message_id.is_none() && named.conversation_id.is_none() {
        return Err(FunctionError::missing_one_of(&["reply_id", "message_id", "conversation_id"]));
    }
    if let Some(running) = named.running(&call) {
        let events = chat_answer::wants_events(&call, named.stream);
        let conversation = running.conversation_id;
        let body = Box::new(
            move |ended: &ReplyOutcome| json!({"success": true, "response": ended.response, "conversation_id": conversation}),
        );
        return chat_answer::answer(running, events, body).await;
    }
    if named.reply_id.is_none() && named.message_id.is_none() {
        return ok(json!({"success": true, "state": null, "message": "no reply is under way"}));
    }
    let reply = named.row(&call).await?;
    let id = uuid(&reply["id"]).unwrap_or_default();
    let message = call.context.row("messages", id).await?;
    ok(json!({
        "success": true, "reply_id": id, "conversation_id": reply["conversation_id"], "state": reply["state"],
        "message_id": message.as_ref().map(|_| id), "response": message.map(|row| row["content"].clone()),
        "error": reply["error"],
    }))
}
