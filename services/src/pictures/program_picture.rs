//! Pictures for programs that wait for them: a job of the queue that is drawn and read back; where what an account has
//! under way that way stands; and its end.

use std::sync::Arc;
use std::time::Duration;

use actors::file::read_object;
use actors::job_scheduler::{CancelJob, WORKSPACE_BUCKET};
use actors::render::Step;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::jobs::await_job;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::rows::position;

/// Jobs of an account that are looked at.
const JOBS_MAX: u64 = 500;
/// The code of a picture that was ended before it was drawn.
pub const INTERRUPTED: &str = "INTERRUPTED";

/// What a program has drawn.
#[derive(Debug)]
pub struct ProgramPictures {
    /// The job that drew them.
    pub job: Uuid,
    /// Them, in order.
    pub pictures: Vec<ProgramPicture>,
    /// What was not followed, and why.
    pub warnings: Vec<String>,
}

/// One picture.
#[derive(Debug)]
pub struct ProgramPicture {
    /// A PNG.
    pub png: Vec<u8>,
    /// Its row of `workspace_assets`.
    pub asset: Json,
}

/// What an account has under way through one kind of program.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    /// Its jobs, those that are being drawn first.
    pub jobs: Vec<Json>,
    /// Where the first of them stands, once it has taken a step.
    pub step: Option<Step>,
}

/// Queues a job for an account and waits for its pictures. `source` says by what kind of program. A program that leaves
/// while it waits finds them in the workspace.
pub async fn draw(
    context: &Context,
    user: Uuid,
    source: &'static str,
    mut request: JobRequest,
    time_max: Duration,
) -> Result<ProgramPictures, ServiceError> {
    request.metadata.insert("source".into(), json!(source));
    let queued = queue(context, user, request).await?;
    // Steps are told to those who watch; this one lets a request for the progress find the latest.
    let _watched = context.services.render.as_ref().map(|render| render.watch(queued.id));
    let ended = await_job::ended(context, queued.id, time_max).await;
    let (_, assets) = match ended {
        Ok(ended) => ended,
        Err(error) => return Err(interrupted(context, queued.id, error).await),
    };
    let mut pictures = Vec::with_capacity(assets.len());
    for asset in assets {
        let path = asset["temp_storage_path"].as_str().unwrap_or_default().to_string();
        let store = context.services.actors.store().clone();
        let read = tokio::task::spawn_blocking(move || read_object(&store, WORKSPACE_BUCKET, &path)).await;
        let png = match read {
            Ok(read) => read?.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        if png.is_empty() {
            return Err(ServiceError::new(Kind::Internal, "a picture is lost: its file is gone"));
        }
        pictures.push(ProgramPicture { png, asset });
    }
    Ok(ProgramPictures { job: queued.id, pictures, warnings: queued.warnings })
}

/// A job that its account ended is no failure of the server.
async fn interrupted(context: &Context, id: Uuid, error: ServiceError) -> ServiceError {
    match context.row("jobs", id).await {
        Ok(Some(job)) if job["status"] == "cancelled" => {
            ServiceError::new(Kind::Conflict, "the picture was interrupted").with("code", INTERRUPTED)
        }
        _ => error,
    }
}

/// What the account has under way, as far as it came by programs of this kind.
pub async fn under_way(
    context: &Context,
    user: Uuid,
    source: &'static str,
) -> Result<UnderWay, ServiceError> {
    let mut jobs = Vec::new();
    for status in ["processing", "queued"] {
        let query = Query::all(position("jobs"))
            .equal("user_id", Value::Uuid(user))
            .equal("status", Value::text(status))
            .order("created_at", false)
            .limit(JOBS_MAX);
        let found = context.rows(query).await?;
        jobs.extend(found.into_iter().filter(|job| job["metadata"]["source"] == source));
    }
    let first = jobs.first().filter(|job| job["status"] == "processing").and_then(|job| uuid(&job["id"]));
    let watched = context.services.render.as_ref().zip(first).map(|(render, id)| render.watch(id));
    let step = watched.and_then(|watched| watched.borrow().clone());
    Ok(UnderWay { jobs, step })
}

/// Ends what is being drawn for the account through programs of this kind; what waits longest, where nothing is drawn.
/// Answers with the job.
pub async fn interrupt(
    context: &Context,
    user: Uuid,
    source: &'static str,
) -> Result<Option<Uuid>, ServiceError> {
    let under_way = under_way(context, user, source).await?;
    let drawn = under_way.jobs.iter().filter(|job| job["status"] == "processing");
    let mut ends: Vec<Uuid> = drawn.filter_map(|job| uuid(&job["id"])).collect();
    if ends.is_empty() {
        ends.extend(under_way.jobs.first().and_then(|job| uuid(&job["id"])));
    }
    let mut ended = None;
    for id in ends {
        let message = "interrupted by its account".to_string();
        if context.ask_elevated(CancelJob { id, message }).await?.is_some() {
            ended = ended.or(Some(id));
        }
    }
    Ok(ended)
}

/// How far a job is, from 0 to 1.
pub fn share_done(step: &Step) -> f64 {
    (step.step as f64 / step.steps.max(1) as f64).clamp(0.0, 1.0)
}

/// The preview of a step.
pub fn preview(step: &Step) -> Option<Arc<Vec<u8>>> {
    step.preview_png.clone()
}
