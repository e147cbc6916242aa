//! job-progress: the steps of a job as server-sent events, with small previews. Nothing is written to the disk for it.
//!
//! Events: `status` (the job's row, at once and whenever its status changes), `step` (`{step, steps, image, preview}`,
//! the preview a data URL), and at the end `done` with the job's assets.

use std::convert::Infallible;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::Deserialize;
use services::jobs::follow_job::follow_job;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome};

/// Events that may wait for a slow reader.
const BACKLOG: usize = 16;

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "jobId")]
    job_id: Option<Uuid>,
}

/// Runs the function; the job may be named in the query string (`?job_id=`) or the body.
pub(crate) async fn run(call: Call) -> Outcome {
    let user = call.context.user()?;
    let id = match call.id_parameter(&["job_id", "jobId"])? {
        Some(id) => Some(id),
        None => call.read::<Request>()?.job_id,
    };
    let id = id.ok_or_else(|| FunctionError::missing(&["job_id"]))?;
    let job = call.context.row("jobs", id).await?.unwrap_or_default();
    if job["user_id"].as_str() != Some(user.to_string().as_str()) {
        return Err(FunctionError::not_found("Job not found"));
    }
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(follow_job(call.context.clone(), id, sender));
    let events = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let happened = receiver.recv().await?;
        let event = Event::default().event(happened.name).data(happened.data.to_string());
        Some((Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response().into())
}
