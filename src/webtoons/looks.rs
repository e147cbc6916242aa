//! Looks that a story suggests for its characters.

use serde::Deserialize;
use services::webtoon::looks;
use uuid::Uuid;

use super::call::{Call, Outcome, get, ok, post};
use super::shown::{SUGGESTION, VARIANT};
use crate::app::App;

/// `/stories/{story_id}/characters/{character_id}/variant-suggestions`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/stories/{story_id}/characters/{character_id}/variant-suggestions", get(suggestions))
        .route("/stories/{story_id}/characters/{character_id}/variant-suggestions/refresh", post(refresh))
        .route("/stories/{story_id}/characters/{character_id}/variant-suggestions/generate", post(generate))
}

async fn suggestions(call: Call) -> Outcome {
    let (story, character) = (call.id("story_id")?, call.id("character_id")?);
    ok(SUGGESTION.all(&looks::suggestions(&call.context, story, character).await?))
}

async fn refresh(call: Call) -> Outcome {
    let (story, character) = (call.id("story_id")?, call.id("character_id")?);
    ok(SUGGESTION.all(&looks::refresh(&call.context, story, character).await?))
}

#[derive(Deserialize)]
struct Chosen {
    suggestion_id: Option<Uuid>,
}

async fn generate(call: Call) -> Outcome {
    let Chosen { suggestion_id } = call.read()?;
    let of = (call.id("story_id")?, call.id("character_id")?);
    let (made, warnings) = looks::draw_suggested(&call.context, call.user, of, suggestion_id).await?;
    call.warn(warnings);
    ok(VARIANT.all(&made))
}
