//! Stories: what scenes belong to.

use models::Value;
use serde_json::Value as Json;
use store::query::Query;
use uuid::Uuid;

use super::{projects, records, styles};
use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::position;

/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 255;
/// The style of a story whose maker names none.
pub const DEFAULT_STYLE: &str = "default";

/// Makes a story.
pub async fn create(
    context: &Context,
    project: Uuid,
    title: &str,
    style: Option<&str>,
) -> Result<Json, ServiceError> {
    let title = records::text("title", title, TITLE_CHARS_MAX)?;
    let row = projects::project(context, project).await?;
    let style = style.unwrap_or(DEFAULT_STYLE);
    styles::require_image_style(context, Some(&row), style).await?;
    let request = context.claims.request_id.clone().map_or(Value::Null, Value::Text);
    let values = vec![
        ("project_id", Value::Uuid(project)),
        ("title", Value::text(title)),
        ("default_image_style", Value::text(style)),
        ("created_by", request.clone()),
        ("updated_by", request),
    ];
    records::insert(context, "stories", values).await
}

/// The stories of a project, oldest first.
pub async fn list(context: &Context, project: Uuid) -> Result<Vec<Json>, ServiceError> {
    projects::project(context, project).await?;
    let query = Query::all(position("stories")).equal("project_id", Value::Uuid(project));
    records::find(context, query.order("created_at", false)).await
}

/// A story.
pub async fn story(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "stories", id, "story").await
}

/// Sets the style in which scenes are drawn that have none of their own.
pub async fn set_style(context: &Context, id: Uuid, style: &str) -> Result<Json, ServiceError> {
    let row = story(context, id).await?;
    let project =
        projects::project(context, crate::ids::uuid(&row["project_id"]).unwrap_or_default()).await?;
    styles::require_image_style(context, Some(&project), style).await?;
    let request = context.claims.request_id.clone().map_or(Value::Null, Value::Text);
    let values = vec![("default_image_style", Value::text(style)), ("updated_by", request)];
    records::update(context, "stories", id, values, "story").await
}
