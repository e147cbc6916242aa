//! What a conversation remembers beyond its latest messages, in `conversations.memory_data`:
//!
//! - `key_facts`: facts, each `{id, text, source_message_id, created_at}`; plain texts of clients count too. People pin
//!   them; those that the model found while it summed up say `"by": "model"` until they are pinned or edited, and
//!   `"worded_by": "model"` where they are pinned as they stand;
//! - `summaries`: what happened earlier, each `{id, text, message_ids, created_at}`; those that a person reworded say
//!   `"worded_by": "person"`;
//! - `find_facts`: `false` keeps the model from finding facts.
//!
//! Those marks are the server's; what clients write into the column themselves is a person's (`memory_marks.rs`).
//! Everything names the messages it comes from and goes away with them. Other members are the client's.

use std::collections::HashSet;

use serde_json::{Value as Json, json};
use uuid::Uuid;

/// Facts kept.
pub const FACTS_MAX: usize = 200;
/// Facts kept that the model found; the oldest goes first.
pub const FOUND_MAX: usize = 60;
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
    /// Whether the model found it, and it has not been pinned since.
    pub found: bool,
    /// Whether its words are a model's.
    pub by_model: bool,
}

fn read(entry: &Json) -> Option<Remembered> {
    if let Json::String(text) = entry {
        let text = text.clone();
        return Some(Remembered { id: None, text, sources: Vec::new(), found: false, by_model: false });
    }
    let text = entry["text"].as_str().or(entry["fact"].as_str())?.to_string();
    let id = entry["id"].as_str().map(str::to_string);
    let found = is_found(entry);
    let by_model = found || entry["worded_by"] == "model";
    Some(Remembered { id, text, sources: sources(entry), found, by_model })
}

fn sources(entry: &Json) -> Vec<Uuid> {
    let one = entry["source_message_id"].as_str().into_iter();
    let many = entry["message_ids"].as_array().into_iter().flatten().filter_map(Json::as_str);
    one.chain(many).filter_map(|id| Uuid::parse_str(id).ok()).collect()
}

fn is_found(entry: &Json) -> bool {
    entry["by"] == "model"
}

fn list(data: &Json, member: &str) -> Vec<Remembered> {
    data[member].as_array().into_iter().flatten().filter_map(read).collect()
}

/// The facts.
pub fn facts(data: &Json) -> Vec<Remembered> {
    list(data, "key_facts")
}

/// The summaries, the oldest first.
pub fn summaries(data: &Json) -> Vec<Remembered> {
    let entries = data["summaries"].as_array().into_iter().flatten();
    let summary = |entry: &Json| {
        // A plain text is a client's.
        let by_model = entry.is_object() && entry["worded_by"] != "person";
        read(entry).map(|summary| Remembered { by_model, ..summary })
    };
    entries.filter_map(summary).collect()
}

/// The same for the same facts and summaries, another one for others.
pub fn stamp(data: &Json) -> String {
    let known = ["key_facts", "summaries"].map(|member| match data[member].as_array() {
        Some(entries) => json!(entries).to_string(),
        None => "[]".into(),
    });
    Uuid::new_v5(&Uuid::nil(), known.concat().as_bytes()).to_string()
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
        // What people pin comes before what the model found.
        all.remove(all.iter().position(is_found)?);
    }
    let fact = fact(text, source);
    let id = fact["id"].as_str().map(str::to_string);
    all.push(fact);
    data["key_facts"] = Json::Array(all);
    id
}

fn fact(text: &str, source: Option<Uuid>) -> Json {
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let now = chrono::Utc::now().to_rfc3339();
    json!({"id": Uuid::new_v4().to_string(), "text": text, "source_message_id": source, "created_at": now})
}

/// Adds facts that the model found, except those that are known; says how many.
pub fn learn(data: &mut Json, found: &[(String, Uuid)]) -> usize {
    if !data.is_object() {
        *data = json!({});
    }
    let mut all = data["key_facts"].as_array().cloned().unwrap_or_default();
    let plain = |text: &str| text.trim().trim_end_matches('.').to_lowercase();
    let mut known: HashSet<String> = all.iter().filter_map(read).map(|it| plain(&it.text)).collect();
    let mut added = 0;
    for (text, source) in found {
        let is_new = known.insert(plain(text));
        let at_most = |all: &[Json]| all.iter().filter(|entry| is_found(entry)).count() >= FOUND_MAX;
        if is_new && (at_most(&all) || all.len() >= FACTS_MAX) {
            match all.iter().position(is_found) {
                Some(oldest) => drop(all.remove(oldest)),
                None => continue,
            }
        }
        if is_new {
            let mut fact = fact(text, Some(*source));
            fact["by"] = json!("model");
            all.push(fact);
            added += 1;
        }
    }
    data["key_facts"] = Json::Array(all);
    added
}

