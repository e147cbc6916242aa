//! What a conversation remembers beyond its latest messages, in `conversations.memory_data`:
//!
//! - `key_facts`: pinned facts, each `{id, text, source_message_id, created_at}`; plain texts of clients count too;
//! - `summaries`: what happened earlier, each `{id, text, message_ids, created_at}`.
//!
//! Everything names the messages it comes from and goes away with them. Other members are the client's.

use std::collections::HashSet;

use serde_json::{Value as Json, json};
use uuid::Uuid;

/// Facts kept.
pub const FACTS_MAX: usize = 200;
/// Summaries kept; the oldest goes first.
pub const SUMMARIES_MAX: usize = 64;
/// Longest fact or summary, in characters.
pub const TEXT_CHARS_MAX: usize = 4000;

/// Something remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// What.
    pub text: String,
    /// From which messages.
    pub sources: Vec<Uuid>,
}

fn read(entry: &Json) -> Option<Remembered> {
    if let Json::String(text) = entry {
        return Some(Remembered { id: None, text: text.clone(), sources: Vec::new() });
    }
    let text = entry["text"].as_str().or(entry["fact"].as_str())?.to_string();
    Some(Remembered { id: entry["id"].as_str().map(str::to_string), text, sources: sources(entry) })
}

fn sources(entry: &Json) -> Vec<Uuid> {
    let one = entry["source_message_id"].as_str().into_iter();
    let many = entry["message_ids"].as_array().into_iter().flatten().filter_map(Json::as_str);
    one.chain(many).filter_map(|id| Uuid::parse_str(id).ok()).collect()
}

fn list(data: &Json, member: &str) -> Vec<Remembered> {
    data[member].as_array().into_iter().flatten().filter_map(read).collect()
}

/// The pinned facts.
pub fn facts(data: &Json) -> Vec<Remembered> {
    list(data, "key_facts")
}

/// The summaries, the oldest first.
pub fn summaries(data: &Json) -> Vec<Remembered> {
    list(data, "summaries")
}

/// Takes out what comes from any of these messages.
pub fn take(data: &mut Json, gone: &HashSet<Uuid>) -> Option<Json> {
    let mut taken = serde_json::Map::new();
    for member in ["key_facts", "summaries"] {
        let Some(entries) = data[member].as_array() else { continue };
        let is_gone = |entry: &&Json| sources(entry).iter().any(|id| gone.contains(id));
        let (out, kept): (Vec<&Json>, Vec<&Json>) = entries.iter().partition(is_gone);
        if !out.is_empty() {
            taken.insert(member.into(), json!(out));
            data[member] = json!(kept);
        }
    }
    (!taken.is_empty()).then_some(Json::Object(taken))
}

/// Puts back what [`take`] took.
pub fn put_back(data: &mut Json, taken: &Json) {
    if !data.is_object() {
        *data = json!({});
    }
    for member in ["key_facts", "summaries"] {
        let Some(entries) = taken[member].as_array() else { continue };
        let mut all = data[member].as_array().cloned().unwrap_or_default();
        all.extend(entries.iter().cloned());
        data[member] = Json::Array(all);
    }
}

/// Adds a pinned fact; `None` when there are too many.
pub fn pin(data: &mut Json, text: &str, source: Option<Uuid>) -> Option<String> {
    if !data.is_object() {
        *data = json!({});
    }
    let mut all = data["key_facts"].as_array().cloned().unwrap_or_default();
    if all.len() >= FACTS_MAX {
        return None;
    }
    let id = Uuid::new_v4().to_string();
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let now = chrono::Utc::now().to_rfc3339();
    all.push(json!({"id": id, "text": text, "source_message_id": source, "created_at": now}));
    data["key_facts"] = Json::Array(all);
    Some(id)
}

/// Removes a pinned fact by its id; says whether it was there.
pub fn unpin(data: &mut Json, id: &str) -> bool {
    let Some(all) = data["key_facts"].as_array() else { return false };
    let kept: Vec<&Json> = all.iter().filter(|entry| entry["id"].as_str() != Some(id)).collect();
    let found = kept.len() < all.len();
    data["key_facts"] = json!(kept);
    found
}

/// Adds a summary of messages.
pub fn summarise(data: &mut Json, text: &str, of: &[Uuid]) {
    if !data.is_object() {
        *data = json!({});
    }
    let mut all = data["summaries"].as_array().cloned().unwrap_or_default();
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let now = chrono::Utc::now().to_rfc3339();
    all.push(json!({"id": Uuid::new_v4(), "text": text, "message_ids": of, "created_at": now}));
    let surplus = all.len().saturating_sub(SUMMARIES_MAX);
    data["summaries"] = json!(all[surplus..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_goes_with_its_messages_and_comes_back() {
        let (a, b, c) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let mut data = json!({"pronouns": "she", "key_facts": ["plain"]});
        let id = pin(&mut data, "the key is red", Some(a)).expect("there is room");
        pin(&mut data, "the door is blue", Some(c));
        summarise(&mut data, "they met", &[a, b]);
        let before = data.clone();
        assert_eq!(take(&mut data, &HashSet::from([Uuid::from_u128(9)])), None);
        let taken = take(&mut data, &HashSet::from([a])).expect("something came from it");
        let texts = |all: Vec<Remembered>| all.into_iter().map(|it| it.text).collect::<Vec<_>>();
        assert_eq!(texts(facts(&data)), ["plain", "the door is blue"]);
        assert!(summaries(&data).is_empty());
        put_back(&mut data, &taken);
        assert_eq!(facts(&data).len(), 3);
        assert_eq!(summaries(&data), summaries(&before));
        assert_eq!(data["pronouns"], "she");
        assert!(unpin(&mut data, &id) && !unpin(&mut data, &id));
    }
}
