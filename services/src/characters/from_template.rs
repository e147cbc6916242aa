//! A character from a template of the catalogue: what the template says, and what the caller says instead.

use actors::write_rows::{Change, WriteRows};
use models::{Value, convert};
use serde_json::{Map, Value as Json};
use store::query::{Limits, Query};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::{position, table};

/// Columns of a character that neither a template nor its user sets.
const SERVERS: [&str; 12] = [
    "id",
    "user_id",
    "creator_id",
    "created_at",
    "updated_at",
    "likes_count",
    "interaction_count",
    "portrait_count",
    "scene_count",
    "canonical_code",
    "project_id",
    "approved",
];

/// A character that was made.
#[derive(Debug)]
pub struct Made {
    /// Its row.
    pub character: Json,
    /// Members that no column takes.
    pub warnings: Vec<String>,
}

/// Makes a character of the caller's. A template that is not active counts as none.
pub async fn make(context: &Context, key: &str, own: &Map<String, Json>) -> Result<Made, ServiceError> {
    let user = context.user()?;
    let query = Query::all(position("character_templates"))
        .equal("template_key", Value::text(key))
        .equal("is_active", Value::Bool(true))
        .limit(1);
    let template = context.rows(query).await?.pop();
    let template = template.ok_or_else(|| ServiceError::not_found("Template not found"))?;
    let characters = table("characters");
    let (mut row, id, mut warnings) = (characters.default_row(), Uuid::new_v4(), Vec::new());
    let none = Map::new();
    let of_template = template["default_data"].as_object().unwrap_or(&none);
    for (origin, data) in [("the template's default_data", of_template), ("character", own)] {
        for (name, value) in data {
            let column = characters.column(name).filter(|_| !SERVERS.contains(&name.as_str()));
            let Some(column) = column else {
                warnings.push(format!(
                    "{origin}: {name} is no column of a character that can be set, so it is left out"
                ));
                continue;
            };
            let kind = characters.table.columns[column].kind;
            let read = convert::from_json(kind, value);
            row[column] =
                read.map_err(|error| ServiceError::field(format!("{origin}.{name}"), error.to_string()))?;
        }
    }
    row[characters.at("id")] = Value::Uuid(id);
    row[characters.at("user_id")] = Value::Uuid(user);
    if row[characters.at("name")].as_str().is_none_or(|name| name.trim().is_empty()) {
        row[characters.at("name")] = template["name"].as_str().map_or(Value::Null, Value::text);
    }
    if row[characters.at("description")].is_null() {
        row[characters.at("description")] = template["description"].as_str().map_or(Value::Null, Value::text);
    }
    // Under the caller's own rights, as if they had written it themselves.
    let write = WriteRows {
        table: characters.id,
        change: Change::Insert { rows: vec![row], conflict: None },
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    context.ask(write).await?;
    Ok(Made { character: context.row("characters", id).await?.unwrap_or_default(), warnings })
}