/// Whether the model may add facts.
pub fn may_learn(data: &Json) -> bool {
    data["find_facts"] != Json::Bool(false)
}

/// Rewords a fact, or keeps its words without `text`; from then on it is pinned. Says whether it was there.
pub fn edit(data: &mut Json, id: &str, text: Option<&str>) -> bool {
    let facts = data["key_facts"].as_array_mut().into_iter().flatten();
    let Some(Json::Object(fact)) = facts.into_iter().find(|entry| entry["id"].as_str() == Some(id)) else {
        return false;
    };
    let was_found = fact.remove("by").is_some_and(|by| by == "model");
    if text.is_none() && was_found {
        fact.insert("worded_by".into(), json!("model"));
    }
    if let Some(text) = text {
        fact.remove("worded_by");
        fact.insert("text".into(), json!(text.chars().take(TEXT_CHARS_MAX).collect::<String>()));
    }
    true
}

/// Removes a pinned fact by its id; says whether it was there.
pub fn unpin(data: &mut Json, id: &str) -> bool {
    remove(data, "key_facts", id)
}

/// Removes a summary by its id, whose messages may then be summed up anew; says whether it was there.
pub fn forget_summary(data: &mut Json, id: &str) -> bool {
    remove(data, "summaries", id)
}

fn remove(data: &mut Json, member: &str, id: &str) -> bool {
    let Some(all) = data[member].as_array() else { return false };
    let kept: Vec<&Json> = all.iter().filter(|entry| entry["id"].as_str() != Some(id)).collect();
    let found = kept.len() < all.len();
    data[member] = json!(kept);
    found
}

/// Rewords a summary, which stays the one of its messages; says whether it was there.
pub fn reword_summary(data: &mut Json, id: &str, text: &str) -> bool {
    let summaries = data["summaries"].as_array_mut().into_iter().flatten();
    let Some(Json::Object(summary)) = summaries.into_iter().find(|entry| entry["id"].as_str() == Some(id))
    else {
        return false;
    };
    summary.insert("text".into(), json!(text.chars().take(TEXT_CHARS_MAX).collect::<String>()));
    summary.insert("worded_by".into(), json!("person"));
    true
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

    #[test]
    fn words_of_a_person_are_told_from_those_of_a_model() {
        let a = Uuid::from_u128(1);
        let mut data = json!({"key_facts": ["plain"], "summaries": ["plain"]});
        pin(&mut data, "pinned", None);
        learn(&mut data, &[("found".into(), a)]);
        summarise(&mut data, "they met", &[a]);
        let by_model = |all: Vec<Remembered>| all.into_iter().map(|it| it.by_model).collect::<Vec<_>>();
        assert_eq!(by_model(facts(&data)), [false, false, true]);
        assert_eq!(by_model(summaries(&data)), [false, true]);

        let id = facts(&data)[2].id.clone().expect("an id");
        assert!(edit(&mut data, &id, None));
        let kept = facts(&data)[2].clone();
        assert!(kept.by_model && !kept.found, "pinned as it stands");
        assert!(edit(&mut data, &id, None) && facts(&data)[2].by_model);
        assert!(edit(&mut data, &id, Some("reworded")) && !facts(&data)[2].by_model);
        let id = summaries(&data)[1].id.clone().expect("an id");
        assert!(reword_summary(&mut data, &id, "they parted"));
        assert_eq!(by_model(summaries(&data)), [false, false]);
    }

    #[test]
    fn found_facts_are_few_known_once_and_give_way_to_pinned_ones() {
        let a = Uuid::from_u128(1);
        let mut data = json!({"key_facts": ["She sails"]});
        let of = |texts: &[&str]| texts.iter().map(|text| (text.to_string(), a)).collect::<Vec<_>>();
        assert_eq!(learn(&mut data, &of(&["she sails.", "He is tall", "he is tall"])), 1);
        let tall = facts(&data)[1].clone();
        assert!(tall.found && tall.sources == [a]);
        // Editing makes it a person's own.
        let id = tall.id.expect("an id");
        assert!(edit(&mut data, &id, Some("He is small")) && !edit(&mut data, "nobody", None));
        assert_eq!((facts(&data)[1].text.as_str(), facts(&data)[1].found), ("He is small", false));

        let many: Vec<String> = (0..FOUND_MAX + 5).map(|number| format!("fact {number}")).collect();
        learn(&mut data, &of(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(facts(&data).len(), 2 + FOUND_MAX);
        assert_eq!(facts(&data)[2].text, "fact 5", "the oldest went");
        for number in 0..FACTS_MAX - 2 {
            assert!(pin(&mut data, &format!("pinned {number}"), None).is_some(), "{number}");
        }
        assert!(pin(&mut data, "one more", None).is_none());
        assert_eq!(learn(&mut data, &of(&["too late"])), 0);
        assert!(may_learn(&data) && !may_learn(&json!({"find_facts": false})));
    }
}
