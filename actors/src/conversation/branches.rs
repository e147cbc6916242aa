//! Branches of a conversation. `messages` holds the active one; other versions of a message, and what followed them, are
//! inactive (`chat.shelved_messages`), each knowing the message that it follows.

use std::collections::HashSet;

use models::{Row, Value, schema};
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, Reads, StoreError, Transaction};
use uuid::Uuid;

use super::memory;
use crate::rows;

/// Messages moved in one transaction.
const TAIL_MAX: u64 = 20_000;
/// Steps walked along a branch.
const DEPTH_MAX: usize = 20_000;

fn select(transaction: &Transaction, query: &Query) -> Result<Vec<Row>, StoreError> {
    let service = transaction.claims.elevated();
    let caller = Caller::new(&service);
    let limits = Limits { rows_max: TAIL_MAX, ..Limits::default() };
    Ok(Reader::new(transaction.reads(), &caller, limits).select(query, false)?.rows)
}

fn in_conversation(conversation: Uuid) -> Query {
    rows::all("messages").equal("conversation_id", Value::Uuid(conversation))
}

/// The last message of the active branch.
pub(crate) fn newest(transaction: &Transaction, conversation: Uuid) -> Result<Option<Row>, StoreError> {
    Ok(select(transaction, &in_conversation(conversation).order("created_at", true).limit(1))?.pop())
}

/// The message with this id and all that follow it, with the one before them.
fn tail(
    transaction: &Transaction,
    conversation: Uuid,
    first: &Row,
) -> Result<(Option<Uuid>, Vec<Row>), StoreError> {
    let messages = schema().known("messages");
    let (id, time) = (messages.at("id"), messages.at("created_at"));
    let compare = |comparison| {
        in_conversation(conversation).filter(Filter::compare(time, comparison, first[time].clone()))
    };
    let from = compare(Comparison::GreaterOrEqual).order("created_at", false).limit(TAIL_MAX);
    let mut tail = select(transaction, &from)?;
    if tail.len() as u64 >= TAIL_MAX {
        return Err(StoreError::Limit { what: "number of messages moved", max: TAIL_MAX });
    }
    let at = tail.iter().position(|row| row[id] == first[id]).unwrap_or(0);
    let kept: Vec<Row> = tail.drain(..at).collect();
    let before = match kept.last() {
        Some(row) => Some(row[id].clone()),
        None => {
            let before = compare(Comparison::Less).order("created_at", true).limit(1);
            select(transaction, &before)?.pop().map(|row| row[id].clone())
        }
    };
    Ok((before.and_then(|id| id.as_uuid()), tail))
}

/// Makes a message and all that follow it inactive, together with what was remembered from them. Says whether the
/// message was there.
pub(crate) fn shelve_from(
    transaction: &Transaction,
    conversation: Uuid,
    message: Uuid,
) -> Result<bool, StoreError> {
    let messages = schema().known("messages");
    let inactive = schema().known("chat.shelved_messages");
    let first = transaction.reads().get(messages, &[Value::Uuid(message)])?;
    let belongs = |row: &Row| row[messages.at("conversation_id")] == Value::Uuid(conversation);
    let Some(first) = first.filter(belongs) else { return Ok(false) };
    let (mut parent, tail) = tail(transaction, conversation, &first)?;
    let gone: HashSet<Uuid> = tail.iter().filter_map(|row| row[messages.at("id")].as_uuid()).collect();
    let mut forgotten = forget(transaction, conversation, &gone)?;
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    for row in tail {
        let mut shelved = inactive.default_row();
        for column in ["id", "conversation_id", "sender", "content", "message_type", "created_at"] {
            shelved[inactive.at(column)] = row[messages.at(column)].clone();
        }
        shelved[inactive.at("parent_id")] = parent.map_or(Value::Null, Value::Uuid);
        if let Some(memory) = forgotten.take() {
            shelved[inactive.at("memory")] = Value::json(&memory);
        }
        parent = row[messages.at("id")].as_uuid();
        transaction.insert(&service, inactive, shelved)?;
        transaction.delete(&service, messages, &row)?;
    }
    Ok(true)
}

