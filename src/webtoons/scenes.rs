//! `scenes`: made, cut from a text, styled, placed, locked, and how far they are.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::webtoon::{artifacts, scenes, staleness, stories};
use uuid::Uuid;
use webtoon::text::estimate::{Estimate, estimate};

use super::call::{Call, Outcome, get, ok, post};
use super::error::DetailError;
use super::shown::SCENE;
use crate::app::App;

/// Scenes of a story, and each by its id.
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/stories/{story_id}/scenes", post(create).merge(get(list)))
        .route("/stories/{story_id}/scenes/auto-chunk", post(auto_chunk))
        .route("/stories/{story_id}/estimate-scenes", post(estimate_story))
        .route("/stories/{story_id}/stale-panels", get(stale))
        .route("/utils/estimate-scenes", post(estimate_text))
        .route("/scenes/{scene_id}", get(read))
        .route("/scenes/{scene_id}/status", get(status))
        .route("/scenes/{scene_id}/set-style", post(set_style))
        .route("/scenes/{scene_id}/set-environment", post(set_environment))
        .route("/scenes/{scene_id}/planning/lock", post(lock))
}

#[derive(Deserialize)]
struct NewScene {
    source_text: String,
    scene_importance: Option<String>,
}

#[derive(Deserialize)]
struct Chunking {
    source_text: String,
    max_scenes: Option<u64>,
}

#[derive(Deserialize)]
struct Estimating {
    source_text: Option<String>,
    use_llm: Option<bool>,
}

/// A member that is absent, null or a value: null clears, absence keeps.
enum Given<T> {
    Absent,
    Set(Option<T>),
}

#[derive(Deserialize)]
struct Locking {
    locked: Option<bool>,
}

async fn create(call: Call) -> Outcome {
    let asked: NewScene = call.read()?;
    let importance = asked.scene_importance.as_deref();
    let story = call.id("story_id")?;
    ok(SCENE.one(&scenes::create(&call.context, story, &asked.source_text, importance).await?))
}

async fn list(call: Call) -> Outcome {
    ok(SCENE.all(&scenes::list(&call.context, call.id("story_id")?).await?))
}

async fn auto_chunk(call: Call) -> Outcome {
    let asked: Chunking = call.read()?;
    let max = within("max_scenes", asked.max_scenes.unwrap_or(6), 1, scenes::SCENES_MAX as u64)?;
    let story = call.id("story_id")?;
    let (made, warnings) = scenes::auto_chunk(&call.context, story, &asked.source_text, max as usize).await?;
    call.warn(warnings);
    ok(SCENE.all(&made))
}

async fn read(call: Call) -> Outcome {
    ok(SCENE.one(&scenes::scene(&call.context, call.id("scene_id")?).await?))
}

async fn status(call: Call) -> Outcome {
    ok(artifacts::status(&call.context, call.id("scene_id")?).await?)
}

/// `image_style_override` null clears it; without the key it stays.
async fn set_style(call: Call) -> Outcome {
    let id = call.id("scene_id")?;
    let row = match call.member::<String>("image_style_override")? {
        Given::Absent => scenes::scene(&call.context, id).await?,
        Given::Set(style) => scenes::set_style(&call.context, id, style.as_deref()).await?,
    };
    ok(SCENE.one(&row))
}

async fn set_environment(call: Call) -> Outcome {
    let id = call.id("scene_id")?;
    let row = match call.member::<Uuid>("environment_id")? {
        Given::Absent => {
            return Err(DetailError::invalid("body", "environment_id", "missing; null clears it"));
        }
        Given::Set(environment) => scenes::set_environment(&call.context, id, environment).await?,
    };
    ok(SCENE.one(&row))
}

async fn lock(call: Call) -> Outcome {
    let Locking { locked } = call.read()?;
    ok(SCENE.one(&scenes::lock(&call.context, call.id("scene_id")?, locked.unwrap_or(true)).await?))
}

/// Exactly the panels that were drawn from what has been edited since, and why.
async fn stale(call: Call) -> Outcome {
    ok(json!(staleness::stale_panels(&call.context, call.id("story_id")?).await?))
}

async fn estimate_story(call: Call) -> Outcome {
    let asked: Estimating = call.read()?;
    let id = call.id("story_id")?;
    stories::story(&call.context, id).await?;
    let text = match asked.source_text {
        Some(text) => text,
        None => {
            let scenes = scenes::list(&call.context, id).await?;
            let texts = scenes.iter().filter_map(|row| row["source_text"].as_str());
            texts.collect::<Vec<_>>().join("\n\n")
        }
    };
    answer(&call, &text, asked.use_llm)
}

async fn estimate_text(call: Call) -> Outcome {
    let asked: Estimating = call.read()?;
    answer(&call, asked.source_text.as_deref().unwrap_or_default(), asked.use_llm)
}

fn answer(call: &Call, text: &str, use_llm: Option<bool>) -> Outcome {
    if text.trim().is_empty() {
        return Err(DetailError::invalid("body", "source_text", "is empty"));
    }
    if use_llm == Some(true) {
        call.warn(["use_llm: scenes are estimated by rule, so it changes nothing".to_string()]);
    }
    let Estimate { scenes, beats, pacing, complexity, seconds, status } = estimate(text);
    ok(json!({
        "recommended_scenes": scenes, "beats": beats, "pacing": pacing.name(), "complexity": complexity,
        "estimated_seconds": seconds, "status": status, "scenes_min": 5, "scenes_max": 15,
    }))
}

/// A number within bounds, which are named where it is not.
pub(super) fn within(field: &str, given: u64, min: u64, max: u64) -> Result<u64, DetailError> {
    match (min..=max).contains(&given) {
        true => Ok(given),
        false => Err(DetailError::invalid("body", field, format!("{given} is not within {min} to {max}"))),
    }
}

/// Reading a member that may be absent.
trait Member {
    fn member<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Given<T>, DetailError>;
}

impl Member for Call {
    fn member<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Given<T>, DetailError> {
        let members: serde_json::Map<String, Json> = self.read()?;
        self.warn(members.keys().filter(|key| *key != name).map(|key| {
            let shown: String = key.chars().take(60).collect();
            format!("{shown}: an unknown field, not used")
        }));
        match members.get(name) {
            None => Ok(Given::Absent),
            Some(value) => serde_json::from_value(value.clone())
                .map(Given::Set)
                .map_err(|error| DetailError::invalid("body", name, error.to_string())),
        }
    }
}
