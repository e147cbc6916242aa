//! Looks that a story suggests for its characters, and what a saved character passes on.

use serde::Deserialize;
use services::webtoon::{casting, looks};
use uuid::Uuid;

use super::call::{Call, Outcome, get, ok, post};
use super::shown::{CHARACTER, SUGGESTION, VARIANT};
use crate::app::App;

/// `/stories/{story_id}/characters/{character_id}/variant-suggestions` and `/characters/{character_id}/import-from-library`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/stories/{story_id}/characters/{character_id}/variant-suggestions", get(suggestions))
        .route("/stories/{story_id}/characters/{character_id}/variant-suggestions/refresh", post(refresh))
        .route("/stories/{story_id}/characters/{character_id}/variant-suggestions/generate", post(generate))
        .route("/characters/{character_id}/import-from-library", post(import))
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

#[derive(Deserialize)]
struct Source {
    library_character_id: Uuid,
}

async fn import(call: Call) -> Outcome {
    let Source { library_character_id } = call.read()?;
    let id = call.id("character_id")?;
    ok(CHARACTER.one(&casting::import_look(&call.context, id, library_character_id).await?))
}
