//! Putting a graph into the queue, and waiting for its end.

use std::time::Duration;

use actors::job_scheduler::{GRAPH_QUEUE, QueueGraph, QueueJob, StoredPayload, is_final, queued_progress};
use models::Value;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Graph, StoryBuild};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::await_job::wait_for_commit;
use crate::rows::table;

/// How often a graph may begin again; each time it goes on where it stopped.
const ATTEMPTS_MAX: i64 = 10;
/// How long a caller is kept waiting.
pub const WAIT_MAX: Duration = Duration::from_secs(540);

/// Steps that a story's progress counts.
pub fn total_steps(build: &StoryBuild) -> u32 {
    if build.full { 11 } else { 7 }
}

/// Queues a graph for an account; answers with its job.
pub async fn queue(
    context: &Context,
    user: Uuid,
    graph: &Graph,
    idempotency_key: Option<String>,
) -> Result<Uuid, ServiceError> {
    let jobs = table("jobs");
    let mut job = jobs.default_row();
    let id = Uuid::new_v4();
    let (story, scene) = match graph {
        Graph::Story(build) => (Some(build.story_id), None),
        Graph::Planning(planning) => (None, Some(planning.scene_id)),
        Graph::Render(render) => (None, Some(render.scene_id)),
        Graph::Node(asked) => (None, Some(asked.render.scene_id)),
    };
    // Without a request's name the job's id stands for it.
    let request_id = context.claims.request_id.clone().unwrap_or_else(|| id.to_string());
    let metadata = json!({"story_id": story, "scene_id": scene, "request_id": request_id, "nodes": {}});
    let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
    set("id", Value::Uuid(id));
    set("user_id", Value::Uuid(user));
    set("job_type", Value::text(graph.job_type()));
    set("max_attempts", Value::Int(ATTEMPTS_MAX));
    set("metadata", Value::json(&metadata));
    let decision = QueueGraph {
        job: QueueJob {
            job,
            queue: GRAPH_QUEUE,
            payload: StoredPayload::Graph(json!(graph)),
            priority: 0,
            idempotency_key,
            credits: 0,
            cost_usd: None,
            preset: None,
            ab_test: None,
            limits: context.services.settings.queue_limits,
        },
        story: match graph {
            Graph::Story(build) => Some((build.story_id, queued_progress(total_steps(build)))),
            _ => None,
        },
    };
    let queued = context.ask(decision).await?;
    Ok(queued.job[jobs.at("id")].as_uuid().unwrap_or(id))
}

/// What a graph came to; an error with the reason where it failed.
pub async fn result(context: &Context, job: Uuid) -> Result<Json, ServiceError> {
    let mut commits = context.services.actors.events().subscribe();
    let wait = async {
        loop {
            let row = context.row("jobs", job).await?;
            let row = row.ok_or_else(|| ServiceError::not_found("the job is gone"))?;
            if is_final(row["status"].as_str()) {
                return outcome(&row);
            }
            if !wait_for_commit(&mut commits, job).await {
                return Err(ServiceError::unavailable("STOPPING", "the server is stopping; the job is kept"));
            }
        }
    };
    let waited = tokio::time::timeout(WAIT_MAX, wait).await;
    waited.unwrap_or_else(|_| {
        let message = format!("the job {job} did not end within {} s; it goes on", WAIT_MAX.as_secs());
        Err(ServiceError::new(Kind::Timeout, message))
    })
}

fn outcome(job: &Json) -> Result<Json, ServiceError> {
    let reason = || job["error_message"].as_str().unwrap_or("the job was cancelled").to_string();
    match (job["status"].as_str(), job["metadata"]["failure"].as_str()) {
        (Some("completed"), _) => Ok(job["metadata"]["result"].clone()),
        (Some("cancelled"), _) => Err(ServiceError::new(Kind::Conflict, "the job was cancelled")),
        (_, Some("bad")) => Err(ServiceError::bad(reason())),
        (_, Some("refused")) => Err(ServiceError::content_refused(reason())),
        _ => Err(ServiceError::new(Kind::Upstream, reason())),
    }
}
