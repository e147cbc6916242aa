//! A reply ends: what was said of it becomes a message, whatever ended it.

use models::{Aggregate, Row, Value, schema};
use serde_json::Value as Json;
use store::{Caller, Transaction};
use uuid::Uuid;

use super::branches;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyState {
    /// The model was done.
    Complete,
    /// The server or the model broke off.
    Incomplete,
    /// It was stopped.
    Stopped,
    /// Nothing came of it.
    Failed,
}

impl ReplyState {
    /// The name in `chat.replies`.
    pub fn name(self) -> &'static str {
        match self {
            ReplyState::Complete => "complete",
            ReplyState::Incomplete => "incomplete",
            ReplyState::Stopped => "stopped",
            ReplyState::Failed => "failed",
        }
    }
}

/// Ends a reply.
#[derive(Clone, Debug)]
pub struct FinishReply {
    /// Which.
    pub reply_id: Uuid,
    /// How it ended.
    pub state: ReplyState,
    /// All that was said; blank text becomes no message.
    pub content: String,
    /// Which engine or server answered.
    pub engine: Option<String>,
    /// Why the engine ended.
    pub finish_reason: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Tokens and speed.
    pub usage: Json,
}

impl Decision for FinishReply {
    /// The message; `None` when nothing was said or the reply is gone or had ended before.
    type Answer = Option<Uuid>;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Uuid>, Refusal> {
        let replies = schema().known("chat.replies");
        let Some(old) = transaction.reads().get(replies, &[Value::Uuid(self.reply_id)])? else {
            return Ok(None);
        };
        if old[replies.at("state")].as_str() != Some("streaming") {
            return Ok(None);
        }
        finish(transaction, old, self)
    }
}

/// Ends a reply that is known to be under way.
pub(super) fn finish(
    transaction: &Transaction,
    old: Row,
    ended: FinishReply,
) -> Result<Option<Uuid>, Refusal> {
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let replies = schema().known("chat.replies");
    let parts = schema().known("chat.reply_parts");
    let id = Value::Uuid(ended.reply_id);
    for part in transaction.reads().referring(parts, parts.at("reply_id"), &id)? {
        transaction.delete(&service, parts, &part)?;
    }
    let conversation = old[replies.at("conversation_id")].as_uuid().unwrap_or_default();
    let speaks = ended.state != ReplyState::Failed && !ended.content.trim().is_empty();
    if speaks {
        if let Some(replaced) = old[replies.at("replaces")].as_uuid() {
            branches::shelve_from(transaction, conversation, replaced)?;
        }
        let kind = old[replies.at("message_type")].as_str().unwrap_or("text");
        super::say(transaction, conversation, ended.reply_id, "assistant", &ended.content, kind)?;
    }
    let mut row = old.clone();
    let mut set = |column: &str, value: Value| row[replies.at(column)] = value;
    let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    set("state", Value::text(ended.state.name()));
    set("engine", text(ended.engine));
    set("finish_reason", text(ended.finish_reason));
    set("error", text(ended.error));
    set("usage", Value::json(&ended.usage));
    set("finished_at", Value::now());
    transaction.update(&service, replies, &old, row)?;
    Ok(speaks.then_some(ended.reply_id))
}
