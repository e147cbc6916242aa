//! Episodes: scenes of a story in an order, and what is pinned to them.

use actors::story::SetEpisodeScenes;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::{projects, records, stories, styles};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 255;
/// Scenes of an episode at most.
pub const SCENES_MAX: usize = 200;
/// What can be pinned to an episode.
const ASSET_KINDS: [&str; 3] = ["character", "environment", "style"];

/// Makes an episode of a story, without scenes.
pub async fn create(
    context: &Context,
    story: Uuid,
    title: &str,
    style: Option<&str>,
) -> Result<Json, ServiceError> {
    let title = records::text("title", title, TITLE_CHARS_MAX)?;
    let row = stories::story(context, story).await?;
    let style = style.unwrap_or(stories::DEFAULT_STYLE);
    require_style(context, &row, style).await?;
    let values = vec![
        ("story_id", Value::Uuid(story)),
        ("title", Value::text(title)),
        ("default_image_style", Value::text(style)),
    ];
    let made = records::insert(context, "episodes", values).await?;
    with_scenes(context, made).await
}

/// The episodes of a story, oldest first.
pub async fn list(context: &Context, story: Uuid) -> Result<Vec<Json>, ServiceError> {
    stories::story(context, story).await?;
    let query = Query::all(position("episodes")).equal("story_id", Value::Uuid(story));
    let mut found = Vec::new();
    for row in records::find(context, query.order("created_at", false)).await? {
        found.push(with_scenes(context, row).await?);
    }
    Ok(found)
}

/// An episode with the ids of its scenes, in their order.
pub async fn episode(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    with_scenes(context, records::get(context, "episodes", id, "episode").await?).await
}

/// Replaces the list of an episode's scenes.
pub async fn set_scenes(context: &Context, id: Uuid, scenes: Vec<Uuid>) -> Result<Json, ServiceError> {
    records::get(context, "episodes", id, "episode").await?;
    if scenes.len() > SCENES_MAX {
        return Err(ServiceError::field("scene_ids", format!("{} are more than {SCENES_MAX}", scenes.len())));
    }
    context.ask(SetEpisodeScenes { episode: id, scenes }).await?;
    episode(context, id).await
}

/// Sets the style that an episode names as its own.
pub async fn set_style(context: &Context, id: Uuid, style: &str) -> Result<Json, ServiceError> {
    let row = records::get(context, "episodes", id, "episode").await?;
    require_known_style(context, &row, style).await?;
    let values = vec![("default_image_style", Value::text(style))];
    with_scenes(context, records::update(context, "episodes", id, values, "episode").await?).await
}

/// Refuses a style that the story of an episode does not know.
pub async fn require_known_style(context: &Context, episode: &Json, style: &str) -> Result<(), ServiceError> {
    let story = stories::story(context, uuid(&episode["story_id"]).unwrap_or_default()).await?;
    require_style(context, &story, style).await
}

async fn require_style(context: &Context, story: &Json, style: &str) -> Result<(), ServiceError> {
    let project = projects::project(context, uuid(&story["project_id"]).unwrap_or_default()).await?;
    styles::require_image_style(context, Some(&project), style).await
}

/// The ids of an episode's scenes, in their order.
pub async fn scene_ids(context: &Context, id: Uuid) -> Result<Vec<Uuid>, ServiceError> {
    let query = Query::all(position("episode_scenes")).equal("episode_id", Value::Uuid(id));
    let rows = records::find(context, query.order("order_index", false)).await?;
    Ok(rows.iter().filter_map(|row| uuid(&row["scene_id"])).collect())
}

async fn with_scenes(context: &Context, mut row: Json) -> Result<Json, ServiceError> {
    let scenes = scene_ids(context, uuid(&row["id"]).unwrap_or_default()).await?;
    row["scene_ids"] = json!(scenes);
    Ok(row)
}

/// Pins a character, an environment or a style to an episode, once.
pub async fn add_asset(context: &Context, id: Uuid, kind: &str, asset: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "episodes", id, "episode").await?;
    let table = match kind {
        "character" => "characters",
        "environment" => "environment_anchors",
        "style" => "style_presets",
        _ => return Err(ServiceError::none_of("asset_type", kind, &ASSET_KINDS)),
    };
    // No foreign key stands behind it: what the caller may not see is not pinned.
    records::get(context, table, asset, kind).await?;
    if assets(context, id)
        .await?
        .iter()
        .any(|row| row["asset_type"] == kind && uuid(&row["asset_id"]) == Some(asset))
    {
        return Err(ServiceError::bad(format!("the episode has this {kind} already")));
    }
    let values = vec![
        ("episode_id", Value::Uuid(id)),
        ("asset_type", Value::text(kind)),
        ("asset_id", Value::Uuid(asset)),
    ];
    records::insert(context, "episode_assets", values).await
}

/// What is pinned to an episode, oldest first.
pub async fn assets(context: &Context, id: Uuid) -> Result<Vec<Json>, ServiceError> {
    records::get(context, "episodes", id, "episode").await?;
    let query = Query::all(position("episode_assets")).equal("episode_id", Value::Uuid(id));
    records::find(context, query.order("created_at", false)).await
}

/// Takes a pinned asset off an episode.
pub async fn remove_asset(context: &Context, id: Uuid, asset: Uuid) -> Result<(), ServiceError> {
    let pinned = records::get(context, "episode_assets", asset, "asset").await?;
    if uuid(&pinned["episode_id"]) != Some(id) {
        return Err(ServiceError::not_found("asset not found"));
    }
    records::delete(context, "episode_assets", asset, "asset").await
}

/// What a plan of an episode would be made of: its scenes, or some of them, with what each has already.
pub async fn draft(
    context: &Context,
    id: Uuid,
    scenes: Option<Vec<Uuid>>,
    mode: &str,
    style: Option<&str>,
) -> Result<Json, ServiceError> {
    if mode != "draft" {
        return Err(ServiceError::none_of("mode", mode, &["draft"]));
    }
    let row = episode(context, id).await?;
    let style = style.or(row["default_image_style"].as_str()).unwrap_or(stories::DEFAULT_STYLE);
    let story = stories::story(context, uuid(&row["story_id"]).unwrap_or_default()).await?;
    require_style(context, &story, style).await?;
    let all = scene_ids(context, id).await?;
    let wanted = scenes.unwrap_or_else(|| all.clone());
    let mut listed = Vec::with_capacity(wanted.len());
    for scene in wanted {
        let place = all.iter().position(|one| *one == scene);
        let place =
            place.ok_or_else(|| ServiceError::bad(format!("scene {scene} is no scene of the episode")))?;
        let row = records::get(context, "scenes", scene, "scene").await?;
        let artifacts = Query::all(position("artifacts")).equal("scene_id", Value::Uuid(scene));
        let mut kinds: Vec<String> = records::find(context, artifacts)
            .await?
            .iter()
            .filter_map(|artifact| artifact["type"].as_str().map(str::to_string))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        listed.push(json!({
            "scene_id": scene, "order_index": place, "planning_locked": row["planning_locked"], "artifacts": kinds,
        }));
    }
    Ok(json!({"episode_id": id, "mode": mode, "style_id": style, "scenes": listed}))
}
