//! A conversation opens with a greeting of the character's card: the first reply, with the other greetings as its other
//! versions. No model is asked.

use std::collections::BTreeSet;

use models::{Aggregate, Row, Value, schema};
use store::query::{Limits, Query, Reader};
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use super::branches;
use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::rows;

/// What the message of a greeting says of its kind.
pub const MESSAGE_TYPE: &str = "greeting";

/// The message of a greeting has a name made of the greeting's number, so that it is known which one began a conversation.
pub fn greeting_id(conversation: Uuid, number: usize) -> Uuid {
    Uuid::new_v5(&conversation, format!("greeting/{number}").as_bytes())
}

/// Opens a conversation with a greeting.
#[derive(Clone, Debug)]
pub struct OpenConversation {
    /// Which.
    pub conversation_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// The row of a conversation that begins with it.
    pub create: Option<Row>,
    /// Whose greetings they are.
    pub character_id: Uuid,
    /// The greetings with their numbers; none only creates the conversation.
    pub greetings: Vec<(usize, String)>,
    /// The number of the one to open with.
    pub chosen: usize,
    /// Whether a conversation that begins with another greeting, and has come no further, changes to this one.
    pub may_change: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The conversation begins with this message.
    With(Uuid),
    /// It had begun already, and stays as it was.
    BegunBefore,
}

impl Decision for OpenConversation {
    type Answer = Opened;

    fn owner(&self) -> Aggregate {
        Aggregate::Conversation
    }

    fn decide(self, transaction: &Transaction) -> Result<Opened, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let conversations = schema().known("conversations");
        let old = match self.create.clone() {
            Some(row) => transaction.insert(&Caller::new(transaction.claims), conversations, row)?,
            None => super::owned(transaction, self.conversation_id, self.user_id)?,
        };
        super::no_reply_under_way(transaction, self.conversation_id)?;
        if !self.greetings.iter().any(|(number, _)| *number == self.chosen) {
            return Ok(Opened::BegunBefore);
        }
        if has_begun(transaction, self.conversation_id)? {
            return self.change(transaction);
        }
        let mut conversation = old.clone();
        conversation[conversations.at("character_id")] = Value::Uuid(self.character_id);
        if conversation != old {
            transaction.update(&service, conversations, &old, conversation)?;
        }
        self.write(transaction, &service)?;
        Ok(Opened::With(greeting_id(self.conversation_id, self.chosen)))
    }
}

impl OpenConversation {
    /// Writes the chosen greeting before all that was said, and the others as its versions.
    fn write(&self, transaction: &Transaction, service: &Caller) -> Result<(), StoreError> {
        let (messages, versions) = (schema().known("messages"), schema().known("chat.shelved_messages"));
        let first = one(transaction, &messages_of(self.conversation_id).order("created_at", false))?;
        let first = first.and_then(|row| row[messages.at("created_at")].as_micros());
        let last = first.map_or_else(|| chrono::Utc::now().timestamp_micros(), |micros| micros - 1);
        let count = self.greetings.len() as i64;
        for (place, (number, text)) in self.greetings.iter().enumerate() {
            // Each has a time of its own, so that versions are listed in the card's order.
            let micros = last - (count - 1 - place as i64);
            let is_chosen = *number == self.chosen;
            let table = if is_chosen { messages } else { versions };
            let mut row = table.default_row();
            let mut set = |column: &str, value: Value| row[table.at(column)] = value;
            set("id", Value::Uuid(greeting_id(self.conversation_id, *number)));
            set("conversation_id", Value::Uuid(self.conversation_id));
            set("sender", Value::text("assistant"));
            set("content", Value::text(text));
            set("message_type", Value::text(MESSAGE_TYPE));
            set("created_at", Value::Timestamp(micros));
            if !is_chosen {
                set("shelved_at", Value::Timestamp(micros));
            }
            transaction.insert(service, table, row)?;
        }
        Ok(())
    }

    /// A conversation that has only been opened may begin with another greeting.
    fn change(&self, transaction: &Transaction) -> Result<Opened, Refusal> {
        let messages = schema().known("messages");
        let wanted = greeting_id(self.conversation_id, self.chosen);
        let all = messages_of(self.conversation_id).order("created_at", false).limit(2);
        let begins = select(transaction, &all)?;
        let ids: Vec<Uuid> = begins.iter().filter_map(|row| row[messages.at("id")].as_uuid()).collect();
        if ids.first() == Some(&wanted) {
            return Ok(Opened::With(wanted));
        }
        let greetings: BTreeSet<Uuid> =
            self.greetings.iter().map(|(number, _)| greeting_id(self.conversation_id, *number)).collect();
        let only_opened = matches!(ids.as_slice(), [only] if greetings.contains(only));
        if self.may_change && only_opened && branches::tell(transaction, self.conversation_id, wanted)? {
            return Ok(Opened::With(wanted));
        }
        Ok(Opened::BegunBefore)
    }
}

fn messages_of(conversation: Uuid) -> Query {
    rows::all("messages").equal("conversation_id", Value::Uuid(conversation))
}

fn select(transaction: &Transaction, query: &Query) -> Result<Vec<Row>, StoreError> {
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    Ok(Reader::new(transaction.reads(), &caller, Limits::default()).select(query, false)?.rows)
}

fn one(transaction: &Transaction, query: &Query) -> Result<Option<Row>, StoreError> {
    Ok(select(transaction, &query.clone().limit(1))?.pop())
}

/// Whether the character has said anything yet, on this branch or another, or the conversation came from a file.
fn has_begun(transaction: &Transaction, conversation: Uuid) -> Result<bool, StoreError> {
    for table in ["messages", "chat.shelved_messages"] {
        let query = rows::all(table)
            .equal("conversation_id", Value::Uuid(conversation))
            .equal("sender", Value::text("assistant"));
        if one(transaction, &query)?.is_some() {
            return Ok(true);
        }
    }
    let files = schema().known("cards.chats");
    Ok(transaction.reads().get(files, &[Value::Uuid(conversation)])?.is_some())
}
