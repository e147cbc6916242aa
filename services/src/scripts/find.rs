//! Scripts and chapters that the caller may see; what is hidden is answered like what is missing.

use actors::rows::object;
use models::{Command, Row, Value};
use serde_json::Value as Json;
use store::query::{Comparison, Filter, Query};
use store::{Caller, guard};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::{position, table};

/// Scripts that one list has at most.
const LISTED_MAX: u64 = 1000;

fn row(context: &Context, name: &'static str, id: Uuid) -> Result<Option<Row>, ServiceError> {
    let table = table(name);
    let reads = context.services.actors.store().reads();
    let Some(row) = reads.get(table, &[Value::Uuid(id)])? else { return Ok(None) };
    let is_seen = guard::allows(&reads, &Caller::new(&context.claims), table, Command::Select, &row)?;
    Ok(is_seen.then_some(row))
}

/// A script, as an object.
pub fn script(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let row = row(context, "scripts", id)?.ok_or_else(|| ServiceError::not_found("Script not found"))?;
    Ok(object(table("scripts"), &row))
}

/// A chapter, as an object.
pub fn chapter(context: &Context, id: Uuid) -> Result<Json, ServiceError> {
    let row = row(context, "chapters", id)?.ok_or_else(|| ServiceError::not_found("Chapter not found"))?;
    Ok(object(table("chapters"), &row))
}

/// The version before a script of the caller's, of the same chapter, account and style.
pub async fn version_before(context: &Context, script: &Json) -> Result<Json, ServiceError> {
    let missing = || {
        let reason = "there is no version before it; name the script to compare with";
        ServiceError::field("with_id", reason)
    };
    let scripts = table("scripts");
    let [chapter, user] = ["chapter_id", "user_id"].map(|column| uuid(&script[column]));
    let (Some(chapter), Some(user), Some(number)) = (chapter, user, script["version"].as_i64()) else {
        return Err(missing());
    };
    let style = script["script_style"].as_str().unwrap_or_default();
    let before = Filter::compare(scripts.at("version"), Comparison::Less, Value::Int(number));
    let query = Query::all(scripts.id)
        .equal("chapter_id", Value::Uuid(chapter))
        .equal("user_id", Value::Uuid(user))
        .equal("script_style", Value::text(style))
        .filter(before)
        .order("version", true)
        .limit(1);
    context.rows(query).await?.pop().ok_or_else(missing)
}

/// A character, as an object; `None` where there is none that the caller may see.
pub fn character(context: &Context, id: Uuid) -> Result<Option<Json>, ServiceError> {
    let row = row(context, "characters", id)?;
    Ok(row.map(|row| object(table("characters"), &row)))
}

/// The caller's own scripts of a chapter, the newest first; of one style, where it is named.
pub async fn of_chapter(
    context: &Context,
    chapter: Uuid,
    style: Option<&str>,
) -> Result<Vec<Json>, ServiceError> {
    let user = context.user()?;
    self::chapter(context, chapter)?;
    let mut query = Query::all(position("scripts"))
        .equal("chapter_id", Value::Uuid(chapter))
        .equal("user_id", Value::Uuid(user))
        .order("created_at", true)
        .order("version", true)
        .limit(LISTED_MAX);
    if let Some(style) = style {
        query = query.equal("script_style", Value::text(style));
    }
    context.rows(query).await
}
