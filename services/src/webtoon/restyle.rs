//! A whole episode in another style.

use actors::job_scheduler::NodeWrite;
use actors::write_together::WriteTogether;
use models::{Aggregate, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::graph::queue::queue;
use super::graph::{Graph, SceneRender, genre_of};
use super::panel_looks::PanelLooks;
use super::{episodes, records};
use crate::context::Context;
use crate::error::ServiceError;

/// Sets a style on an episode and on its scenes, in one commit, and queues a job for each scene that draws its plan in
/// that style; seeds stay. Where a job is refused the scenes that were not drawn are stale, so that `render-stale` goes on.
pub async fn episode(
    context: &Context,
    user: Uuid,
    id: Uuid,
    style: &str,
    offline: bool,
) -> Result<Json, ServiceError> {
    let row = records::get(context, "episodes", id, "episode").await?;
    episodes::require_known_style(context, &row, style).await?;
    let scenes = episodes::scene_ids(context, id).await?;
    if scenes.is_empty() {
        return Err(ServiceError::bad("the episode has no scenes"));
    }
    let value = || Value::text(style);
    let mut writes =
        vec![NodeWrite::Update { table: "episodes", id, values: vec![("default_image_style", value())] }];
    writes.extend(scenes.iter().map(|scene| NodeWrite::Update {
        table: "scenes",
        id: *scene,
        values: vec![("image_style_override", value())],
    }));
    context.ask(WriteTogether { owner: Aggregate::Story, writes }).await?;
    let mut jobs = Vec::with_capacity(scenes.len());
    for scene_id in &scenes {
        let graph = Graph::Render(SceneRender {
            scene_id: *scene_id,
            style_id: Some(style.to_string()),
            prompt_override: None,
            enforce_qc: false,
            full: false,
            panel_count: 3,
            genre: genre_of(None),
            offline,
            api_model_id: None,
            looks: PanelLooks::default(),
            again: None,
        });
        jobs.push(json!({"scene_id": scene_id, "job_id": queue(context, user, &graph, None).await?}));
    }
    Ok(json!({"episode_id": id, "style_id": style, "jobs": jobs}))
}
