//! What has been said so far is kept, so that a crash leaves it.

use models::{Aggregate, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Keeps a piece of a reply.
#[derive(Debug)]
pub struct StorePart {
    /// Of which reply.
    pub reply_id: Uuid,
    /// Pieces count up from 0.
    pub position: i64,
    /// The text.
    pub content: String,
}

impl Decision for StorePart {
    /// Whether the reply is still being made.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let replies = schema().known("chat.replies");
        let reply = transaction.reads().get(replies, &[Value::Uuid(self.reply_id)])?;
        // The conversation may have been deleted meanwhile.
        let is_streaming = |row: &models::Row| row[replies.at("state")].as_str() == Some("streaming");
        if !reply.as_ref().is_some_and(is_streaming) {
            return Ok(false);
        }
        let parts = schema().known("chat.reply_parts");
        let mut row = parts.default_row();
        row[parts.at("reply_id")] = Value::Uuid(self.reply_id);
        row[parts.at("position")] = Value::Int(self.position);
        row[parts.at("content")] = Value::Text(self.content);
        let service = transaction.claims.elevated();
        transaction.insert(&Caller::new(&service), parts, row)?;
        Ok(true)
    }
}
