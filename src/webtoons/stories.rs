//! `stories`: what scenes belong to, and how far the making of one has come.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::webtoon::stories;

use super::call::{Call, Outcome, get, ok, post};
use super::shown::STORY;
use crate::app::App;

/// `/projects/{project_id}/stories` and `/stories/{story_id}`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/projects/{project_id}/stories", post(create).merge(get(list)))
        .route("/stories/{story_id}", get(read))
        .route("/stories/{story_id}/set-style-defaults", post(set_style))
        .route("/stories/{story_id}/progress", get(progress))
}

#[derive(Deserialize)]
struct NewStory {
    title: String,
    default_image_style: Option<String>,
}

#[derive(Deserialize)]
struct StyleDefaults {
    default_image_style: String,
}

async fn create(call: Call) -> Outcome {
    let asked: NewStory = call.read()?;
    let style = asked.default_image_style.as_deref();
    ok(STORY.one(&stories::create(&call.context, call.id("project_id")?, &asked.title, style).await?))
}

async fn list(call: Call) -> Outcome {
    ok(STORY.all(&stories::list(&call.context, call.id("project_id")?).await?))
}

async fn read(call: Call) -> Outcome {
    ok(STORY.one(&stories::story(&call.context, call.id("story_id")?).await?))
}

async fn set_style(call: Call) -> Outcome {
    let StyleDefaults { default_image_style } = call.read()?;
    ok(STORY.one(&stories::set_style(&call.context, call.id("story_id")?, &default_image_style).await?))
}

/// A value of another shape than the contract's reads as null.
async fn progress(call: Call) -> Outcome {
    let story = stories::story(&call.context, call.id("story_id")?).await?;
    let progress = &story["progress"];
    let is_known = progress["current_node"].is_string() && progress["step"].is_number();
    ok(json!({
        "story_id": story["id"], "status": story["generation_status"],
        "progress": if is_known { progress.clone() } else { Json::Null },
        "error": story["generation_error"], "updated_at": story["progress_updated_at"],
    }))
}
