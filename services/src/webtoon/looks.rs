//! Looks of characters: what a story suggests, and pictures that are drawn of them.

use actors::job_scheduler::NodeWrite;
use actors::write_together::WriteTogether;
use models::{Aggregate, Value};
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;
use webtoon::offline::looks::suggest;

use super::reference_pictures::{Draft, keep, queue_draft};
use super::{characters, records, scenes, stories};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// Looks that one call draws.
const DRAWN_MAX: usize = 5;
/// Suggestions of a character in a story.
const SUGGESTIONS_MAX: usize = 20;

/// A look that is to be drawn.
#[derive(Debug)]
pub struct NewLook {
    /// The story that it is for; none for all.
    pub story: Option<Uuid>,
    /// What changes: `outfit_change`, `mood_change` and the like.
    pub variant_type: String,
    /// Its name.
    pub name: Option<String>,
    /// What else is known of it.
    pub traits: Json,
    /// What differs from the character.
    pub overrides: Json,
    /// The style that it is drawn for.
    pub style: Option<String>,
    /// The suggestion that it comes from, which it takes the place of.
    pub suggestion: Option<Uuid>,
}

/// The suggestions that there are for a character of a story, oldest first.
pub async fn suggestions(context: &Context, story: Uuid, character: Uuid) -> Result<Vec<Json>, ServiceError> {
    require_cast(context, story, character).await?;
    stored(context, story, character).await
}

async fn stored(context: &Context, story: Uuid, character: Uuid) -> Result<Vec<Json>, ServiceError> {
    let query = Query::all(position("character_variant_suggestions"))
        .equal("story_id", Value::Uuid(story))
        .equal("character_id", Value::Uuid(character));
    records::find(context, query.order("created_at", false)).await
}

async fn require_cast(context: &Context, story: Uuid, character: Uuid) -> Result<Json, ServiceError> {
    stories::story(context, story).await?;
    let row = characters::character(context, character).await?;
    let cast = scenes::characters(context, story).await?;
    match cast.iter().any(|it| it["id"] == row["id"]) {
        true => Ok(row),
        false => Err(ServiceError::not_found("the character is not in this story")),
    }
}

/// Reads the story's scenes anew, by rule: the suggestions that there were give way to those that there are now, in one
/// commit.
pub async fn refresh(context: &Context, story: Uuid, character: Uuid) -> Result<Vec<Json>, ServiceError> {
    let row = require_cast(context, story, character).await?;
    let texts: Vec<(String, String)> = scenes::list(context, story)
        .await?
        .iter()
        .filter_map(|scene| {
            Some((scene["id"].as_str()?.to_string(), scene["source_text"].as_str()?.to_string()))
        })
        .collect();
    let names = scenes::character_names(context, story).await?;
    let found = suggest(&texts, row["name"].as_str().unwrap_or_default(), &names);
    let earlier = stored(context, story, character).await?;
    let table = "character_variant_suggestions";
    let mut writes: Vec<NodeWrite> =
        earlier.iter().filter_map(|row| Some(NodeWrite::Delete { table, id: uuid(&row["id"])? })).collect();
    let started = chrono::Utc::now().timestamp_micros();
    writes.extend((0..).zip(found.iter().take(SUGGESTIONS_MAX)).map(|(place, suggestion)| {
        NodeWrite::Insert {
            table,
            values: vec![
                ("id", Value::Uuid(Uuid::new_v4())),
                ("story_id", Value::Uuid(story)),
                ("character_id", Value::Uuid(character)),
                ("variant_type", Value::text(suggestion["variant_type"].as_str().unwrap_or("outfit_change"))),
                ("override_attributes", Value::json(&suggestion["override_attributes"])),
                ("created_at", Value::Timestamp(started + place)),
            ],
        }
    }));
    context.ask(WriteTogether { owner: Aggregate::Character, writes }).await?;
    stored(context, story, character).await
}

