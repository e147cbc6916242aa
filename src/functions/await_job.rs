//! Waiting for a job, for functions that answer with its result.

use std::time::Duration;

use models::Value;
use serde_json::Value as Json;
use store::query::Query;
use uuid::Uuid;

use super::call::{Call, position, table};
use super::error::FunctionError;

/// The job once it has ended, with its assets; 504 when that takes longer than `time_max`, which leaves the job alone.
pub(crate) async fn ended(
    call: &Call,
    id: Uuid,
    time_max: Duration,
) -> Result<(Json, Vec<Json>), FunctionError> {
    let mut commits = call.app.actors.events().subscribe();
    let jobs = table("jobs");
    let wait = async {
        loop {
            let job =
                call.row("jobs", id).await?.ok_or_else(|| FunctionError::not_found("the job is gone"))?;
            if matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled")) {
                return Ok(job);
            }
            // Until a commit concerns the job; one that was missed counts as one that does.
            while let Ok(commit) = commits.recv().await {
                let concerns = |change: &store::Change| {
                    let row = change.new.as_ref().or(change.old.as_ref());
                    change.table == jobs.id && row.is_some_and(|row| row[jobs.at("id")].as_uuid() == Some(id))
                };
                if commit.changes.iter().any(concerns) {
                    break;
                }
            }
        }
    };
    let waited: Result<Result<Json, FunctionError>, _> = tokio::time::timeout(time_max, wait).await;
    let job = waited.map_err(|_| {
        let message = format!("the job did not end within {} s; it goes on", time_max.as_secs());
        FunctionError::new(axum::http::StatusCode::GATEWAY_TIMEOUT, message).with("jobId", id.to_string())
    })??;
    if job["status"] != "completed" {
        let reason = job["error_message"].as_str().unwrap_or("the job was cancelled").to_string();
        let error = FunctionError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, reason);
        return Err(error.with("jobId", id.to_string()));
    }
    let assets =
        Query::all(position("workspace_assets")).equal("job_id", Value::Uuid(id)).order("asset_index", false);
    let assets = call.rows(assets).await?;
    Ok((job, assets))
}
