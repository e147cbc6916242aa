//! A turn begins: what the person said is kept together with the promise of a reply.

use models::{Aggregate, Value, schema};
use serde_json::Value as Json;
use store::{Caller, Transaction};
use uuid::Uuid;

use super::branches;
use crate::aggregate::Decision;
use crate::content_rules::ContentRating;
use crate::refusal::Refusal;

/// Begins a reply.
#[derive(Clone, Debug)]
pub struct BeginReply {
    /// The reply, and the message that it will become.
    pub reply_id: Uuid,
    /// Where.
    pub conversation_id: Uuid,
    /// Whose conversation.
    pub user_id: Uuid,
    /// What the person says, with the id of the message; absent when it is stored already.
    pub said: Option<(Uuid, String)>,
    /// The newest message when the prompt was made.
    pub after: Option<Uuid>,
    /// What the reply answers.
    pub answers: Option<Uuid>,
    /// The message of which the reply will be another version.
    pub replaces: Option<Uuid>,
    /// Of the reply.
    pub message_type: String,
    /// The turn's rating.
    pub tier: ContentRating,
    /// Who will answer: provider and model.
    pub model: (String, String),
    /// Makes the reply repeatable.
    pub seed: i64,
    /// What went into the prompt.
    pub prompt: Json,
    /// Lorebook entries called so far.
    pub lore: Json,
    /// The character that takes over the conversation.
    pub character_id: Option<Uuid>,
    /// The character that has one interaction more.
    pub counts_for: Option<Uuid>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The reply may be made.
    Yes,
    /// A message was added meanwhile: the prompt is out of date.
    Changed,
}

impl Decision for BeginReply {
    type Answer = Begun;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<Begun, Refusal> {
        let old = super::owned(transaction, self.conversation_id, self.user_id)?;
        super::no_reply_under_way(transaction, self.conversation_id)?;
        let messages = schema().known("messages");
        let newest = branches::newest(transaction, self.conversation_id)?;
        if newest.and_then(|row| row[messages.at("id")].as_uuid()) != self.after {
            return Ok(Begun::Changed);
        }
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let conversations = schema().known("conversations");
        let mut conversation = old.clone();
        if let Some(character) = self.character_id {
            conversation[conversations.at("character_id")] = Value::Uuid(character);
        }
        if conversation != old {
            transaction.update(&service, conversations, &old, conversation)?;
        }
        if let Some(character) = self.counts_for {
            count_interactions(transaction, &service, character, 1)?;
        }
        if let Some((id, text)) = &self.said {
            super::say(transaction, self.conversation_id, *id, "user", text, "text")?;
        }
        let replies = schema().known("chat.replies");
        let mut row = replies.default_row();
        let mut set = |column: &str, value: Value| row[replies.at(column)] = value;
        let uuid = |id: Option<Uuid>| id.map_or(Value::Null, Value::Uuid);
        set("id", Value::Uuid(self.reply_id));
        set("conversation_id", Value::Uuid(self.conversation_id));
        set("user_id", Value::Uuid(self.user_id));
        set("answers", uuid(self.said.as_ref().map(|(id, _)| *id).or(self.answers)));
        set("replaces", uuid(self.replaces));
        set("message_type", Value::Text(self.message_type));
        set("content_tier", Value::text(self.tier.name()));
        set("provider", Value::Text(self.model.0));
        set("model", Value::Text(self.model.1));
        set("seed", Value::Int(self.seed));
        set("prompt", Value::json(&self.prompt));
        set("lore", Value::json(&self.lore));
        transaction.insert(&service, replies, row)?;
        Ok(Begun::Yes)
    }
}

fn count_interactions(
    transaction: &Transaction,
    service: &Caller,
    character: Uuid,
    more: i64,
) -> Result<(), Refusal> {
    let characters = schema().known("characters");
    let Some(old) = transaction.reads().get(characters, &[Value::Uuid(character)])? else { return Ok(()) };
    let mut row = old.clone();
    let count = row[characters.at("interaction_count")].as_i64().unwrap_or(0);
    row[characters.at("interaction_count")] = Value::Int((count + more).clamp(0, i64::from(i32::MAX)));
    transaction.update(service, characters, &old, row)?;
    Ok(())
}

/// Takes back a turn whose reply could not even begin, as if it had not been asked for.
#[derive(Debug)]
pub struct AbandonReply {
    /// The reply.
    pub reply_id: Uuid,
    /// What was said for it.
    pub said: Option<Uuid>,
    /// The character for which it counted.
    pub counted: Option<Uuid>,
}

impl Decision for AbandonReply {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        for (table, id) in [("chat.replies", Some(self.reply_id)), ("messages", self.said)] {
            let table = schema().known(table);
            let Some(id) = id else { continue };
            if let Some(row) = transaction.reads().get(table, &[Value::Uuid(id)])? {
                transaction.delete(&service, table, &row)?;
            }
        }
        if let Some(character) = self.counted {
            count_interactions(transaction, &service, character, -1)?;
        }
        Ok(())
    }
}
