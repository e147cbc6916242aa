//! Going back to another version of a message, with what followed it.

use models::Aggregate;
use store::Transaction;
use uuid::Uuid;

use super::branches;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Tells another branch.
#[derive(Debug)]
pub struct ChooseBranch {
    /// Of which conversation.
    pub conversation_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// A message on that branch.
    pub message_id: Uuid,
}

impl Decision for ChooseBranch {
    /// Whether the message was inactive; an active one changes nothing.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        super::owned(transaction, self.conversation_id, self.user_id)?;
        super::no_reply_under_way(transaction, self.conversation_id)?;
        Ok(branches::tell(transaction, self.conversation_id, self.message_id)?)
    }
}
