//! After a crash: replies that are no longer made become messages, marked incomplete.

use models::{Aggregate, Value, schema};
use serde_json::json;
use store::query::{Limits, Reader};
use store::{Caller, Transaction};

use super::finish_reply::{FinishReply, ReplyState, finish};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Replies ended in one transaction.
const BATCH_MAX: u64 = 500;

/// Ends what an earlier process left under way. Ask again until it answers 0.
#[derive(Debug)]
pub struct RecoverReplies;

impl Decision for RecoverReplies {
    /// How many there were.
    type Answer = usize;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<usize, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let replies = schema().known("chat.replies");
        let parts = schema().known("chat.reply_parts");
        let query =
            crate::rows::all("chat.replies").equal("state", Value::text("streaming")).limit(BATCH_MAX);
        let limits = Limits { rows_max: BATCH_MAX, ..Limits::default() };
        let found = Reader::new(transaction.reads(), &service, limits).select(&query, false)?.rows;
        let count = found.len();
        for reply in found {
            let id = &reply[replies.at("id")];
            let mut said = transaction.reads().referring(parts, parts.at("reply_id"), id)?;
            said.sort_by_key(|part| part[parts.at("position")].as_i64());
            let content: String = said.iter().filter_map(|part| part[parts.at("content")].as_str()).collect();
            let ended = FinishReply {
                reply_id: id.as_uuid().unwrap_or_default(),
                state: ReplyState::Incomplete,
                content,
                engine: None,
                finish_reason: Some("interrupted".into()),
                error: Some("the server stopped while the reply was being made".into()),
                usage: json!({}),
            };
            finish(transaction, reply, ended)?;
        }
        Ok(count)
    }
}
