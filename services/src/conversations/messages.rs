//! A message and the conversation that holds it.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::context::Context;
use crate::conversations::participants;
use crate::error::ServiceError;
use crate::ids;

/// The caller's conversation that holds a message, on the active branch or another one; with the message.
pub async fn message(context: &Context, id: Uuid) -> Result<(Json, Json), ServiceError> {
    let missing = || ServiceError::not_found("there is no such message");
    let active = context.row("messages", id).await?;
    let row = match active {
        Some(row) => row,
        None => context.row("chat.shelved_messages", id).await?.ok_or_else(missing)?,
    };
    let conversation = ids::uuid(&row["conversation_id"]).ok_or_else(missing)?;
    let conversation = participants::conversation(context, conversation).await.map_err(|_| missing())?;
    Ok((conversation, row))
}
