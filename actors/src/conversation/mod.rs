//! Conversations, their messages and branches, and the replies that are being made.

pub mod begin_reply;
pub mod branches;
pub mod chat;
pub mod chat_lines;
pub mod chat_swipes;
pub mod choose_branch;
pub mod edit_message;
mod fill;
mod find_facts;
pub mod finish_reply;
pub mod history;
pub mod import_chat;
pub mod lore_memory;
mod make_reply;
pub mod memory;
pub(crate) mod memory_marks;
pub(crate) mod messages;
pub mod open_conversation;
pub mod pictures;
pub mod prompt;
pub mod recover_replies;
pub mod reply_handle;
pub mod set_lorebook;
pub mod setting;
pub mod sheet;
pub mod speaker_names;
pub mod store_part;
mod sum_up;
pub mod tidy_reply;
pub mod update_memory;

use models::{Row, Value, schema};
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use crate::refusal::Refusal;

/// 404: there is no such conversation, or it is another account's.
pub(crate) fn no_conversation() -> Refusal {
    Refusal::raised("PT404", "there is no such conversation")
}

/// The conversation of an account.
pub(crate) fn owned(transaction: &Transaction, conversation_id: Uuid, user_id: Uuid) -> Result<Row, Refusal> {
    let table = schema().known("conversations");
    let row = transaction.reads().get(table, &[Value::Uuid(conversation_id)])?;
    row.filter(|row| row[table.at("user_id")] == Value::Uuid(user_id)).ok_or_else(no_conversation)
}

/// Refuses while a reply of the conversation is being made: one turn at a time.
pub(crate) fn no_reply_under_way(transaction: &Transaction, conversation_id: Uuid) -> Result<(), Refusal> {
    match streaming(transaction, conversation_id)? {
        None => Ok(()),
        Some(_) => Err(Refusal::raised(
            "PT409",
            "a reply is being made in this conversation; wait for it or stop it",
        )),
    }
}

/// The reply that a conversation is waiting for.
fn streaming(transaction: &Transaction, conversation_id: Uuid) -> Result<Option<Row>, StoreError> {
    let replies = schema().known("chat.replies");
    let query = crate::rows::all("chat.replies")
        .equal("state", Value::text("streaming"))
        .equal("conversation_id", Value::Uuid(conversation_id))
        .limit(1);
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    let reader = store::query::Reader::new(transaction.reads(), &caller, store::query::Limits::default());
    let found = reader.select(&query, false)?.rows.pop();
    debug_assert!(found.as_ref().is_none_or(|row| row.len() == replies.table.columns.len()));
    Ok(found)
}

/// Adds a message.
pub(crate) fn say(
    transaction: &Transaction,
    conversation_id: Uuid,
    id: Uuid,
    sender: &str,
    content: &str,
    message_type: &str,
) -> Result<(), StoreError> {
    let messages = schema().known("messages");
    let mut row = messages.default_row();
    row[messages.at("id")] = Value::Uuid(id);
    row[messages.at("conversation_id")] = Value::Uuid(conversation_id);
    row[messages.at("sender")] = Value::text(sender);
    row[messages.at("content")] = Value::text(content);
    row[messages.at("message_type")] = Value::text(message_type);
    // Messages are read in the order of their times, so a later one may not share the time of the one before it.
    let last = branches::newest(transaction, conversation_id)?;
    let after =
        last.and_then(|last| last[messages.at("created_at")].as_micros()).map_or(0, |micros| micros + 1);
    let now = chrono::Utc::now().timestamp_micros();
    row[messages.at("created_at")] = Value::Timestamp(now.max(after));
    let service = transaction.claims.elevated();
    transaction.insert(&Caller::new(&service), messages, row).map(|_| ())
}
