//! `episodes`: scenes of a story in an order, and what is pinned to them.

use axum::http::StatusCode;
use axum::routing::MethodFilter;
use serde::Deserialize;
use services::webtoon::episodes;
use uuid::Uuid;

use super::call::{Answer, Call, Outcome, get, ok, post, route};
use super::shown::{EPISODE, EPISODE_ASSET};
use crate::app::App;

/// `/stories/{story_id}/episodes` and `/episodes/{episode_id}`
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/stories/{story_id}/episodes", post(create).merge(get(list)))
        .route("/episodes/{episode_id}", get(read))
        .route("/episodes/{episode_id}/scenes", post(set_scenes).merge(route(MethodFilter::PUT, set_scenes)))
        .route("/episodes/{episode_id}/set-style", post(set_style))
        .route("/episodes/{episode_id}/restyle", post(restyle))
        .route("/episodes/{episode_id}/generate/plan", post(plan))
        .route("/episodes/{episode_id}/assets", post(add_asset).merge(get(assets)))
        .route("/episodes/{episode_id}/assets/{episode_asset_id}", route(MethodFilter::DELETE, remove_asset))
}

#[derive(Deserialize)]
struct NewEpisode {
    title: String,
    #[serde(default)]
    default_image_style: Option<String>,
}

async fn create(call: Call) -> Outcome {
    let NewEpisode { title, default_image_style } = call.read()?;
    let story = call.id("story_id")?;
    ok(EPISODE.one(&episodes::create(&call.context, story, &title, default_image_style.as_deref()).await?))
}

async fn list(call: Call) -> Outcome {
    ok(EPISODE.all(&episodes::list(&call.context, call.id("story_id")?).await?))
}

async fn read(call: Call) -> Outcome {
    ok(EPISODE.one(&episodes::episode(&call.context, call.id("episode_id")?).await?))
}

#[derive(Deserialize)]
struct Scenes {
    scene_ids: Vec<Uuid>,
}

async fn set_scenes(call: Call) -> Outcome {
    let Scenes { scene_ids } = call.read()?;
    ok(EPISODE.one(&episodes::set_scenes(&call.context, call.id("episode_id")?, scene_ids).await?))
}

#[derive(Deserialize)]
struct Style {
    style_id: String,
}

async fn set_style(call: Call) -> Outcome {
    let Style { style_id } = call.read()?;
    ok(EPISODE.one(&episodes::set_style(&call.context, call.id("episode_id")?, &style_id).await?))
}

#[derive(Deserialize)]
struct Restyling {
    style_id: String,
    offline: Option<bool>,
}

/// 202 with a job for each scene.
async fn restyle(call: Call) -> Outcome {
    let Restyling { style_id, offline } = call.read()?;
    let (id, offline) = (call.id("episode_id")?, offline.unwrap_or(true));
    let answer =
        services::webtoon::restyle::episode(&call.context, call.user, id, &style_id, offline).await?;
    Ok(Answer::Json(StatusCode::ACCEPTED, answer))
}

#[derive(Deserialize)]
struct NewAsset {
    asset_type: String,
    asset_id: Uuid,
}

async fn add_asset(call: Call) -> Outcome {
    let NewAsset { asset_type, asset_id } = call.read()?;
    let episode = call.id("episode_id")?;
    ok(EPISODE_ASSET.one(&episodes::add_asset(&call.context, episode, &asset_type, asset_id).await?))
}

async fn assets(call: Call) -> Outcome {
    ok(EPISODE_ASSET.all(&episodes::assets(&call.context, call.id("episode_id")?).await?))
}

async fn remove_asset(call: Call) -> Outcome {
    episodes::remove_asset(&call.context, call.id("episode_id")?, call.id("episode_asset_id")?).await?;
    Ok(Answer::Empty)
}

#[derive(Deserialize)]
struct Plan {
    #[serde(default)]
    scenes: Option<Vec<Uuid>>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    style_id: Option<String>,
}

async fn plan(call: Call) -> Outcome {
    let Plan { scenes, mode, style_id } = call.read()?;
    let (episode, mode) = (call.id("episode_id")?, mode.unwrap_or_else(|| "draft".into()));
    ok(episodes::draft(&call.context, episode, scenes, &mode, style_id.as_deref()).await?)
}