/// Draws the looks of suggestions, of one or of the first five; each look takes the place of its suggestion.
pub async fn draw_suggested(
    context: &Context,
    user: Uuid,
    (story, character): (Uuid, Uuid),
    one: Option<Uuid>,
) -> Result<(Vec<Json>, Vec<String>), ServiceError> {
    let mut found = suggestions(context, story, character).await?;
    if let Some(one) = one {
        found.retain(|row| uuid(&row["id"]) == Some(one));
        if found.is_empty() {
            return Err(ServiceError::not_found("suggestion not found"));
        }
    }
    let mut warnings = Vec::new();
    if found.len() > DRAWN_MAX {
        warnings
            .push(format!("{} suggestions are left: one call draws {DRAWN_MAX}", found.len() - DRAWN_MAX));
    }
    let mut made = Vec::new();
    for row in found.into_iter().take(DRAWN_MAX) {
        let overrides = row["override_attributes"].clone();
        let name = ["outfit", "condition", "mood"].iter().find_map(|member| overrides[*member].as_str());
        let look = NewLook {
            story: Some(story),
            variant_type: row["variant_type"].as_str().unwrap_or("outfit_change").to_string(),
            name: name.map(str::to_string),
            traits: json!({}),
            overrides,
            style: None,
            suggestion: uuid(&row["id"]),
        };
        let (variant, said) = draw(context, user, character, look).await?;
        made.push(variant);
        warnings.extend(said);
    }
    warnings.dedup();
    Ok((made, warnings))
}

/// Draws a look of a character, from its best picture where it has one, and keeps picture and look in one commit. It is
/// not active before it is activated.
pub async fn draw(
    context: &Context,
    user: Uuid,
    character: Uuid,
    look: NewLook,
) -> Result<(Json, Vec<String>), ServiceError> {
    let row = characters::character(context, character).await?;
    if let Some(story) = look.story {
        stories::story(context, story).await?;
    }
    let text = |of: &Json, member: &str| of[member].as_str().map(str::trim).unwrap_or_default().to_string();
    let overrides = &look.overrides;
    let outfit = match text(overrides, "outfit") {
        none if none.is_empty() => text(&row, "base_outfit"),
        outfit => format!("wearing {outfit}"),
    };
    let mood = match text(overrides, "mood") {
        none if none.is_empty() => String::new(),
        mood => format!("expression of {mood}"),
    };
    let words = [
        text(&row, "name"),
        text(&row, "identity_line"),
        text(&row, "description"),
        text(&row, "hair_description"),
        outfit,
        text(overrides, "condition"),
        mood,
        text(overrides, "prompt"),
    ];
    let words: Vec<String> = words.into_iter().filter(|text| !text.is_empty()).collect();
    if words.len() < 2 {
        return Err(ServiceError::bad(
            "the look needs something to be drawn from: an outfit, a mood or a prompt",
        ));
    }
    let references = characters::references(context, character).await?;
    let approved = references.iter().filter(|it| it["approved"] == Json::Bool(true));
    let best = approved.max_by_key(|it| (it["is_primary"] == Json::Bool(true), it["created_at"].to_string()));
    let draft = Draft {
        prompt: format!("full body, standing, plain background, {}", words.join(", ")),
        character: Some(character),
        reference: best.and_then(|it| it["image_url"].as_str().map(str::to_string)),
        source: "webtoon-look",
    };
    let queued = queue_draft(context, user, draft).await?;
    let kept = keep(context, user, queued.id).await?;
    let [reference, variant] = [Uuid::new_v4(), Uuid::new_v4()];
    let about = json!({"job_id": queued.id, "generated": true, "seed": kept.seed, "model": kept.model});
    let mut writes = vec![
        NodeWrite::Insert {
            table: "character_reference_images",
            values: vec![
                ("id", Value::Uuid(reference)),
                ("character_id", Value::Uuid(character)),
                ("image_url", Value::Text(kept.image_url)),
                ("ref_type", Value::text("full_body")),
                ("approved", Value::Bool(true)),
                ("metadata_", Value::json(&about)),
            ],
        },
        NodeWrite::Insert {
            table: "character_variants",
            values: vec![
                ("id", Value::Uuid(variant)),
                ("character_id", Value::Uuid(character)),
                ("story_id", look.story.map_or(Value::Null, Value::Uuid)),
                ("variant_type", Value::Text(look.variant_type)),
                ("variant_name", look.name.map_or(Value::Null, Value::Text)),
                ("traits", Value::json(&look.traits)),
                ("override_attributes", Value::json(&look.overrides)),
                ("reference_image_id", Value::Uuid(reference)),
                ("image_style_id", look.style.map_or(Value::Null, Value::Text)),
                ("is_active_for_story", Value::Bool(false)),
            ],
        },
    ];
    writes.extend(look.suggestion.map(|id| NodeWrite::Delete { table: "character_variant_suggestions", id }));
    context.ask(WriteTogether { owner: Aggregate::Character, writes }).await?;
    Ok((characters::variant(context, variant).await?, queued.warnings))
}
