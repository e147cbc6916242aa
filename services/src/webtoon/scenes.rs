//! Scenes of a story: their text, style, place and lock.

use models::Value;
use serde_json::{Map, Value as Json};
use store::query::Query;
use uuid::Uuid;
use webtoon::drawing::style::{DEFAULT, resolve};
use webtoon::text::chunker::chunk;
use webtoon::text::importance::Importance;

use super::{projects, records, stories, styles};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// Longest text of a scene or story, in characters.
pub const TEXT_CHARS_MAX: usize = 200_000;
/// Scenes that one call cuts a text into.
pub const SCENES_MAX: usize = 20;
/// Artifacts by which a scene is planned.
pub const PLANNED: [&str; 5] =
    ["scene_intent", "panel_plan", "panel_plan_normalized", "layout_template", "panel_semantics"];

/// Makes a scene.
pub async fn create(
    context: &Context,
    story: Uuid,
    text: &str,
    importance: Option<&str>,
) -> Result<Json, ServiceError> {
    stories::story(context, story).await?;
    let text = records::text("source_text", text, TEXT_CHARS_MAX)?;
    records::insert(context, "scenes", values(context, story, text, importance)).await
}

fn values<'v>(context: &Context, story: Uuid, text: &str, importance: Option<&str>) -> Vec<(&'v str, Value)> {
    let request = context.claims.request_id.clone().map_or(Value::Null, Value::Text);
    vec![
        ("story_id", Value::Uuid(story)),
        ("source_text", Value::text(text)),
        ("scene_importance", importance.map_or(Value::Null, Value::text)),
        ("created_by", request.clone()),
        ("updated_by", request),
    ]
}

/// A story's scenes, in their order.
pub async fn list(context: &Context, story: Uuid) -> Result<Vec<Json>, ServiceError> {
    stories::story(context, story).await?;
    let query = Query::all(position("scenes")).equal("story_id", Value::Uuid(story));
    records::find(context, query.order("created_at", false)).await
}

/// A scene of a story.
pub async fn scene(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let row = records::get(context, "scenes", id, "scene").await?;
    match row["story_id"].is_null() {
        true => Err(ServiceError::not_found("scene not found")),
        false => Ok(row),
    }
}

/// Cuts a text into scenes; all or none are written. What is left out of a text with many headings is a warning.
pub async fn auto_chunk(
    context: &Context,
    story: Uuid,
    text: &str,
    max_scenes: usize,
) -> Result<(Vec<Json>, Vec<String>), ServiceError> {
    stories::story(context, story).await?;
    let text = records::text("source_text", text, TEXT_CHARS_MAX)?;
    let chunks = chunk(text, max_scenes);
    let started = chrono::Utc::now().timestamp_micros();
    let rows = (0..).zip(&chunks.scenes).map(|(place, text)| {
        let mut values = values(context, story, text, None);
        values.push(("created_at", Value::Timestamp(started + place)));
        values
    });
    let made = records::insert_all(context, "scenes", rows.collect()).await?;
    let mut warnings = Vec::new();
    if chunks.left_out > 0 {
        warnings.push(format!("max_scenes: {} parts of the text are left out", chunks.left_out));
    }
    Ok((made, warnings))
}

/// Sets or clears a scene's own style.
pub async fn set_style(context: &Context, id: Uuid, style: Option<&str>) -> Result<Json, ServiceError> {
    let row = scene(context, id).await?;
    if let Some(style) = style {
        let project = project_of(context, &row).await?;
        styles::require_image_style(context, Some(&project), style).await?;
    }
    let value = style.map_or(Value::Null, Value::text);
    records::update(context, "scenes", id, vec![("image_style_override", value)], "scene").await
}

/// Sets or clears the place of a scene.
pub async fn set_environment(
    context: &Context,
    id: Uuid,
    environment: Option<Uuid>,
) -> Result<Json, ServiceError> {
    scene(context, id).await?;
    if let Some(environment) = environment {
        records::get(context, "environment_anchors", environment, "environment").await?;
    }
    let value = environment.map_or(Value::Null, Value::Uuid);
    records::update(context, "scenes", id, vec![("environment_id", value)], "scene").await
}

/// Locks or unlocks the plan of a scene.
pub async fn lock(context: &Context, id: Uuid, locked: bool) -> Result<Json, ServiceError> {
    scene(context, id).await?;
    let values = vec![("planning_locked", Value::Bool(locked))];
    records::update(context, "scenes", id, values, "scene").await
}

/// The project of a scene's story.
pub async fn project_of(context: &Context, scene: &Json) -> Result<Json, ServiceError> {
    let story = stories::story(context, uuid(&scene["story_id"]).unwrap_or_default()).await?;
    projects::project(context, uuid(&story["project_id"]).unwrap_or_default()).await
}

/// The style that a scene is drawn in, by name, and what it says with all that it inherits. One that is not known is
/// the default one.
pub async fn style_of(
    context: &Context,
    scene: &Json,
    requested: Option<&str>,
) -> Result<(String, Map<String, Json>), ServiceError> {
    let story = stories::story(context, uuid(&scene["story_id"]).unwrap_or_default()).await?;
    let project = projects::project(context, uuid(&story["project_id"]).unwrap_or_default()).await?;
    let name =
        resolve(requested, scene["image_style_override"].as_str(), story["default_image_style"].as_str());
    let mut found = styles::named(context, Some(&project), name).await?;
    let mut name = name.to_string();
    if found.is_none() {
        name = DEFAULT.into();
        found = styles::named(context, Some(&project), DEFAULT).await?;
    }
    let config = match &found {
        Some(preset) => styles::config_of(context, preset).await?,
        None => Map::new(),
    };
    Ok((name, config))
}

/// The part that a scene has: what is stored, else what its text says.
pub fn importance_of(scene: &Json) -> Importance {
    let stored = scene["scene_importance"].as_str().and_then(Importance::of_stored);
    stored.unwrap_or_else(|| Importance::detect(scene["source_text"].as_str().unwrap_or_default()))
}

/// The rows of a story's characters, in the order in which they were linked.
pub async fn characters(context: &Context, story: Uuid) -> Result<Vec<Json>, ServiceError> {
    let links = Query::all(position("story_characters")).equal("story_id", Value::Uuid(story));
    let mut found = Vec::new();
    for link in records::find(context, links.order("created_at", false)).await? {
        if let Some(id) = uuid(&link["character_id"]) {
            let query = Query::all(position("characters")).equal("id", Value::Uuid(id)).limit(1);
            found.extend(records::find(context, query).await?);
        }
    }
    Ok(found)
}

/// Their names.
pub async fn character_names(context: &Context, story: Uuid) -> Result<Vec<String>, ServiceError> {
    let rows = characters(context, story).await?;
    Ok(rows.iter().filter_map(|row| row["name"].as_str().map(str::to_string)).collect())
}
