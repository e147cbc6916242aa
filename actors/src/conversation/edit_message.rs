//! Saying a message differently: a new branch begins with the new wording, the old one becomes inactive.

use models::{Aggregate, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::branches;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Replaces the wording of a message.
#[derive(Debug)]
pub struct EditMessage {
    /// Of which conversation.
    pub conversation_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// The message.
    pub message_id: Uuid,
    /// The id of the new wording.
    pub new_id: Uuid,
    /// The new wording.
    pub content: String,
}

impl Decision for EditMessage {
    /// Who says it; `None` when there is no such message on the active branch.
    type Answer = Option<String>;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<String>, Refusal> {
        super::owned(transaction, self.conversation_id, self.user_id)?;
        super::no_reply_under_way(transaction, self.conversation_id)?;
        let messages = schema().known("messages");
        let Some(old) = transaction.reads().get(messages, &[Value::Uuid(self.message_id)])? else {
            return Ok(None);
        };
        if !branches::shelve_from(transaction, self.conversation_id, self.message_id)? {
            return Ok(None);
        }
        let text = |column: &str| old[messages.at(column)].as_str().unwrap_or_default().to_string();
        let (sender, kind) = (text("sender"), text("message_type"));
        super::say(transaction, self.conversation_id, self.new_id, &sender, &self.content, &kind)?;
        if sender == "assistant" {
            // So that its inspection says that a person wrote it.
            let replies = schema().known("chat.replies");
            let mut row = replies.default_row();
            row[replies.at("id")] = Value::Uuid(self.new_id);
            row[replies.at("conversation_id")] = Value::Uuid(self.conversation_id);
            row[replies.at("user_id")] = Value::Uuid(self.user_id);
            row[replies.at("state")] = Value::text("edited");
            row[replies.at("replaces")] = Value::Uuid(self.message_id);
            row[replies.at("message_type")] = Value::Text(kind);
            row[replies.at("finished_at")] = Value::now();
            let service = transaction.claims.elevated();
            transaction.insert(&Caller::new(&service), replies, row)?;
        }
        Ok(Some(sender))
    }
}
