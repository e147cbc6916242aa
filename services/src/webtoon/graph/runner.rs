//! Runs graphs that are queued: accounts in turn, some at one time.

use actors::job_scheduler::{CancelJob, ClaimedJob, EndGraph, FailJob, GRAPH_QUEUE, nodes_of};
use models::Claims;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::run::{Run, Stop};
use super::{Graph, scene_node, scene_plan, scene_render, story_build};
use crate::Services;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::run_queue::run_queue;
use crate::rows::table;
use crate::webtoon::{artifacts, scenes};

/// Graphs at one time; most of their time they wait for models and pictures.
const RUNNING_MAX: usize = 8;

/// Runs for as long as the process. What an earlier process was running must be back in the queue.
pub async fn run_graphs(services: Services) {
    run_queue(services, GRAPH_QUEUE, RUNNING_MAX, |services, claimed| async move {
        store::crash::point("webtoon_claimed");
        run_job(&services, claimed).await;
    })
    .await;
}

/// Runs one job to its end.
async fn run_job(services: &Services, claimed: ClaimedJob) {
    let (id, attempt) = (claimed.id, claimed.attempt);
    let outcome = match Graph::deserialize(&claimed.payload) {
        Ok(graph) => run_graph(services, &claimed, &graph).await,
        Err(error) => Err(Stop::Failed(ServiceError::bad(format!("the job's payload: {error}")))),
    };
    let service = Claims::service();
    let recorded = match outcome {
        Ok(result) => {
            store::crash::point("webtoon_ending");
            services.actors.ask(&service, EndGraph { job: id, attempt, result }).await.map(|_| ())
        }
        Err(Stop::Ended) => {
            tracing::info!(job = %id, "a graph ended before it was done");
            return;
        }
        Err(Stop::Failed(error)) => {
            tracing::warn!(job = %id, attempt, %error, "a graph failed");
            let (kind, retry) = match error.kind() {
                Kind::Internal | Kind::Busy => ("server", true),
                Kind::ContentRefused => ("refused", false),
                Kind::Upstream | Kind::Unavailable | Kind::Timeout => ("upstream", false),
                _ => ("bad", false),
            };
            let metadata = Map::from_iter([("failure".to_string(), json!(kind))]);
            let fail = FailJob { id, attempt: Some(attempt), message: error.to_string(), retry, metadata };
            services.actors.ask(&service, fail).await.map(|_| ())
        }
    };
    if let Err(error) = recorded {
        tracing::error!(job = %id, %error, "how a graph ended could not be recorded");
    }
}

async fn run_graph(services: &Services, claimed: &ClaimedJob, graph: &Graph) -> Result<Json, Stop> {
    let metadata = claimed.job[table("jobs").at("metadata")].as_json().unwrap_or_default();
    let mut claims = Claims::user(claimed.user_id);
    claims.request_id = metadata["request_id"].as_str().map(str::to_string);
    let context = Context::new(services.clone(), claims);
    let offline = match graph {
        Graph::Story(build) => build.offline,
        Graph::Planning(planning) => planning.offline,
        Graph::Render(render) => render.offline,
        Graph::Node(asked) => asked.render.offline,
    };
    let at = (claimed.id, claimed.attempt);
    let mut run = Run::new(context, claimed.user_id, at, offline, nodes_of(&claimed.job));
    let outcome = nodes(&mut run, graph).await;
    if matches!(outcome, Err(Stop::Ended)) {
        cancel_pictures(&run).await;
    }
    let mut result = outcome?;
    let warnings = run.warnings();
    if !warnings.is_empty() {
        result["warnings"] = json!(warnings);
    }
    Ok(result)
}

/// Runs the nodes of a graph.
async fn nodes(run: &mut Run, graph: &Graph) -> Result<Json, Stop> {
    Ok(match graph {
        Graph::Story(build) => story_build::run(run, build).await?,
        Graph::Planning(planning) => {
            let scene = scenes::scene(&run.context, planning.scene_id).await?;
            refuse_locked(run, &scene, planning.scene_id).await?;
            let asked = (planning.panel_count, planning.genre.as_str());
            let input = scene_render::input(run, &scene, asked, None).await?;
            let planned = scene_plan::plan(run, &input).await?;
            let made = planned.artifacts.iter().map(|(kind, id)| ((*kind).to_string(), json!(id)));
            Json::Object(made.collect())
        }
        Graph::Render(render) => scene_render::run(run, render).await?,
        Graph::Node(asked) => scene_node::run(run, asked).await?,
    })
}

/// Pictures of a graph that was cancelled are not drawn either.
async fn cancel_pictures(run: &Run) {
    let row = run.context.row("jobs", run.job).await.ok().flatten();
    if row.is_none_or(|row| row["status"] != "cancelled") {
        return;
    }
    for id in &run.pictures {
        let cancel = CancelJob { id: *id, message: "the scene's job was cancelled".into() };
        if let Err(error) = run.context.services.actors.ask(&Claims::service(), cancel).await {
            tracing::warn!(job = %id, %error, "a panel of a cancelled scene could not be cancelled");
        }
    }
}

/// A locked scene keeps its plan.
async fn refuse_locked(run: &Run, scene: &Json, id: Uuid) -> Result<(), Stop> {
    if scene["planning_locked"] != Json::Bool(true) {
        return Ok(());
    }
    let lacks = artifacts::missing(&run.context, id).await?;
    let reason = match lacks.is_empty() {
        true => "planning is locked".to_string(),
        false => format!("planning is locked but missing artifacts: {}", lacks.join(", ")),
    };
    Err(Stop::Failed(ServiceError::bad(reason)))
}
