//! `environments`: places that scenes share.

use models::Value;
use serde::Deserialize;
use serde_json::json;
use services::webtoon::records;
use store::query::Query;

use super::call::{Call, Outcome, get, ok, post};
use super::shown::ENVIRONMENT;
use crate::app::App;

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 4000;

/// `/environments`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/environments", post(create).merge(get(list)))
        .route("/environments/{environment_id}", get(read))
        .route("/environments/{environment_id}/promote", post(promote))
}

#[derive(Deserialize)]
struct NewEnvironment {
    description: String,
    pinned: Option<bool>,
}

#[derive(Deserialize)]
struct Promotion {
    reference_images: Option<Vec<String>>,
    locked_elements: Option<Vec<String>>,
}

async fn create(call: Call) -> Outcome {
    let asked: NewEnvironment = call.read()?;
    let description = records::text("description", &asked.description, DESCRIPTION_CHARS_MAX)?;
    let values = vec![
        ("user_id", Value::Uuid(call.user)),
        ("description", Value::text(description)),
        ("pinned", Value::Bool(asked.pinned.unwrap_or(false))),
    ];
    ok(ENVIRONMENT.one(&records::insert(&call.context, "environment_anchors", values).await?))
}

async fn list(call: Call) -> Outcome {
    let table = services::rows::position("environment_anchors");
    let query = Query::all(table).equal("user_id", Value::Uuid(call.user)).order("created_at", false);
    ok(ENVIRONMENT.all(&records::find(&call.context, query).await?))
}

async fn read(call: Call) -> Outcome {
    let id = call.id("environment_id")?;
    ok(ENVIRONMENT.one(&records::get(&call.context, "environment_anchors", id, "environment").await?))
}

/// From then on pictures of the place count; lists that are not empty take the place of what was there.
async fn promote(call: Call) -> Outcome {
    let asked: Promotion = call.read()?;
    let mut values = vec![("anchor_type", Value::text("visual"))];
    for (column, list) in
        [("reference_images", asked.reference_images), ("locked_elements", asked.locked_elements)]
    {
        if let Some(list) = list.filter(|list| !list.is_empty()) {
            values.push((column, Value::json(&json!(list))));
        }
    }
    let id = call.id("environment_id")?;
    ok(ENVIRONMENT
        .one(&records::update(&call.context, "environment_anchors", id, values, "environment").await?))
}
