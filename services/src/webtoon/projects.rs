//! Projects: what stories, their characters and styles belong to.

use models::Value;
use serde_json::Value as Json;
use store::query::Query;
use uuid::Uuid;

use super::records;
use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::position;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 255;

/// Makes a project of an account.
pub async fn create(context: &Context, user: Uuid, name: &str) -> Result<Json, ServiceError> {
    let name = records::text("name", name, NAME_CHARS_MAX)?;
    let values = vec![("user_id", Value::Uuid(user)), ("name", Value::text(name))];
    records::insert(context, "projects", values).await
}

/// An account's projects that have a name, newest last.
pub async fn list(context: &Context, user: Uuid) -> Result<Vec<Json>, ServiceError> {
    let own = Query::all(position("projects")).equal("user_id", Value::Uuid(user)).order("created_at", false);
    let mut found = records::find(context, own).await?;
    found.retain(|row| !row["name"].is_null());
    Ok(found)
}

/// A project.
pub async fn project(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    records::get(context, "projects", id, "project").await
}

/// Deletes a project with all that belongs to it.
pub async fn delete(context: &Context, id: Uuid) -> Result<(), ServiceError> {
    records::delete(context, "projects", id, "project").await
}
