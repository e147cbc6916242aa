//! `style-presets` and `styles/image`: how stories run and pictures are drawn.

use axum::http::StatusCode;
use axum::routing::MethodFilter;
use models::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use services::webtoon::{projects, records, styles};
use services::{Kind, ServiceError};
use uuid::Uuid;

use super::call::{Answer, Call, Outcome, get, ok, post, route};
use super::error::DetailError;
use super::shown::STYLE;
use crate::app::App;

/// Styles.
pub(super) fn routes() -> axum::Router<App> {
    let one = get(read).merge(route(MethodFilter::PATCH, change)).merge(route(MethodFilter::DELETE, remove));
    axum::Router::new()
        .route("/style-presets", get(list).merge(post(create)))
        .route("/style-presets/{preset_id}", one)
        .route("/style-presets/{preset_id}/clone", post(clone))
        .route("/styles/image", get(images))
}

#[derive(Deserialize)]
struct NewStyle {
    project_id: Option<Uuid>,
    parent_id: Option<Uuid>,
    style_type: Option<String>,
    name: Option<String>,
    label: Option<String>,
    description: Option<String>,
    style_config: Option<Map<String, Json>>,
    is_active: Option<bool>,
}

#[derive(Deserialize)]
struct Cloning {
    project_id: Option<Uuid>,
}

/// A style with what it says by itself and with all that it inherits.
async fn shown(call: &Call, row: &Json) -> Result<Json, DetailError> {
    let mut shown = STYLE.one(row);
    shown["effective_config"] = Json::Object(styles::config_of(&call.context, row).await?);
    Ok(shown)
}

async fn preset(call: &Call) -> Result<Json, DetailError> {
    Ok(records::get(&call.context, "style_presets", call.id("preset_id")?, "style preset").await?)
}

/// The server's own are changed by no request.
async fn own(call: &Call) -> Result<Json, DetailError> {
    let row = preset(call).await?;
    match row["is_system"] == Json::Bool(true) {
        true => {
            Err(ServiceError::new(Kind::Forbidden, "a style of the server cannot be changed; clone it")
                .into())
        }
        false => Ok(row),
    }
}

async fn list(call: Call) -> Outcome {
    let project = call.query("project_id").and_then(|id| Uuid::parse_str(id).ok());
    ok(STYLE.all(&styles::available(&call.context, project, call.query("style_type")).await?))
}

async fn images(call: Call) -> Outcome {
    let project = call.query("project_id").and_then(|id| Uuid::parse_str(id).ok());
    let mut found = styles::available(&call.context, project, Some(styles::IMAGE)).await?;
    found.retain(|row| row["is_active"] == Json::Bool(true));
    ok(STYLE.all(&found))
}

async fn read(call: Call) -> Outcome {
    let row = preset(&call).await?;
    ok(shown(&call, &row).await?)
}

async fn create(call: Call) -> Outcome {
    let asked: NewStyle = call.read()?;
    let missing = |field: &str| DetailError::invalid("body", field, "missing");
    let project = asked.project_id.ok_or_else(|| missing("project_id"))?;
    projects::project(&call.context, project).await?;
    let name = records::text("name", asked.name.as_deref().unwrap_or_default(), 255)?;
    let kind = asked.style_type.as_deref().unwrap_or(styles::IMAGE);
    if !["story", "image"].contains(&kind) {
        return Err(DetailError::invalid("body", "style_type", "is none of story, image"));
    }
    let values = vec![
        ("project_id", Value::Uuid(project)),
        ("parent_id", asked.parent_id.map_or(Value::Null, Value::Uuid)),
        ("style_type", Value::text(kind)),
        ("name", Value::text(name)),
        ("label", Value::text(asked.label.as_deref().unwrap_or(name))),
        ("description", asked.description.map_or(Value::Null, Value::Text)),
        ("style_config", Value::json(&json!(asked.style_config.unwrap_or_default()))),
        ("is_active", Value::Bool(asked.is_active.unwrap_or(true))),
    ];
    let row = records::insert(&call.context, "style_presets", values).await?;
    Ok(Answer::Json(StatusCode::CREATED, shown(&call, &row).await?))
}

async fn change(call: Call) -> Outcome {
    let asked: NewStyle = call.read()?;
    let row = own(&call).await?;
    let mut values = Vec::new();
    for (column, text) in
        [("name", &asked.name), ("label", &asked.label), ("description", &asked.description)]
    {
        values.extend(text.as_deref().map(|text| (column, Value::text(text))));
    }
    values.extend(asked.parent_id.map(|parent| ("parent_id", Value::Uuid(parent))));
    values.extend(asked.style_config.map(|config| ("style_config", Value::json(&json!(config)))));
    values.extend(asked.is_active.map(|active| ("is_active", Value::Bool(active))));
    if asked.project_id.is_some() || asked.style_type.is_some() {
        call.warn(["project_id, style_type: they stay as they are, so they change nothing".to_string()]);
    }
    if values.is_empty() {
        return ok(shown(&call, &row).await?);
    }
    let row = records::update(&call.context, "style_presets", call.id("preset_id")?, values, "style preset")
        .await?;
    ok(shown(&call, &row).await?)
}

async fn remove(call: Call) -> Outcome {
    own(&call).await?;
    records::delete(&call.context, "style_presets", call.id("preset_id")?, "style preset").await?;
    Ok(Answer::Empty)
}

/// A copy in a project: with the same parent, and a name and label that say that it is one.
async fn clone(call: Call) -> Outcome {
    let Cloning { project_id } = call.read()?;
    let row = preset(&call).await?;
    let project = project_id.or_else(|| services::ids::uuid(&row["project_id"]));
    let project = project.ok_or_else(|| DetailError::invalid("body", "project_id", "missing"))?;
    projects::project(&call.context, project).await?;
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_string();
    let parent = services::ids::uuid(&row["parent_id"]);
    let values = vec![
        ("project_id", Value::Uuid(project)),
        ("parent_id", parent.map_or(Value::Null, Value::Uuid)),
        ("style_type", Value::text(text("style_type"))),
        ("name", Value::text(format!("{}_copy", text("name")))),
        ("label", Value::text(format!("{} (Copy)", text("label")))),
        ("description", row["description"].as_str().map_or(Value::Null, Value::text)),
        ("style_config", Value::json(&row["style_config"])),
    ];
    let row = records::insert(&call.context, "style_presets", values).await?;
    Ok(Answer::Json(StatusCode::CREATED, shown(&call, &row).await?))
}
