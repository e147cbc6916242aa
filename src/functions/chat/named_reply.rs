//! What is said twice, taken back or looked into: the functions around a reply.

use actors::conversation::chat::ReplyHandle;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use uuid::Uuid;

use crate::functions::call::Call;
use crate::functions::cast;
use crate::functions::error::FunctionError;

/// Names a reply: by itself, by the message it becomes, or by its conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Named {
    pub reply_id: Option<Uuid>,
    pub message_id: Option<Uuid>,
    pub conversation_id: Option<Uuid>,
    pub stream: Option<bool>,
}

impl Named {
    /// The reply under way that is named, if there is one and the caller may know of it.
    pub(crate) fn running(&self, call: &Call) -> Option<Arc<ReplyHandle>> {
        let chat = &call.app.chat;
        let by_id = self.reply_id.or(self.message_id).and_then(|id| chat.running(id));
        let found = by_id.or_else(|| self.conversation_id.and_then(|id| chat.running_in(id)))?;
        let may = call.claims.is_service() || call.claims.user_id == Some(found.user_id);
        may.then_some(found)
    }

    /// The row of the reply that is named; 404 for anybody else's.
    pub(crate) async fn row(&self, call: &Call) -> Result<Json, FunctionError> {
        let id = self.reply_id.or(self.message_id);
        let id = id.ok_or_else(|| FunctionError::bad("reply_id or message_id is required"))?;
        let row = call.row("chat.replies", id).await?;
        let is_own = |row: &Json| {
            call.claims.is_service()
                || call.claims.user_id.is_some_and(|user| row["user_id"] == user.to_string())
        };
        row.filter(is_own).ok_or_else(|| FunctionError::not_found("no reply is known by this id"))
    }
}

/// The caller's conversation that holds a message, on the branch being told or on the shelf; with the message.
pub(crate) async fn message(call: &Call, id: Uuid) -> Result<(Json, Json), FunctionError> {
    let missing = || FunctionError::not_found("there is no such message");
    let told = call.row("messages", id).await?;
    let row = match told {
        Some(row) => row,
        None => call.row("chat.shelved_messages", id).await?.ok_or_else(missing)?,
    };
    let conversation = cast::uuid(&row["conversation_id"]).ok_or_else(missing)?;
    let conversation = cast::conversation(call, conversation).await.map_err(|_| missing())?;
    Ok((conversation, row))
}

/// What a list of versions says of one.
pub(crate) fn version(row: &Json, is_told: bool) -> Json {
    json!({
        "message_id": row["id"], "content": row["content"], "sender": row["sender"],
        "created_at": row["created_at"], "active": is_told,
    })
}
