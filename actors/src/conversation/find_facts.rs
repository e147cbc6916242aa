//! What is worth remembering for good: while a part of a conversation is summed up, the model is asked for facts, each
//! with the message it comes from.

use std::collections::HashSet;

use language::{ChatMessage, Role, Sampling};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::chat::{Chat, Turn};
use super::prompt::Said;
use super::update_memory::{MemoryChange, UpdateMemory};
use crate::content_rules;
use crate::language::{CallOf, Completion};

/// Facts of one part.
const FACTS_MAX: usize = 4;
/// Longest fact, in characters.
const FACT_CHARS_MAX: usize = 200;
/// Longest answer, in tokens.
const TOKENS_MAX: usize = 320;

const INSTRUCTIONS: &str = "Find what should be remembered for good from this part of a conversation: who somebody is, \
                            what they like or fear, what was promised, lost or found. Each fact is one short sentence \
                            that stands alone and names people by name. Give each the number of the message that says \
                            it. Give none that no message says; at most four, and none if nothing matters.";

/// Words that any two sentences share.
const COMMON: [&str; 20] = [
    "the", "and", "has", "had", "have", "was", "are", "her", "his", "she", "you", "they", "their", "for",
    "with", "that", "this", "from", "not", "but",
];

fn schema(messages: usize) -> Json {
    json!({
        "type": "object",
        "properties": {"facts": {"type": "array", "maxItems": FACTS_MAX, "items": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 1, "maxLength": FACT_CHARS_MAX},
                "message": {"type": "integer", "minimum": 1, "maximum": messages},
            },
            "required": ["text", "message"],
            "additionalProperties": false,
        }}},
        "required": ["facts"],
        "additionalProperties": false,
    })
}

impl Chat {
    /// Asks for facts in messages that were just summed up, given as `lines`; that there are none is no failure.
    pub(super) async fn find_facts(&self, turn: &Turn, batch: &[Said], lines: &[String]) {
        let schema = schema(lines.len());
        let numbered = lines.iter().enumerate().map(|(at, line)| format!("{}. {line}", at + 1));
        let is_local = turn.chosen.provider == "local";
        // Not every remote server takes a schema, but each reads instructions.
        let system = match is_local {
            true => INSTRUCTIONS.to_string(),
            false => format!(
                "{INSTRUCTIONS}\n\nAnswer with one JSON object and nothing else. It follows this JSON schema: {schema}"
            ),
        };
        let completion = Completion {
            messages: vec![
                ChatMessage::new(Role::System, system),
                ChatMessage::new(Role::User, numbered.collect::<Vec<_>>().concat()),
            ],
            sampling: Sampling::greedy(),
            max_tokens: TOKENS_MAX,
            json_schema: is_local.then_some(schema),
            user: turn.user_id.to_string(),
            call: CallOf::new(Some(turn.user_id), "facts"),
        };
        let answer = match self.inner.engines.complete(&turn.chosen, completion).await {
            Ok((answer, _)) => answer,
            Err(error) => {
                tracing::warn!(%error, "a conversation was not searched for facts");
                return;
            }
        };
        let mut found = read(&answer, &batch[..lines.len().min(batch.len())]);
        found.retain(|(text, _)| content_rules::check(turn.tier.of_own_words(), "a fact", text).is_ok());
        if found.is_empty() {
            return;
        }
        let update = UpdateMemory {
            conversation_id: turn.conversation_id,
            user_id: turn.user_id,
            change: MemoryChange::Learn(found),
        };
        if let Err(error) = self.inner.actors.ask(&turn.claims, update).await {
            tracing::warn!(%error, "facts could not be stored");
        }
    }
}

/// The facts of an answer that their messages bear out.
fn read(answer: &str, batch: &[Said]) -> Vec<(String, Uuid)> {
    let from = answer.find('{').unwrap_or(answer.len());
    let object = serde_json::Deserializer::from_str(&answer[from..]).into_iter::<Json>().next();
    let Some(Ok(object)) = object else { return Vec::new() };
    let mut facts = Vec::new();
    for fact in object["facts"].as_array().into_iter().flatten().take(FACTS_MAX) {
        let text = fact["text"].as_str().unwrap_or_default().trim();
        let number = fact["message"].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let said = number.checked_sub(1).and_then(|at| batch.get(at));
        let fits = !text.is_empty() && text.chars().count() <= FACT_CHARS_MAX;
        if let Some(said) = said.filter(|said| fits && bears_out(&said.text, text))
            && let Some(id) = said.id
        {
            facts.push((text.to_string(), id));
        }
    }
    facts
}

/// Whether a message has anything to do with a fact: small models cite what has not. They share a word, or two letters in
/// a row where no spaces part words.
fn bears_out(message: &str, fact: &str) -> bool {
    let words = |text: &str| -> HashSet<String> {
        let words = text.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase);
        words.filter(|word| word.chars().count() >= 3 && !COMMON.contains(&word.as_str())).collect()
    };
    if fact.is_ascii() {
        return !words(message).is_disjoint(&words(fact));
    }
    let letters: Vec<char> = fact.chars().filter(|letter| letter.is_alphanumeric()).collect();
    letters.windows(2).any(|pair| message.contains(&pair.iter().collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(number: u128, text: &str) -> Said {
        Said { id: Some(Uuid::from_u128(number)), role: Role::User, text: text.into() }
    }

    #[test]
    fn facts_are_kept_with_their_messages_if_those_bear_them_out() {
        let batch = [said(1, "I lost my red key at the harbour."), said(2, "猫が好きです"), said(3, "Well.")];
        let answer = r#"Here: {"facts": [{"text": "Ada lost a red key.", "message": 1},
            {"text": "Ada has a red key and the moon.", "message": 3}, {"text": "彼女は猫が好き", "message": 2},
            {"text": "Ada is a queen.", "message": 9}, {"text": "Ada likes the harbour.", "message": 1}]} bye"#;
        let found = read(answer, &batch);
        let expected = [("Ada lost a red key.", 1), ("彼女は猫が好き", 2)];
        assert_eq!(found, expected.map(|(text, id)| (text.to_string(), Uuid::from_u128(id))));
        for broken in ["", "no", "{", r#"{"facts": 7}"#, r#"{"facts": [{"text": "x"}]}"#] {
            assert!(read(broken, &batch).is_empty(), "{broken}");
        }
    }
}
