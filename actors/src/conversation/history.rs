//! What a turn finds in the store: what was said before, what is remembered, which lore applies.

use std::collections::HashSet;

use language::Role;
use models::{Row, Value, schema};
use serde_json::Value as Json;
use store::query::{Comparison, Filter, Limits, Query, Reader};
use store::{Caller, Store, StoreError};
use uuid::Uuid;

use super::memory::{self, Remembered};
use super::prompt::Said;
use crate::rows;

/// Other conversations whose facts are remembered.
const OTHERS_MAX: u64 = 50;
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
    /// How many replies of the character there have been among them.
    pub replies: usize,
    /// The newest message, also when it is not among them.
    pub newest: Option<Uuid>,
    /// `memory_data`.
    pub memory: Json,
    /// Facts of other conversations.
    pub others: Vec<Remembered>,
    /// Lorebook entries called before.
    pub lore: Vec<usize>,
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
        let mut query = latest(id).limit(count);
        if let Some(before) = before
            && let Some(row) = store.reads().get(messages, &[Value::Uuid(before)])?
        {
            let time = messages.at("created_at");
            query = query.filter(Filter::compare(time, Comparison::Less, row[time].clone()));
        }
        let mut said: Vec<Said> = select(store, &query)?.iter().map(read_message).collect();
        said.reverse();
        Ok(History {
            replies: said.iter().filter(|said| said.role == Role::Assistant).count(),
            said,
            newest,
            memory: conversation["memory_data"].clone(),
            others: others(store, conversation, tier)?,
            lore: lore(store, id)?,
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

fn lore(store: &Store, conversation: Uuid) -> Result<Vec<usize>, StoreError> {
    let replies = schema().known("chat.replies");
    let query = rows::all("chat.replies")
        .equal("conversation_id", Value::Uuid(conversation))
        .order("created_at", true)
        .limit(1);
    let last = select(store, &query)?.pop();
    let lore = last.and_then(|row| row[replies.at("lore")].as_json()).unwrap_or_default();
    Ok(lore.as_array().into_iter().flatten().filter_map(Json::as_u64).map(|index| index as usize).collect())
}
