//! A turn that is made once more: for another version of its reply, or because there was none.

use actors::conversation::chat::StoresSaid;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::conversations::turn::PreparedTurn;
use crate::conversations::{messages, participants, playground_turn, roleplay_turn};
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// What messages are called that open a conversation in the words of a card.
pub const GREETING: &str = "greeting";

fn newest(conversation: Uuid) -> Query {
    let query = Query::all(position("messages")).equal("conversation_id", Value::Uuid(conversation));
    query.order("created_at", true).limit(1)
}

/// The message that is meant: the one named, else the conversation's last one.
pub async fn find(
    context: &Context,
    message: Option<Uuid>,
    conversation: Option<Uuid>,
) -> Result<Json, ServiceError> {
    if let Some(id) = message {
        return Ok(messages::message(context, id).await?.1);
    }
    let id = conversation.ok_or_else(|| ServiceError::missing_one_of(&["message_id", "conversation_id"]))?;
    participants::conversation(context, id).await?;
    let last = context.rows(newest(id)).await?.pop();
    last.ok_or_else(|| ServiceError::not_found("there is no message in this conversation"))
}

/// What a person said last may have no answer, because it failed or was lost. The last reply that was asked for says
/// how the conversation is led.
pub async fn unanswered(context: &Context, message: &Json) -> Result<Json, ServiceError> {
    let conversation = uuid(&message["conversation_id"]).unwrap_or_default();
    let last = context.rows(newest(conversation)).await?.pop();
    if last.is_none_or(|last| last["id"] != message["id"]) {
        return Err(ServiceError::bad("this has been answered; name the answer, or use edit-message"));
    }
    let query = Query::all(position("chat.replies")).equal("conversation_id", Value::Uuid(conversation));
    Ok(context.rows(query.order("created_at", true).limit(1)).await?.pop().unwrap_or_default())
}

/// The turn that made a reply, prepared once more. Nothing new is said in it: what was said is in the history.
pub async fn again(
    context: &Context,
    message: &Json,
    reply: &Json,
    change: impl FnOnce(&mut Json),
) -> Result<PreparedTurn, ServiceError> {
    let asked = &reply["prompt"]["asked"];
    let mut body = asked["body"].clone();
    // No model made a greeting; what takes its place opens the conversation, as a kickoff does.
    let is_greeting = message["message_type"] == GREETING && !body.is_object();
    if is_greeting {
        body = json!({"kickoff": true});
    } else if !body.is_object() {
        // A reply that was not made here, such as an imported one.
        body = json!({"content_tier": reply["content_tier"]});
    }
    body["conversation_id"] = message["conversation_id"].clone();
    let was_said = body["message"].take();
    change(&mut body);
    let unreadable = |error: serde_json::Error| ServiceError::bad(format!("the reply's request: {error}"));
    let mut prepared = if is_greeting || asked["function"] == "roleplay-chat" {
        // The scene that was drawn after the turn stays.
        body["scene_generation"] = json!(false);
        // It wants a message; the history has it.
        if body["message"].is_null() {
            body["message"] = was_said;
        }
        let request: roleplay_turn::Request = serde_json::from_value(body).map_err(unreadable)?;
        roleplay_turn::prepare(context, request).await?
    } else {
        let request: playground_turn::Request = serde_json::from_value(body).map_err(unreadable)?;
        playground_turn::prepare(context, request).await?
    };
    match prepared.turn.stores_said {
        StoresSaid::Always => prepared.turn.said = None,
        StoresSaid::Once | StoresSaid::Never => prepared.turn.stores_said = StoresSaid::Never,
    }
    Ok(prepared)
}
