//! What a turn finds in the store: what was said before, what is remembered, which lore applies.

use std::collections::HashSet;

use language::Role;
use models::{Row, Value, schema};
use serde_json::Value as Json;
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, Store, StoreError};
use uuid::Uuid;

use super::chat_lines::HIDDEN;
use super::lore_memory::LoreMemory;
use super::memory::{self, Remembered};
use super::prompt::Said;
use crate::rows;

/// Other conversations whose facts are remembered.
const OTHERS_MAX: u64 = 50;
/// Rewordings of a first message that are followed back.
const REWORDINGS_MAX: usize = 16;
/// Facts of other conversations.
const OTHER_FACTS_MAX: usize = 40;

/// How far memory reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryTier {
    /// This conversation.
    Conversation,
    /// All conversations of this account with this character.
    Character,
    /// All conversations of this account.
    Profile,
}

impl MemoryTier {
    /// The name in `memory_tier`.
    pub fn name(self) -> &'static str {
        match self {
            MemoryTier::Conversation => "conversation",
            MemoryTier::Character => "character",
            MemoryTier::Profile => "profile",
        }
    }

    /// Reads a `memory_tier`.
    pub fn parse(text: &str) -> Option<MemoryTier> {
        match text {
            "conversation" => Some(MemoryTier::Conversation),
            "character" => Some(MemoryTier::Character),
            "profile" => Some(MemoryTier::Profile),
            _ => None,
        }
    }
}

/// What was there when a turn began.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The latest messages, the oldest first.
    pub said: Vec<Said>,
    /// Those of them that a model worded. Greetings, imports and what a client says in the character's name are a person's.
    pub by_model: HashSet<Uuid>,
    /// How many replies of the character there have been among them.
    pub replies: usize,
    /// The newest message, also when it is not among them.
    pub newest: Option<Uuid>,
    /// The first message; by the id that it had before anybody reworded it.
    pub opening: Option<Said>,
    /// `memory_data`.
    pub memory: Json,
    /// Facts of other conversations.
    pub others: Vec<Remembered>,
    /// Whether there were messages before these.
    pub is_cut: bool,
    /// Lorebook entries called before.
    pub lore: LoreMemory,
    /// Whether what is remembered has changed since the last reply was asked for.
    pub is_memory_new: bool,
}

fn select(store: &Store, query: &Query) -> Result<Vec<Row>, StoreError> {
    let service = models::Claims::service();
    let caller = Caller::new(&service);
    Ok(Reader::new(store.reads(), &caller, Limits::default()).select(query, false)?.rows)
}

fn latest(conversation: Uuid) -> Query {
    rows::all("messages").equal("conversation_id", Value::Uuid(conversation)).order("created_at", true)
}

