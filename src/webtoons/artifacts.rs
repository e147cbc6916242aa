//! `artifacts`: what was made of a scene, and the review of its pictures.

use serde::Deserialize;
use serde_json::json;
use services::webtoon::artifacts;
use uuid::Uuid;

use super::call::{Call, Outcome, get, ok, post};
use super::shown::ARTIFACT;
use crate::app::App;

/// Artifacts of a scene, and each by its id.
pub(super) fn routes() -> axum::Router<App> {
    axum::Router::new()
        .route("/scenes/{scene_id}/artifacts", get(list))
        .route("/scenes/{scene_id}/renders", get(renders))
        .route("/scenes/{scene_id}/missing-artifacts", get(missing))
        .route("/scenes/{scene_id}/review/approve", post(approve))
        .route("/artifacts/{artifact_id}", get(read))
        .route("/artifacts/{artifact_id}/lineage", get(lineage))
}

#[derive(Deserialize)]
struct Approving {
    artifact_id: Option<Uuid>,
}

async fn list(call: Call) -> Outcome {
    let kind = call.query("type");
    ok(ARTIFACT.all(&artifacts::list(&call.context, call.id("scene_id")?, kind).await?))
}

async fn renders(call: Call) -> Outcome {
    let id = call.id("scene_id")?;
    ok(ARTIFACT.all(&artifacts::list(&call.context, id, Some("render_result")).await?))
}

async fn missing(call: Call) -> Outcome {
    let id = call.id("scene_id")?;
    ok(json!({"scene_id": id, "missing": artifacts::missing(&call.context, id).await?}))
}

async fn read(call: Call) -> Outcome {
    ok(ARTIFACT.one(&artifacts::artifact(&call.context, call.id("artifact_id")?).await?))
}

async fn lineage(call: Call) -> Outcome {
    ok(ARTIFACT.all(&artifacts::lineage(&call.context, call.id("artifact_id")?).await?))
}

async fn approve(call: Call) -> Outcome {
    let Approving { artifact_id } = call.read()?;
    let made = artifacts::approve(&call.context, call.id("scene_id")?, artifact_id).await?;
    ok(ARTIFACT.one(&made))
}
