//! edit-message: says a message differently, on a new branch; the old branch is kept. After an edit of what a person
//! said, a reply to the new wording is made unless `reply` is false.

use actors::content_rules;
use actors::conversation::edit_message::EditMessage;
use models::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::ServiceError;
use services::age_gate;
use services::conversations::messages;
use services::conversations::participants;
use services::conversations::repeat_turn::again;
use services::conversations::turn::MESSAGE_CHARS_MAX;
use services::ids::uuid;
use services::rows::{position, table};
use store::query::{Comparison, Filter, Query};
use uuid::Uuid;

use super::{chat_answer, turn_body};
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    message_id: Option<Uuid>,
    content: String,
    reply: Option<bool>,
    stream: Option<bool>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    let has_content = !request.content.trim().is_empty();
    ServiceError::require(&[("message_id", request.message_id.is_some()), ("content", has_content)])?;
    let id = request.message_id.unwrap_or_default();
    if request.content.chars().count() > MESSAGE_CHARS_MAX {
        let message = format!("content: longer than {MESSAGE_CHARS_MAX} characters");
        return Err(FunctionError::bad(message).of_field("content"));
    }
    let (conversation, message) = messages::message(&call.context, id).await?;
    if message.get("parent_id").is_some() {
        return Err(FunctionError::bad("this version is not active; choose it first"));
    }
    // The reply that followed says how the conversation is led.
    let reply = following_reply(&call, &message).await?;
    let tier = age_gate::rating_of_stored(&call.context, "content_tier", reply["content_tier"].as_str())?;
    content_rules::check(tier, "the message", &request.content)?;
    let wants_reply = message["sender"] == "user" && request.reply.unwrap_or(true);
    let prepared = if wants_reply {
        let content = request.content.clone();
        Some(again(&call.context, &message, &reply, |asked| asked["message"] = json!(content)).await?)
    } else {
        None
    };
    let new_id = Uuid::new_v4();
    let conversation_id = uuid(&conversation["id"]).unwrap_or_default();
    let edit = EditMessage {
        conversation_id,
        user_id: participants::owner(&conversation)?,
        message_id: id,
        new_id,
        content: request.content,
    };
    let sender = call.context.ask(edit).await;
    let sender = sender.map_err(actors::conversation::chat::TurnError::from)?;
    if sender.is_none() {
        return Err(FunctionError::not_found("there is no such message"));
    }
    let Some(prepared) = prepared else {
        return ok(json!({
            "success": true, "message_id": new_id, "replaces": id, "conversation_id": conversation_id,
        }));
    };
    let inner = turn_body::of(&prepared);
    let running = call.context.services.chat.turn(prepared.turn).await?;
    let body = Box::new(move |ended: &actors::conversation::chat::ReplyOutcome| {
        let mut body = inner(ended);
        body["edited_message_id"] = json!(new_id);
        body["replaces"] = json!(id);
        body
    });
    chat_answer::answer(running, events, body).await
}

/// The account of the first reply after a message; null when there is none.
async fn following_reply(call: &Call, message: &Json) -> Result<Json, FunctionError> {
    let time = models::convert::from_json(models::ColumnType::Timestamptz, &message["created_at"]);
    let conversation = uuid(&message["conversation_id"]).map_or(Value::Null, Value::Uuid);
    let created = table("messages").at("created_at");
    let query = Query::all(position("messages"))
        .equal("conversation_id", conversation)
        .equal("sender", Value::text("assistant"))
        .filter(Filter::compare(created, Comparison::GreaterOrEqual, time.unwrap_or(Value::Null)))
        .order("created_at", false)
        .limit(1);
    let Some(next) = call.context.rows(query).await?.pop() else { return Ok(Json::Null) };
    let id = uuid(&next["id"]).unwrap_or_default();
    Ok(call.context.row("chat.replies", id).await?.unwrap_or_default())
}
