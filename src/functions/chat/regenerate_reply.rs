//! regenerate-reply: another version of a reply; the versions before it are kept. What a person said last and nobody
//! answered is answered.

use models::Value;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::playground_chat::{self, Prepared};
use super::{chat_answer, named_reply, roleplay_chat};
use crate::functions::call::{Call, Outcome, position};
use crate::functions::cast;
use crate::functions::error::FunctionError;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    conversation_id: Option<Uuid>,
    message_id: Option<Uuid>,
    model_provider: Option<String>,
    seed: Option<u64>,
    stream: Option<bool>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    let message = find(&call, &request).await?;
    if message.get("parent_id").is_some() {
        return Err(FunctionError::bad("this version is not being told; choose it first"));
    }
    let id = cast::uuid(&message["id"]).unwrap_or_default();
    let is_reply = message["sender"] == "assistant";
    let reply = if is_reply {
        call.row("chat.replies", id).await?.unwrap_or_default()
    } else {
        unanswered(&call, &message).await?
    };
    let mut prepared = again(&call, &message, &reply, |asked| {
        if let Some(model) = &request.model_provider {
            asked["model_provider"] = json!(model);
            asked["model_variant"] = Json::Null;
        }
        asked["seed"] = json!(request.seed);
        if !is_reply {
            asked["message"] = message["content"].clone();
        }
    })
    .await?;
    if is_reply {
        prepared.turn.replaces = Some(id);
        prepared.turn.message_type = message["message_type"].as_str().unwrap_or("text").to_string();
    }
    let running = call.app.chat.turn(prepared.turn).await?;
    chat_answer::answer(running, events, prepared.body).await
}

fn newest(conversation: Uuid) -> Query {
    let query = Query::all(position("messages")).equal("conversation_id", Value::Uuid(conversation));
    query.order("created_at", true).limit(1)
}

/// The message that is meant: the one named, else the conversation's last one.
async fn find(call: &Call, request: &Request) -> Result<Json, FunctionError> {
    if let Some(id) = request.message_id {
        return Ok(named_reply::message(call, id).await?.1);
    }
    let id = request.conversation_id;
    let id = id.ok_or_else(|| FunctionError::bad("message_id or conversation_id is required"))?;
    cast::conversation(call, id).await?;
    let last = call.rows(newest(id)).await?.pop();
    last.ok_or_else(|| FunctionError::not_found("there is no message in this conversation"))
}

/// What a person said last may have no answer, because it failed or was lost. The last reply that was asked for says
/// how the conversation is led.
async fn unanswered(call: &Call, message: &Json) -> Result<Json, FunctionError> {
    let conversation = cast::uuid(&message["conversation_id"]).unwrap_or_default();
    let last = call.rows(newest(conversation)).await?.pop();
    if last.is_none_or(|last| last["id"] != message["id"]) {
        return Err(FunctionError::bad("this has been answered; name the answer, or use edit-message"));
    }
    let query = Query::all(position("chat.replies")).equal("conversation_id", Value::Uuid(conversation));
    Ok(call.rows(query.order("created_at", true).limit(1)).await?.pop().unwrap_or_default())
}

/// The turn that made a reply, prepared once more. Nothing new is said in it: what was said is in the history.
pub(crate) async fn again(
    call: &Call,
    message: &Json,
    reply: &Json,
    change: impl FnOnce(&mut Json),
) -> Result<Prepared, FunctionError> {
    let asked = &reply["prompt"]["asked"];
    let mut body = asked["body"].clone();
    if !body.is_object() {
        // A reply that was not made here, such as an imported one.
        body = json!({"content_tier": reply["content_tier"]});
    }
    body["conversation_id"] = message["conversation_id"].clone();
    let was_said = body["message"].take();
    change(&mut body);
    let unreadable = |error: serde_json::Error| FunctionError::bad(format!("the reply's request: {error}"));
    let mut prepared = if asked["function"] == "roleplay-chat" {
        // It wants a message; the history has it.
        body["message"] = was_said;
        let request: roleplay_chat::Request = serde_json::from_value(body).map_err(unreadable)?;
        roleplay_chat::prepare(call, request).await?
    } else {
        let request: playground_chat::Request = serde_json::from_value(body).map_err(unreadable)?;
        playground_chat::prepare(call, request).await?
    };
    if prepared.turn.stores_said {
        prepared.turn.said = None;
    }
    Ok(prepared)
}
