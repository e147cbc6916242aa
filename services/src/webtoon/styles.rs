//! Styles: rows of `style_presets`, by name or id, and what each says with all that it inherits.

use std::collections::HashMap;

use models::Value;
use serde_json::{Map, Value as Json};
use store::query::Query;
use uuid::Uuid;
use webtoon::drawing::style::{DEFAULT, Preset, chain, effective_config};

use super::records;
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// Styles of pictures.
pub const IMAGE: &str = "image";

/// The styles that a project's scenes may have: the server's own and the project's.
pub async fn available(
    context: &Context,
    project: Option<Uuid>,
    kind: Option<&str>,
) -> Result<Vec<Json>, ServiceError> {
    let query = Query::all(position("style_presets")).order("created_at", false);
    let mut found = records::find(context, query).await?;
    found.retain(|row| {
        let is_here = row["is_system"] == Json::Bool(true) || uuid(&row["project_id"]) == project;
        is_here && kind.is_none_or(|kind| row["style_type"] == kind)
    });
    Ok(found)
}

/// The style of pictures that a name or id stands for in a project; the project's own before the server's.
pub async fn named(
    context: &Context,
    project: Option<&Json>,
    style: &str,
) -> Result<Option<Json>, ServiceError> {
    let project = project.and_then(|row| uuid(&row["id"]));
    let mut found = available(context, project, Some(IMAGE)).await?;
    found.retain(|row| {
        row["is_active"] == Json::Bool(true) && (row["name"] == style || row["id"].as_str() == Some(style))
    });
    found.sort_by_key(|row| row["is_system"] == Json::Bool(true));
    Ok(found.into_iter().next())
}

/// Refuses a style that is not known; `default` always is.
pub async fn require_image_style(
    context: &Context,
    project: Option<&Json>,
    style: &str,
) -> Result<(), ServiceError> {
    if style == DEFAULT || named(context, project, style).await?.is_some() {
        return Ok(());
    }
    let project = project.and_then(|row| uuid(&row["id"]));
    let known = available(context, project, Some(IMAGE)).await?;
    let names: Vec<&str> = known.iter().filter_map(|row| row["name"].as_str()).collect();
    let shown: String = style.chars().take(100).collect();
    Err(ServiceError::bad(format!("unknown image style {shown:?}; known are {}", names.join(", "))))
}

/// What a style says with all that it inherits.
pub async fn config_of(context: &Context, preset: &Json) -> Result<Map<String, Json>, ServiceError> {
    let query = Query::all(position("style_presets"));
    let query = query.equal("style_type", Value::text(preset["style_type"].as_str().unwrap_or(IMAGE)));
    let mut known: HashMap<Uuid, Preset<Uuid>> =
        records::find(context, query).await?.iter().filter_map(stored).map(|it| (it.id, it)).collect();
    let Some(own) = stored(preset) else { return Ok(Map::new()) };
    let start = own.id;
    known.insert(start, own);
    Ok(effective_config(&chain(start, |id| known.get(&id).cloned())))
}

fn stored(row: &Json) -> Option<Preset<Uuid>> {
    let config = row["style_config"].as_object().cloned().unwrap_or_default();
    Some(Preset { id: uuid(&row["id"])?, parent: uuid(&row["parent_id"]), config })
}
