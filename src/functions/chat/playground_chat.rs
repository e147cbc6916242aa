//! playground-chat: one turn of a conversation, with or without a character.

use services::conversations::opening;
use services::conversations::playground_turn::{Request, prepare};

use super::{chat_answer, turn_body};
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    if request.message.as_deref().is_none_or(|message| message.trim().is_empty()) {
        return Err(FunctionError::bad("message is required").with("success", false));
    }
    let prepared = prepare(&call.context, request).await?;
    opening::before_turn(&call.context, &prepared.turn).await?;
    let body = turn_body::of(&prepared);
    let running = call.context.services.chat.turn(prepared.turn).await?;
    chat_answer::answer(running, events, body).await
}
