//! Takes jobs of media from the queue for as long as the process runs, accounts in turn.

use actors::job_scheduler::{ClaimedJob, EndGraph, FailJob};
use actors::media::failure::FailureCode;
use actors::media::jobs::{AUTO_RETRIES, FAILURE, MEDIA_QUEUE, RETRIEVAL};
use models::Claims;
use serde_json::{Map, Value as Json, json};

use super::pieces::{Piece, make};
use super::run::{Run, Stop, internal};
use super::steps;
use crate::Services;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::jobs::run_queue::run_queue;
use crate::rows::table;

/// Jobs at one time: most of their time they wait for speech and pictures.
const RUNNING_MAX: usize = 4;
/// How often the server tries again by itself.
const AUTO_RETRIES_MAX: u64 = 2;

/// Runs for as long as the process. What an earlier process was running must be back in the queue.
pub async fn run(services: Services) {
    run_queue(services, MEDIA_QUEUE, RUNNING_MAX, |services, claimed| async move {
        store::crash::point("media_claimed");
        work(&services, claimed).await;
    })
    .await;
}

/// Runs one job to its end.
async fn work(services: &Services, claimed: ClaimedJob) {
    let (id, attempt) = (claimed.id, claimed.attempt);
    let metadata = claimed.job[table("jobs").at("metadata")].as_json().unwrap_or_default();
    let context = Context::new(services.clone(), Claims::user(claimed.user_id));
    let making = {
        let metadata = metadata.clone();
        tokio::spawn(async move { make_all(context, &claimed, &metadata).await })
    };
    let outcome = match making.await {
        Ok(outcome) => outcome,
        // The process is ending; the next one puts the job back into the queue.
        Err(error) if error.is_cancelled() => Err(Stop::Ended),
        Err(error) => {
            tracing::error!(job = %id, %error, "a job of media panicked");
            Err(Stop::Failed(internal("the job ended unexpectedly")))
        }
    };
    let service = Claims::service();
    let (error, kind) = match outcome {
        Ok(result) => {
            store::crash::point("media_ending");
            let ended = services.actors.ask(&service, EndGraph { job: id, attempt, result }).await;
            return match ended {
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(job = %id, %error, "the end of a job of media could not be recorded")
                }
            };
        }
        Err(Stop::Ended) => return tracing::info!(job = %id, "a job of media ended before it was done"),
        Err(Stop::Failed(error)) => (error, None),
        Err(Stop::Unfetched(error)) => (error, Some(RETRIEVAL)),
    };
    let message = error.to_string();
    tracing::warn!(job = %id, attempt, message, "a job of media failed");
    let tries = metadata[AUTO_RETRIES].as_u64().unwrap_or(0);
    // A piece was tried again already; the rest is what passes by itself, and what is there and was not fetched.
    let may_help = kind.is_some()
        || matches!(error.kind(), Kind::Internal | Kind::Busy)
        || FailureCode::of(&message).is_passing();
    let retry = may_help && tries < AUTO_RETRIES_MAX;
    let mut facts = Map::from_iter([(FAILURE.to_string(), json!(kind))]);
    if retry {
        facts.insert(AUTO_RETRIES.into(), json!(tries + 1));
    }
    let fail = FailJob { id, attempt: Some(attempt), message, retry, metadata: facts };
    if let Err(error) = services.actors.ask(&service, fail).await {
        tracing::error!(job = %id, %error, "the failure of a job of media could not be recorded");
    }
}

/// Makes what a job is for.
async fn make_all(context: Context, claimed: &ClaimedJob, metadata: &Json) -> Result<Json, Stop> {
    let at = (claimed.id, claimed.attempt);
    if let Some(video) = uuid(&claimed.payload["video_generation_id"]) {
        let run = Run::new(context, claimed.user_id, at, Some(video));
        return steps::run(&run, video).await;
    }
    let run = Run::new(context, claimed.user_id, at, None);
    let (mut made, mut failed) = (0, Vec::new());
    for (member, kind) in [("audio", Piece::Audio), ("images", Piece::Image)] {
        for id in metadata[member].as_array().into_iter().flatten().filter_map(uuid) {
            let Some(row) = run.context.row(kind.table(), id).await? else { continue };
            if uuid(&row["user_id"]) != Some(run.user) {
                continue;
            }
            match make(&run, kind, &row, Vec::new()).await {
                Ok(()) => made += 1,
                // One that failed says so in its row; the others are made all the same.
                Err(Stop::Failed(error)) => failed.push(format!("{id}: {error}")),
                Err(stop) => return Err(stop),
            }
        }
    }
    if made == 0 && !failed.is_empty() {
        // Each was tried as often as that may help.
        return Err(ServiceError::bad(failed.join("; ")).into());
    }
    Ok(json!({"made": made, "failed": failed}))
}
