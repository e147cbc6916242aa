//! `dialogue` and `layers`: what lies over a scene's picture.

use axum::routing::MethodFilter;
use serde::Deserialize;
use serde_json::Value as Json;
use services::webtoon::dialogue::{self, GivenBubble};
use services::webtoon::layers;

use super::call::{Call, Outcome, get, ok, post, route};
use super::shown::{DIALOGUE, LAYER};
use crate::app::App;

/// `/scenes/{scene_id}/dialogue` and `/scenes/{scene_id}/layers`, and each by its own id.
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/scenes/{scene_id}/dialogue", post(create).merge(get(read)))
        .route("/scenes/{scene_id}/dialogue/suggestions", get(suggestions))
        .route("/dialogue/{dialogue_id}", route(MethodFilter::PUT, replace))
        .route("/episodes/{episode_id}/letter", post(letter))
        .route("/scenes/{scene_id}/layers", post(create_layer).merge(get(list_layers)))
        .route("/layers/{layer_id}", route(MethodFilter::PUT, replace_layer))
}

#[derive(Deserialize)]
struct Bubbles {
    #[serde(default)]
    bubbles: Vec<GivenBubble>,
}

async fn create(call: Call) -> Outcome {
    let Bubbles { bubbles } = call.read()?;
    ok(DIALOGUE.one(&dialogue::create(&call.context, call.id("scene_id")?, bubbles).await?))
}

async fn read(call: Call) -> Outcome {
    ok(DIALOGUE.one(&dialogue::of_scene(&call.context, call.id("scene_id")?).await?))
}

async fn suggestions(call: Call) -> Outcome {
    ok(dialogue::suggestions(&call.context, call.id("scene_id")?).await?)
}

async fn letter(call: Call) -> Outcome {
    ok(dialogue::letter_episode(&call.context, call.id("episode_id")?).await?)
}

async fn replace(call: Call) -> Outcome {
    let Bubbles { bubbles } = call.read()?;
    ok(DIALOGUE.one(&dialogue::replace(&call.context, call.id("dialogue_id")?, bubbles).await?))
}

#[derive(Deserialize)]
struct NewLayer {
    layer_type: String,
    #[serde(default)]
    objects: Vec<Json>,
}

async fn create_layer(call: Call) -> Outcome {
    let NewLayer { layer_type, objects } = call.read()?;
    ok(LAYER.one(&layers::create(&call.context, call.id("scene_id")?, &layer_type, objects).await?))
}

async fn list_layers(call: Call) -> Outcome {
    ok(LAYER.all(&layers::of_scene(&call.context, call.id("scene_id")?).await?))
}

#[derive(Deserialize)]
struct Objects {
    objects: Vec<Json>,
}

async fn replace_layer(call: Call) -> Outcome {
    let Objects { objects } = call.read()?;
    ok(LAYER.one(&layers::replace(&call.context, call.id("layer_id")?, objects).await?))
}