/// Takes what was remembered from messages out of the conversation's memory, and returns it.
pub(crate) fn forget(
    transaction: &Transaction,
    conversation: Uuid,
    gone: &HashSet<Uuid>,
) -> Result<Option<serde_json::Value>, StoreError> {
    let table = schema().known("conversations");
    let Some(old) = transaction.reads().get(table, &[Value::Uuid(conversation)])? else { return Ok(None) };
    let column = table.at("memory_data");
    let Some(mut data) = old[column].as_json() else { return Ok(None) };
    let Some(taken) = memory::take(&mut data, gone) else { return Ok(None) };
    let mut row = old.clone();
    row[column] = Value::json(&data);
    let service = transaction.claims.elevated();
    transaction.update(&Caller::new(&service), table, &old, row)?;
    Ok(Some(taken))
}

/// Inactive versions that follow the same message; `None` means the beginning.
pub(crate) fn versions(
    reads: Reads<'_>,
    conversation: Uuid,
    parent: Option<Uuid>,
) -> Result<Vec<Row>, StoreError> {
    let query = rows::all("chat.shelved_messages")
        .equal("conversation_id", Value::Uuid(conversation))
        .equal("parent_id", parent.map_or(Value::Null, Value::Uuid))
        .order("created_at", false)
        .limit(1000);
    let service = models::Claims::service();
    let caller = Caller::new(&service);
    Ok(Reader::new(reads, &caller, Limits::default()).select(&query, false)?.rows)
}

/// Makes the branch of an inactive message active, with what followed it last; the one that was active becomes
/// inactive. Says whether the message was inactive.
pub(crate) fn tell(transaction: &Transaction, conversation: Uuid, message: Uuid) -> Result<bool, StoreError> {
    let messages = schema().known("messages");
    let inactive = schema().known("chat.shelved_messages");
    let shelved = |id: Uuid| transaction.reads().get(inactive, &[Value::Uuid(id)]);
    let belongs = |row: &Row| row[inactive.at("conversation_id")] == Value::Uuid(conversation);
    let Some(wanted) = shelved(message)?.filter(belongs) else { return Ok(false) };
    // Up to the active branch …
    let mut path = vec![wanted];
    let fork = loop {
        let parent = path.last().and_then(|row| row[inactive.at("parent_id")].as_uuid());
        let Some(parent) = parent else { break None };
        match shelved(parent)?.filter(belongs) {
            Some(row) if path.len() < DEPTH_MAX => path.push(row),
            _ => break Some(parent),
        }
    };
    path.reverse();
    // … and down to the end.
    while path.len() < DEPTH_MAX {
        let last = path.last().and_then(|row| row[inactive.at("id")].as_uuid());
        let mut next = versions(transaction.reads(), conversation, last)?;
        next.sort_by_key(|row| row[inactive.at("shelved_at")].as_micros());
        match next.pop() {
            Some(row) => path.push(row),
            None => break,
        }
    }
    let after_fork = match fork {
        Some(fork) => following(transaction, conversation, fork)?,
        None => {
            select(transaction, &in_conversation(conversation).order("created_at", false).limit(1))?.pop()
        }
    };
    if let Some(id) = after_fork.and_then(|row| row[messages.at("id")].as_uuid()) {
        shelve_from(transaction, conversation, id)?;
    }
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    for row in path {
        let mut active = messages.default_row();
        for column in ["id", "conversation_id", "sender", "content", "message_type", "created_at"] {
            active[messages.at(column)] = row[inactive.at(column)].clone();
        }
        transaction.delete(&service, inactive, &row)?;
        transaction.insert(&service, messages, active)?;
        if let Some(known) = row[inactive.at("memory")].as_json() {
            remember_again(transaction, &service, conversation, &known)?;
        }
    }
    Ok(true)
}

/// The message that follows another one on the active branch.
fn following(
    transaction: &Transaction,
    conversation: Uuid,
    message: Uuid,
) -> Result<Option<Row>, StoreError> {
    let messages = schema().known("messages");
    let Some(row) = transaction.reads().get(messages, &[Value::Uuid(message)])? else { return Ok(None) };
    let (_, tail) = tail(transaction, conversation, &row)?;
    Ok(tail.into_iter().nth(1))
}

fn remember_again(
    transaction: &Transaction,
    service: &Caller,
    conversation: Uuid,
    known: &serde_json::Value,
) -> Result<(), StoreError> {
    let table = schema().known("conversations");
    let Some(old) = transaction.reads().get(table, &[Value::Uuid(conversation)])? else { return Ok(()) };
    let column = table.at("memory_data");
    let mut data = old[column].as_json().unwrap_or_else(|| serde_json::json!({}));
    memory::put_back(&mut data, known);
    let mut row = old.clone();
    row[column] = Value::json(&data);
    transaction.update(service, table, &old, row)?;
    Ok(())
}
