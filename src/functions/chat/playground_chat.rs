//! playground-chat: one turn of a conversation, with or without a character.

use services::ServiceError;
use services::conversations::opening;
use services::conversations::playground_turn::{Request, prepare};
use services::conversations::turn_warnings;
use services::prompts::ask_model::stand_in;

use super::{chat_answer, turn_body};
use crate::functions::http_call::{Call, Outcome};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    let says_something = request.message.as_deref().is_some_and(|message| !message.trim().is_empty());
    let needed = [("conversation_id", request.conversation_id.is_some()), ("message", says_something)];
    ServiceError::require(&needed).map_err(|error| error.with("success", false))?;
    call.warnings.extend(turn_warnings::of_playground(&request));
    let named = request.named_model().map(|(field, name)| (field, name.to_string()));
    let prepared = prepare(&call.context, request).await?;
    if let Some((field, name)) = named {
        call.warnings.extend(stand_in(field, Some(&name), &prepared.turn.chosen));
    }
    opening::before_turn(&call.context, &prepared.turn).await?;
    let body = turn_body::of(&prepared);
    let running = call.context.services.chat.turn(prepared.turn).await?;
    chat_answer::answer(running, events, body).await
}
