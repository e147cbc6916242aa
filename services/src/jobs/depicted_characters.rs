//! The characters in a job: no minor can be in an nsfw one, whatever its prompt says, so they are looked up by every id
//! that leads to a character.

use std::collections::BTreeSet;

use actors::content_rules::{self, ContentRating};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;

/// Members that name a character, or several.
pub const CHARACTERS: [&str; 12] = [
    "character_id",
    "characterId",
    "user_character_id",
    "userCharacterId",
    "persona_id",
    "character_ids",
    "characterIds",
    "user_character_ids",
    "characters",
    "participants",
    "participant_ids",
    "roleplay_characters",
];
/// Members that name a scene or a conversation, and the table of each.
pub const PLACES: [(&str, &str); 8] = [
    ("scene_id", "character_scenes"),
    ("sceneId", "character_scenes"),
    ("previous_scene_id", "character_scenes"),
    ("scene_ids", "character_scenes"),
    ("conversation_id", "conversations"),
    ("conversationId", "conversations"),
    ("conversation_ids", "conversations"),
    ("conversations", "conversations"),
];
/// Characters of one job at most.
const CHARACTERS_MAX: usize = 64;
/// What a character's row says of them in words.
const WORDS: [&str; 9] = [
    "name",
    "description",
    "appearance_tags",
    "physical_traits",
    "traits",
    "backstory",
    "persona",
    "personality",
    "scenario",
];

/// Refuses an nsfw job in which a minor is; `said` is what names its characters: what the caller said of it, and whom its
/// LoRAs were trained on.
pub(crate) async fn refuse_minors(
    context: &Context,
    tier: ContentRating,
    said: &[&Map<String, Json>],
) -> Result<(), ServiceError> {
    if tier == ContentRating::Sfw {
        return Ok(());
    }
    let mut characters = BTreeSet::new();
    for said in said {
        for name in CHARACTERS {
            characters.extend(ids(said.get(name)));
        }
        for (name, table) in PLACES {
            for id in ids(said.get(name)).into_iter().take(CHARACTERS_MAX) {
                characters.extend(characters_in(context, table, id).await?);
            }
        }
    }
    if characters.len() > CHARACTERS_MAX {
        return Err(ServiceError::field("metadata", format!("more than {CHARACTERS_MAX} characters")));
    }
    for id in characters {
        check_character(tier, &context.row("characters", id).await?.unwrap_or_default())?;
    }
    Ok(())
}

/// Refuses a row of `characters` that may not be in a job of this tier.
pub(crate) fn check_character(tier: ContentRating, character: &Json) -> Result<(), ServiceError> {
    if content_rules::is_minors_age_range(character["age_range"].as_str().unwrap_or_default()) {
        let reason = "a character that is a minor can never be in an nsfw job";
        return Err(ServiceError::content_refused(reason));
    }
    for column in WORDS {
        if let Some(text) = words(&character[column]) {
            content_rules::check(tier, "the character", &text)?;
        }
    }
    Ok(())
}

/// Who is in a scene or a conversation; a scene has what its conversation has.
async fn characters_in(
    context: &Context,
    table: &'static str,
    id: Uuid,
) -> Result<BTreeSet<Uuid>, ServiceError> {
    let Some(row) = context.row(table, id).await? else { return Ok(BTreeSet::new()) };
    let mut found = BTreeSet::new();
    let mut rows = vec![row];
    if let Some(conversation) = ids(rows[0].get("conversation_id")).into_iter().next() {
        rows.extend(context.row("conversations", conversation).await?);
    }
    for row in &rows {
        for name in ["character_id", "user_character_id"] {
            found.extend(ids(row.get(name)));
        }
        for document in ["memory_data", "generation_metadata"] {
            for name in CHARACTERS {
                found.extend(ids(row[document].get(name)));
            }
        }
    }
    Ok(found)
}

/// The ids that a member holds: one, several, or objects that have one.
fn ids(value: Option<&Json>) -> Vec<Uuid> {
    match value {
        Some(Json::String(text)) => Uuid::parse_str(text.trim()).into_iter().collect(),
        Some(Json::Array(items)) => items.iter().flat_map(|item| ids(Some(item))).collect(),
        Some(Json::Object(members)) => {
            ["id", "character_id", "characterId"].iter().flat_map(|name| ids(members.get(*name))).collect()
        }
        _ => Vec::new(),
    }
}

/// A text, or a list of texts as one.
fn words(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Array(items) => {
            let texts: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_found_however_they_are_listed() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(ids(Some(&json!(a))), [a]);
        assert_eq!(ids(Some(&json!([a, {"character_id": b}, "no id", 3]))), [a, b]);
        assert!(ids(Some(&json!(null))).is_empty() && ids(None).is_empty());
    }
}
