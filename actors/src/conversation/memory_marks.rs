//! What clients write into `conversations.memory_data` themselves. Who worded something decides which rules its words are held
//! to, so the marks of it are the server's: `by` and `worded_by` of facts, and that a summary is a model's.

use std::collections::{BTreeMap, HashSet};

use models::{Row, Value};
use serde_json::{Value as Json, json};
use store::{Caller, Event, StoreError, Transaction};

use super::memory;
use super::sheet::each_text;
use crate::content_rules::{self, ContentRating};
use crate::refusal::content_refused;

/// How a client's writing is refused.
const BAD_REQUEST: &str = "PT400";

pub(crate) fn before_write(
    transaction: &Transaction,
    event: &Event,
    new: &mut Row,
) -> Result<(), StoreError> {
    let column = event.table.at("memory_data");
    let old = event.old.map(|old| &old[column]);
    if event.claims.is_service() || old == Some(&new[column]) {
        return Ok(());
    }
    let Some(mut data) = new[column].as_json() else { return Ok(()) };
    let old = old.and_then(Value::as_json).unwrap_or_default();
    let fresh = settle(&mut data, &old).map_err(|message| StoreError::raised(BAD_REQUEST, message))?;
    new[column] = Value::json(&data);
    if fresh.is_empty() {
        return Ok(());
    }
    let (caller, reads) = (Caller::new(event.claims), transaction.reads());
    if caller.is_age_verified(&reads)? || caller.is_admin(&reads)? {
        return Ok(());
    }
    for (field, text) in fresh {
        content_rules::check(ContentRating::Sfw, &field, &text)
            .map_err(|refusal| content_refused(&refusal.to_string()))?;
    }
    Ok(())
}

/// Marks what was not there before as a person's, and answers with its texts, each with its field. A fact that claims to be
/// a model's is refused.
fn settle(data: &mut Json, old: &Json) -> Result<Vec<(String, String)>, String> {
    let mut fresh = Vec::new();
    for (member, most) in [("key_facts", memory::FACTS_MAX), ("summaries", memory::SUMMARIES_MAX)] {
        let before = old[member].as_array().map_or(&[][..], Vec::as_slice);
        let known: HashSet<String> = before.iter().map(in_order).collect();
        let entries = data.get_mut(member).and_then(Json::as_array_mut);
        let count = entries.as_ref().map_or(0, |entries| entries.len());
        if count > most.max(before.len()) {
            return Err(format!("memory_data.{member}: {count} entries; {most} are kept at most"));
        }
        for (place, entry) in entries.into_iter().flatten().enumerate() {
            if known.contains(&in_order(entry)) {
                continue;
            }
            let field = format!("memory_data.{member}[{place}]");
            match (member, &mut *entry) {
                ("summaries", Json::Object(summary)) => {
                    summary.insert("worded_by".into(), json!("person"));
                }
                (_, Json::Object(fact)) => {
                    let claimed =
                        ["by", "worded_by"].into_iter().find(|mark| fact.get(*mark) == Some(&json!("model")));
                    if let Some(mark) = claimed {
                        return Err(format!(
                            "{field}.{mark}: only the server says that a model worded something; leave it out of what is \
                             written anew"
                        ));
                    }
                }
                _ => {}
            }
            each_text(entry, &mut |text| fresh.push((field.clone(), text.to_string())));
        }
    }
    for (member, value) in data.as_object().into_iter().flatten() {
        // What is no list there is no more than another member of the client's.
        let is_list = ["key_facts", "summaries"].contains(&member.as_str()) && value.is_array();
        if !is_list && old[member.as_str()] != *value {
            each_text(value, &mut |text| fresh.push((format!("memory_data.{member}"), text.to_string())));
        }
    }
    Ok(fresh)
}

/// The text of an entry with its members in order, so that it is the same however a client writes it.
fn in_order(entry: &Json) -> String {
    match entry {
        Json::Object(members) => {
            let members: BTreeMap<&String, &Json> = members.iter().collect();
            json!(members.into_iter().collect::<Vec<_>>()).to_string()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// What a model worded.
    fn by_model(data: &Json) -> Vec<String> {
        let all = memory::facts(data).into_iter().chain(memory::summaries(data));
        all.filter(|it| it.by_model).map(|it| it.text).collect()
    }

    /// What a conversation remembers by the server alone.
    fn remembered() -> Json {
        let mut data = json!({});
        let a = Uuid::from_u128(1);
        memory::learn(&mut data, &[("she sails".into(), a)]);
        memory::summarise(&mut data, "they met", &[a]);
        data
    }

    #[test]
    fn nothing_that_a_client_writes_is_a_models() {
        let old = remembered();
        assert_eq!(by_model(&old), ["she sails", "they met"]);
        // As it was read, with something added: what the server wrote keeps its marks.
        let mut data = old.clone();
        data["key_facts"].as_array_mut().expect("facts").push(json!({"id": "x", "text": "he rows"}));
        data["summaries"].as_array_mut().expect("summaries").push(json!({"id": "y", "text": "it rained"}));
        let fresh = settle(&mut data, &old).expect("it is taken");
        assert_eq!(by_model(&data), ["she sails", "they met"]);
        assert!(fresh.contains(&("memory_data.key_facts[1]".into(), "he rows".into())), "{fresh:?}");
        assert!(!fresh.iter().any(|(_, text)| text == "she sails" || text == "they met"));

        // Other words under a mark that was there, or a mark of one's own.
        let mut reworded = old.clone();
        reworded["key_facts"][0]["text"] = json!("she sinks");
        let refused = settle(&mut reworded, &old).expect_err("refused");
        assert!(refused.starts_with("memory_data.key_facts[0].by: "), "{refused}");
        let mut forged = json!({"key_facts": ["plain", {"text": "x", "worded_by": "model"}]});
        let refused = settle(&mut forged, &Json::Null).expect_err("refused");
        assert!(refused.starts_with("memory_data.key_facts[1].worded_by: "), "{refused}");
        let mut summaries = old.clone();
        summaries["summaries"][0]["text"] = json!("they fought");
        settle(&mut summaries, &old).expect("it is taken");
        assert_eq!(by_model(&summaries), ["she sails"], "a person's from now on");
        let mut bare =
            json!({"summaries": [{"text": "it rained"}, "plain"], "key_facts": [{"text": "x", "by": "me"}]});
        settle(&mut bare, &Json::Null).expect("it is taken");
        assert!(by_model(&bare).is_empty(), "{bare}");
        let mut many = json!({"summaries": vec!["it rained"; memory::SUMMARIES_MAX + 1]});
        assert!(settle(&mut many, &Json::Null).is_err_and(|it| it.starts_with("memory_data.summaries: 65")));
        let kept = many.clone();
        assert!(settle(&mut many, &kept).is_ok(), "those that are there may stay");
    }

    #[test]
    fn texts_of_all_members_are_checked_where_they_changed() {
        let old = json!({"pronouns": "she", "notes": {"a": "b"}});
        let mut data =
            json!({"pronouns": "they", "notes": {"a": "b"}, "key_facts": "odd", "summaries": [["deep"]]});
        let fresh = settle(&mut data, &old).expect("it is taken");
        let fields: Vec<&str> = fresh.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["memory_data.summaries[0]", "memory_data.pronouns", "memory_data.key_facts"]);
    }
}
