//! Remembering and forgetting: facts and rolling summaries of a conversation.

use std::collections::HashSet;

use models::{Aggregate, Value, schema};
use serde_json::json;
use store::{Caller, Transaction};
use uuid::Uuid;

use super::memory;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// What changes.
#[derive(Debug)]
pub enum MemoryChange {
    /// A fact is pinned, with the message that it comes from.
    Pin(String, Option<Uuid>),
    /// A fact is pinned as it stands, or with other words.
    Edit(String, Option<String>),
    /// A fact is removed.
    Unpin(String),
    /// A summary gets other words.
    RewordSummary(String, String),
    /// A summary is removed.
    ForgetSummary(String),
    /// The model found facts, each with its message.
    Learn(Vec<(String, Uuid)>),
    /// Messages are summed up.
    Summarise(String, Vec<Uuid>),
}

/// Changes what a conversation remembers.
#[derive(Debug)]
pub struct UpdateMemory {
    /// Which conversation.
    pub conversation_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// How.
    pub change: MemoryChange,
}

impl Decision for UpdateMemory {
    /// The fact's id; `None` when nothing changed.
    type Answer = Option<String>;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<String>, Refusal> {
        let old = super::owned(transaction, self.conversation_id, self.user_id)?;
        let conversations = schema().known("conversations");
        let column = conversations.at("memory_data");
        let mut data = old[column].as_json().unwrap_or_else(|| json!({}));
        let answer = match self.change {
            MemoryChange::Pin(text, source) => {
                if let Some(source) = source {
                    let known = are_active(transaction, self.conversation_id, &[source])?;
                    if !known {
                        return Err(Refusal::raised(
                            "PT404",
                            "there is no such message in this conversation",
                        ));
                    }
                }
                let full =
                    || Refusal::raised("PT409", format!("{} facts are pinned already", memory::FACTS_MAX));
                Some(memory::pin(&mut data, &text, source).ok_or_else(full)?)
            }
            MemoryChange::Unpin(id) => memory::unpin(&mut data, &id).then_some(id),
            MemoryChange::Edit(id, text) => memory::edit(&mut data, &id, text.as_deref()).then_some(id),
            MemoryChange::RewordSummary(id, text) => {
                memory::reword_summary(&mut data, &id, &text).then_some(id)
            }
            MemoryChange::ForgetSummary(id) => memory::forget_summary(&mut data, &id).then_some(id),
            MemoryChange::Learn(found) => {
                // An edit may have overtaken them.
                let mut stand = Vec::new();
                for (text, source) in found {
                    if are_active(transaction, self.conversation_id, &[source])? {
                        stand.push((text, source));
                    }
                }
                let learnt = memory::may_learn(&data) && memory::learn(&mut data, &stand) > 0;
                learnt.then(String::new)
            }
            MemoryChange::Summarise(text, of) => {
                // An edit may have overtaken the summary, and another one may cover the same messages.
                let covered: HashSet<Uuid> =
                    memory::summaries(&data).into_iter().flat_map(|summary| summary.sources).collect();
                let fresh = of.iter().all(|id| !covered.contains(id));
                let stands = fresh && are_active(transaction, self.conversation_id, &of)?;
                stands.then(|| {
                    memory::summarise(&mut data, &text, &of);
                    String::new()
                })
            }
        };
        if answer.is_some() {
            let mut row = old.clone();
            row[column] = Value::json(&data);
            let service = transaction.claims.elevated();
            transaction.update(&Caller::new(&service), conversations, &old, row)?;
        }
        Ok(answer)
    }
}

/// Whether all these messages are on the active branch.
fn are_active(transaction: &Transaction, conversation: Uuid, ids: &[Uuid]) -> Result<bool, Refusal> {
    let messages = schema().known("messages");
    for id in ids {
        let row = transaction.reads().get(messages, &[Value::Uuid(*id)])?;
        let here = |row: &models::Row| row[messages.at("conversation_id")] == Value::Uuid(conversation);
        if !row.as_ref().is_some_and(here) {
            return Ok(false);
        }
    }
    Ok(true)
}
