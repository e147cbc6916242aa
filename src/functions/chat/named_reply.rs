//! The reply that a function is about, and the row of a version.

use actors::conversation::chat::ReplyHandle;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::Call;

/// Names a reply: by itself, by the message it becomes, or by its conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReplySelector {
    pub reply_id: Option<Uuid>,
    pub message_id: Option<Uuid>,
    pub conversation_id: Option<Uuid>,
    pub stream: Option<bool>,
}

impl ReplySelector {
    /// The reply under way that is named, if there is one and the caller may know of it.
    pub(crate) fn running(&self, call: &Call) -> Option<Arc<ReplyHandle>> {
        let chat = &call.context.services.chat;
        let by_id = self.reply_id.or(self.message_id).and_then(|id| chat.running(id));
        let found = by_id.or_else(|| self.conversation_id.and_then(|id| chat.running_in(id)))?;
        let may = call.context.claims.is_service() || call.context.claims.user_id == Some(found.user_id);
        may.then_some(found)
    }

    /// The row of the reply that is named; 404 for another account's.
    pub(crate) async fn row(&self, call: &Call) -> Result<Json, FunctionError> {
        let id = self.reply_id.or(self.message_id);
        let id = id.ok_or_else(|| FunctionError::missing_one_of(&["reply_id", "message_id"]))?;
        let row = call.context.row("chat.replies", id).await?;
        let is_own = |row: &Json| {
            call.context.claims.is_service()
                || call.context.claims.user_id.is_some_and(|user| row["user_id"] == user.to_string())
        };
        row.filter(is_own).ok_or_else(|| FunctionError::not_found("no reply is known by this id"))
    }
}

/// What a list of versions says of one.
pub(crate) fn version(row: &Json, is_active: bool) -> Json {
    json!({
        "message_id": row["id"], "content": row["content"], "sender": row["sender"],
        "created_at": row["created_at"], "active": is_active,
    })
}