impl History {
    /// Reads at most `count` messages, only those before `before` if that is given. Blocks while it reads.
    pub fn read(
        store: &Store,
        conversation: &Json,
        before: Option<Uuid>,
        count: u64,
        tier: MemoryTier,
    ) -> Result<History, StoreError> {
        let id = conversation["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
        let messages = schema().known("messages");
        let newest = select(store, &latest(id).limit(1))?.pop();
        let newest = newest.and_then(|row| row[messages.at("id")].as_uuid());
        let mut query = latest(id).limit(count).filter(Filter::compare(
            messages.at("message_type"),
            Comparison::NotEqual,
            Value::text(HIDDEN),
        ));
        if let Some(before) = before
            && let Some(row) = store.reads().get(messages, &[Value::Uuid(before)])?
        {
            let time = messages.at("created_at");
            query = query.filter(Filter::compare(time, Comparison::Less, row[time].clone()));
        }
        let mut said: Vec<Said> = select(store, &query)?.iter().map(read_message).collect();
        said.reverse();
        let mut by_model = HashSet::new();
        for id in said.iter().filter(|said| said.role == Role::Assistant).filter_map(|said| said.id) {
            if is_by_model(store, id)? {
                by_model.insert(id);
            }
        }
        let last = last_reply(store, id)?;
        let known = last.as_ref().and_then(|prompt| prompt.memory.clone());
        Ok(History {
            replies: said.iter().filter(|said| said.role == Role::Assistant).count(),
            is_cut: said.len() as u64 == count,
            said,
            by_model,
            newest,
            opening: opening(store, id)?,
            is_memory_new: known.unwrap_or_else(|| memory::stamp(&Json::Null))
                != memory::stamp(&conversation["memory_data"]),
            memory: conversation["memory_data"].clone(),
            others: others(store, conversation, tier)?,
            lore: last.map(|last| last.lore).unwrap_or_default(),
        })
    }

    /// Messages that no summary covers, the oldest first.
    pub fn uncovered(&self) -> Vec<&Said> {
        let covered: HashSet<Uuid> =
            memory::summaries(&self.memory).into_iter().flat_map(|summary| summary.sources).collect();
        self.said.iter().filter(|said| said.id.is_some_and(|id| !covered.contains(&id))).collect()
    }
}

fn read_message(row: &Row) -> Said {
    let messages = schema().known("messages");
    let text = |column: &str| row[messages.at(column)].as_str().unwrap_or_default();
    Said {
        id: row[messages.at("id")].as_uuid(),
        role: if text("sender") == "user" { Role::User } else { Role::Assistant },
        text: text("content").to_string(),
    }
}

/// Whether a model made a message: a reply was asked for, and no person has worded it anew.
fn is_by_model(store: &Store, message: Uuid) -> Result<bool, StoreError> {
    let replies = schema().known("chat.replies");
    let reply = store.reads().get(replies, &[Value::Uuid(message)])?;
    Ok(reply.is_some_and(|row| row[replies.at("state")].as_str() != Some("edited")))
}

fn others(store: &Store, conversation: &Json, tier: MemoryTier) -> Result<Vec<Remembered>, StoreError> {
    if tier == MemoryTier::Conversation {
        return Ok(Vec::new());
    }
    let user = conversation["user_id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    let query = rows::all("conversations")
        .equal("user_id", user.map_or(Value::Null, Value::Uuid))
        .order("updated_at", true)
        .limit(OTHERS_MAX);
    let mut facts = Vec::new();
    for other in rows::select(store, &query)? {
        let same_character = other["character_id"] == conversation["character_id"];
        if other["id"] == conversation["id"] || (tier == MemoryTier::Character && !same_character) {
            continue;
        }
        facts.extend(memory::facts(&other["memory_data"]));
        if facts.len() >= OTHER_FACTS_MAX {
            facts.truncate(OTHER_FACTS_MAX);
            break;
        }
    }
    Ok(facts)
}

/// What the last reply that was asked for knew.
struct LastReply {
    lore: LoreMemory,
    /// The stamp of what was remembered.
    memory: Option<String>,
}

fn last_reply(store: &Store, conversation: Uuid) -> Result<Option<LastReply>, StoreError> {
    let replies = schema().known("chat.replies");
    let query = rows::all("chat.replies")
        .equal("conversation_id", Value::Uuid(conversation))
        // What a person worded was asked of no model.
        .filter(Filter::compare(replies.at("state"), Comparison::NotEqual, Value::text("edited")))
        .order("created_at", true)
        .limit(1);
    let Some(last) = select(store, &query)?.pop() else { return Ok(None) };
    let json = |column: &str| last[replies.at(column)].as_json().unwrap_or_default();
    Ok(Some(LastReply {
        lore: LoreMemory::read(&json("lore")),
        memory: json("prompt")["memory"].as_str().map(str::to_string),
    }))
}

/// The first message of a conversation.
fn opening(store: &Store, conversation: Uuid) -> Result<Option<Said>, StoreError> {
    let first = rows::all("messages")
        .equal("conversation_id", Value::Uuid(conversation))
        .order("created_at", false)
        .limit(1);
    let Some(mut first) = select(store, &first)?.first().map(read_message) else { return Ok(None) };
    let replies = schema().known("chat.replies");
    for _ in 0..REWORDINGS_MAX {
        let Some(id) = first.id else { break };
        let Some(row) = store.reads().get(replies, &[Value::Uuid(id)])? else { break };
        let is_reworded = row[replies.at("state")].as_str() == Some("edited");
        match row[replies.at("replaces")].as_uuid().filter(|_| is_reworded) {
            Some(before) => first.id = Some(before),
            None => break,
        }
    }
    Ok(Some(first))
}
