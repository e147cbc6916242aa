//! What a model proposed for a storyboard is written where the caller asks for it.

use actors::storyboard::apply_plan::ApplyPlan;
use models::Value;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::owned;
use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::{table, update};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;

/// Writes a plan into a storyboard: its beats, and a scene for each of the plan's behind those that there are,
/// in one commit. Answers with the ids of the scenes.
pub async fn plan(
    context: &Context,
    project_id: Uuid,
    beats: &[Json],
    scenes: &[Json],
) -> Result<Vec<Uuid>, ServiceError> {
    let table = table("storyboard_scenes");
    let mut rows = Vec::new();
    for scene in scenes {
        let of_scene = |beat: &&Json| {
            scene["beats"].as_array().is_some_and(|numbers| numbers.contains(&beat["beatNumber"]))
        };
        let own: Vec<&Json> = beats.iter().filter(of_scene).collect();
        let prompts: Vec<&Json> = own.iter().map(|beat| &beat["suggestedPrompt"]).collect();
        let seconds = scene["targetDuration"].as_f64().and_then(Decimal::from_f64);
        let mut row = table.default_row();
        let mut set = |column: &str, value: Value| row[table.at(column)] = value;
        set("title", text(&scene["title"]));
        set("description", text(&scene["description"]));
        set("mood", own.first().map_or(Value::Null, |beat| text(&beat["mood"])));
        set("target_duration_seconds", seconds.map_or(Value::Null, Value::Numeric));
        set("suggested_prompts", Value::json(&json!(prompts)));
        set("ai_suggestions", Value::json(&json!({"beats": own})));
        rows.push(row);
    }
    let plan = json!({"storyBeats": beats, "sceneBreakdown": scenes});
    let decision = ApplyPlan { project_id, plan, beats: json!(beats), scenes: rows };
    context.ask(decision).await?.ok_or_else(|| ServiceError::not_found("Storyboard not found"))
}

/// Keeps suggested prompts with a scene.
pub async fn prompts(context: &Context, scene_id: Uuid, prompts: &[Json]) -> Result<(), ServiceError> {
    owned::scene(context, scene_id)?;
    let values = vec![("suggested_prompts", Value::json(&json!(prompts)))];
    update(context, "storyboard_scenes", scene_id, values).await
}

/// Keeps a richer prompt with a scene.
pub async fn prompt(context: &Context, scene_id: Uuid, prompt: &str) -> Result<(), ServiceError> {
    let (scene, _) = owned::scene(context, scene_id)?;
    let mut notes = scene["metadata"].clone();
    if !notes.is_object() {
        notes = json!({});
    }
    notes["prompt"] = json!(prompt);
    update(context, "storyboard_scenes", scene_id, vec![("metadata", Value::json(&notes))]).await
}

fn text(value: &Json) -> Value {
    value.as_str().map_or(Value::Null, Value::text)
}
