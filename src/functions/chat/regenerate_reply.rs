//! regenerate-reply: another version of a reply; the versions before it are kept. What a person said last
//! and has no answer is answered.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::conversations::repeat_turn::{GREETING, again, find, unanswered};
use services::conversations::turn::TurnFacts;
use services::ids::uuid;
use uuid::Uuid;

use super::{chat_answer, turn_body};
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    conversation_id: Option<Uuid>,
    message_id: Option<Uuid>,
    model_provider: Option<String>,
    #[serde(deserialize_with = "services::seed::or_random")]
    seed: Option<u64>,
    temperature: Option<f32>,
    stream: Option<bool>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    let message = find(&call.context, request.message_id, request.conversation_id).await?;
    if message.get("parent_id").is_some() {
        return Err(FunctionError::bad("this version is not active; choose it first"));
    }
    let id = uuid(&message["id"]).unwrap_or_default();
    let is_reply = message["sender"] == "assistant";
    let reply = if is_reply {
        call.context.row("chat.replies", id).await?.unwrap_or_default()
    } else {
        unanswered(&call.context, &message).await?
    };
    let mut prepared = again(&call.context, &message, &reply, |asked| {
        if let Some(model) = &request.model_provider {
            asked["model_provider"] = json!(model);
            asked["model_variant"] = Json::Null;
        }
        asked["seed"] = json!(request.seed);
        if let Some(temperature) = request.temperature {
            asked["temperature"] = json!(temperature);
        }
        if !is_reply {
            asked["kickoff"] = json!(false);
            asked["message"] = message["content"].clone();
        }
    })
    .await?;
    if request.temperature.is_some() && matches!(prepared.facts, TurnFacts::Playground { .. }) {
        call.warnings
            .extend(["temperature: only replies of characters take it, so it changes nothing".into()]);
    }
    if is_reply {
        prepared.turn.replaces = Some(id);
        // What a model writes in place of a greeting is none.
        if message["message_type"] != GREETING {
            prepared.turn.message_type = message["message_type"].as_str().unwrap_or("text").to_string();
        }
    }
    let body = turn_body::of(&prepared);
    let running = call.context.services.chat.turn(prepared.turn).await?;
    chat_answer::answer(running, events, body).await
}
