//! One node of a scene by itself: a new version of what it makes, from the latest versions of what it needs.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;
use webtoon::planning::panel_plan::normalize;

use super::run::{Kept, Run, Stop};
use super::scene_plan::{self, panels_in};
use super::{NodeKind, SceneNode, SceneRender};
use super::{scene_render, story_review};
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::webtoon::{artifacts, scenes};

/// Runs the node; `{artifact_id}`.
pub async fn run(run: &mut Run, asked: &SceneNode) -> Result<Json, Stop> {
    let render = &asked.render;
    let scene = scenes::scene(&run.context, render.scene_id).await?;
    let input =
        scene_render::input(run, &scene, (render.panel_count, &render.genre), render.style_id.as_deref())
            .await?;
    let kept: Kept = match asked.node {
        NodeKind::SceneIntent => scene_plan::intent(run, &input).await?,
        NodeKind::PanelPlan => {
            let intent = needed(run, render.scene_id, "scene_intent").await?;
            scene_plan::panel_plan(run, &input, &intent).await?.0
        }
        NodeKind::Normalize => {
            let plan = needed(run, render.scene_id, "panel_plan").await?;
            let mut panels = panels_in(&plan);
            normalize(&mut panels);
            scene_plan::normalized(run, &input, panels, &plan["derived_features"]).await?
        }
        NodeKind::Layout => {
            let plan = needed(run, render.scene_id, "panel_plan_normalized").await?;
            scene_plan::layout(run, &input, &panels_in(&plan)).await?
        }
        NodeKind::PanelSemantics => {
            let plan = needed(run, render.scene_id, "panel_plan_normalized").await?;
            let intent = needed(run, render.scene_id, "scene_intent").await?;
            scene_plan::semantics(run, &input, &panels_in(&plan), &intent).await?
        }
        NodeKind::RenderSpec => scene_render::spec(run, render, &scene).await?,
        NodeKind::Render => {
            let latest = artifacts::latest_of(&run.context, render.scene_id, "render_spec").await?;
            let missing = || ServiceError::bad("the scene has no render_spec; generate it first");
            let latest = latest.ok_or_else(missing)?;
            let spec =
                Kept { id: uuid(&latest["id"]).unwrap_or_default(), payload: latest["payload"].clone() };
            scene_render::draw_spec(run, render, &scene, &spec).await?
        }
        NodeKind::Quality => {
            needed(run, render.scene_id, "panel_plan_normalized").await?;
            let mut made = Map::new();
            let open = SceneRender { enforce_qc: false, ..render.clone() };
            scene_render::check(run, &open, &mut made).await?;
            return Ok(json!({"artifact_id": made["qc_report"]}));
        }
        NodeKind::BlindTest => {
            let seen = needed(run, render.scene_id, "panel_semantics").await?;
            let seen = seen["panels"].as_array().cloned().unwrap_or_default();
            story_review::blind_report_of(run, &input, &seen).await?
        }
    };
    Ok(json!({"artifact_id": kept.id}))
}

/// The payload of the latest artifact of a type, without which the node cannot run.
async fn needed(run: &Run, scene: Uuid, kind: &'static str) -> Result<Json, Stop> {
    let latest = artifacts::latest_of(&run.context, scene, kind).await?;
    let missing = || ServiceError::bad(format!("the scene has no {kind}; generate it first"));
    Ok(latest.ok_or_else(missing)?["payload"].clone())
}
