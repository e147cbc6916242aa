//! `internal`: single nodes of a scene, each with a new version of what it makes.

use services::webtoon::graph::queue::{queue, result};
use services::webtoon::graph::{Graph, NodeKind, SceneNode};
use services::webtoon::{scenes, styles};

use super::call::{Call, Outcome, ok, post};
use super::generate::Rendering;
use crate::app::App;

/// `/internal/scenes/{scene_id}/generate/…` and `/evaluate/…`
pub(super) fn routes() -> axum::Router<App> {
    let node = |node: NodeKind| post(move |call: Call| run(call, node));
    axum::Router::new()
        .route("/internal/scenes/{scene_id}/generate/scene-intent", node(NodeKind::SceneIntent))
        .route("/internal/scenes/{scene_id}/generate/panel-plan", node(NodeKind::PanelPlan))
        .route("/internal/scenes/{scene_id}/generate/panel-plan/normalize", node(NodeKind::Normalize))
        .route("/internal/scenes/{scene_id}/generate/layout", node(NodeKind::Layout))
        .route("/internal/scenes/{scene_id}/generate/panel-semantics", node(NodeKind::PanelSemantics))
        .route("/internal/scenes/{scene_id}/generate/render-spec", node(NodeKind::RenderSpec))
        .route("/internal/scenes/{scene_id}/generate/render", node(NodeKind::Render))
        .route("/internal/scenes/{scene_id}/evaluate/qc", node(NodeKind::Quality))
        .route("/internal/scenes/{scene_id}/evaluate/blind-test", node(NodeKind::BlindTest))
}

/// Runs a node and waits for it. A style that is not known is refused here, where `render` falls back to the default.
async fn run(call: Call, node: NodeKind) -> Outcome {
    let render = call.read::<Rendering>()?.of_scene(&call, false, false).await?;
    if let Some(style) = &render.style_id {
        let scene = scenes::scene(&call.context, render.scene_id).await?;
        let project = scenes::project_of(&call.context, &scene).await?;
        styles::require_image_style(&call.context, Some(&project), style).await?;
    }
    let job = queue(&call.context, call.user, &Graph::Node(SceneNode { node, render }), None).await?;
    ok(result(&call.context, job).await?)
}
