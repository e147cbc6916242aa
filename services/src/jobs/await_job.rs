//! Waiting for a job, for use cases that answer with its result.

use std::sync::Arc;
use std::time::Duration;

use actors::job_scheduler::is_final;
use serde_json::Value as Json;
use store::Commit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::job_assets::assets_of;
use crate::rows::table;

/// Waits until a commit concerns the job; one that was missed counts as one that does. False once no commit can come any
/// more.
pub async fn wait_for_commit(commits: &mut Receiver<Arc<Commit>>, id: Uuid) -> bool {
    let jobs = table("jobs");
    let concerns = |change: &store::Change| {
        let row = change.new.as_ref().or(change.old.as_ref());
        change.table == jobs.id && row.is_some_and(|row| row[jobs.at("id")].as_uuid() == Some(id))
    };
    loop {
        match commits.recv().await {
            Ok(commit) if commit.changes.iter().any(concerns) => return true,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return true,
            Err(RecvError::Closed) => return false,
        }
    }
}

/// The job once it has ended, with its assets; a timeout when that takes longer than `time_max`, which leaves the job alone.
pub async fn ended(
    context: &Context,
    id: Uuid,
    time_max: Duration,
) -> Result<(Json, Vec<Json>), ServiceError> {
    let mut commits = context.services.actors.events().subscribe();
    let wait = async {
        loop {
            let job =
                context.row("jobs", id).await?.ok_or_else(|| ServiceError::not_found("the job is gone"))?;
            if is_final(job["status"].as_str()) {
                return Ok(job);
            }
            if !wait_for_commit(&mut commits, id).await {
                let stopping =
                    ServiceError::unavailable("STOPPING", "the server is stopping; the job is kept");
                return Err(stopping.with("jobId", id.to_string()));
            }
        }
    };
    let waited: Result<Result<Json, ServiceError>, _> = tokio::time::timeout(time_max, wait).await;
    let job = waited.map_err(|_| {
        let message = format!("the job did not end within {} s; it goes on", time_max.as_secs());
        ServiceError::new(Kind::Timeout, message).with("jobId", id.to_string())
    })??;
    if job["status"] != "completed" {
        let reason = job["error_message"].as_str().unwrap_or("the job was cancelled").to_string();
        let error = ServiceError::worded(Kind::Internal, reason);
        return Err(error.with("jobId", id.to_string()));
    }
    let assets = assets_of(context, &job).await?;
    Ok((job, assets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_lagged_looks_again_and_a_closed_channel_ends_the_wait() {
        let (sender, mut receiver) = tokio::sync::broadcast::channel(1);
        let commit = || Arc::new(Commit { number: 1, at_micros: 0, changes: Vec::new(), request_id: None });
        for _ in 0..2 {
            assert!(sender.send(commit()).is_ok());
        }
        assert!(wait_for_commit(&mut receiver, Uuid::nil()).await, "something was missed");
        drop(sender);
        assert!(!wait_for_commit(&mut receiver, Uuid::nil()).await, "nothing can come any more");
    }
}
