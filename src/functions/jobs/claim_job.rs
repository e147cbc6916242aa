//! claim-job: a remote worker asks for its next job. Signed like its reports.

use actors::job_scheduler::{ClaimJob, IMAGE_QUEUE, LOCAL_WORKER, VIDEO_QUEUE, WORKSPACE_BUCKET};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::ServiceError;

use super::signature;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::storage::signed_upload_url;

/// How long a worker may be silent, in seconds.
const LEASE_S: i64 = 300;
const LEASE_S_MIN: i64 = 10;
const LEASE_S_MAX: i64 = 86_400;
/// Pictures of one job at most.
const IMAGES_MAX: u64 = 64;

#[derive(Deserialize)]
struct Request {
    queue: Option<String>,
    worker: Option<String>,
    lease_seconds: Option<i64>,
    /// Whether the answer is to hold signed addresses to upload results to.
    uploads: Option<bool>,
}

/// Names of the files that a job may come to, within its folder.
fn result_names(payload: &Json) -> Vec<String> {
    let (files, extension) = match payload["config"]["pipeline"].as_str() {
        Some("video") => (1, "mp4"),
        _ => (payload["config"]["num_images"].as_u64().unwrap_or(1).clamp(1, IMAGES_MAX), "png"),
    };
    (0..files).flat_map(|at| [format!("{at}.{extension}"), format!("{at}.thumb.webp")]).collect()
}

/// Refuses a lease that is too short or too long, in seconds.
pub(super) fn check_lease(lease_s: i64) -> Result<i64, FunctionError> {
    match (LEASE_S_MIN..=LEASE_S_MAX).contains(&lease_s) {
        true => Ok(lease_s),
        false => Err(ServiceError::not_within("lease_seconds", lease_s, LEASE_S_MIN, LEASE_S_MAX).into()),
    }
}

/// Runs the function. Answers `{job: null}` when nothing waits.
pub(crate) async fn run(call: Call) -> Outcome {
    let Some(signed) = signature::of_worker(&call)? else {
        // Its job went to the first of the two; a worker that did not hear the answer signs another request.
        let message = "this request was taken before: sign another one";
        return Err(FunctionError::new(StatusCode::CONFLICT, message));
    };
    signed.answer(claim(&call).await)
}

async fn claim(call: &Call) -> Outcome {
    let request: Request = call.read()?;
    let queue = request.queue.unwrap_or_else(|| VIDEO_QUEUE.into());
    if queue != IMAGE_QUEUE && queue != VIDEO_QUEUE {
        return Err(FunctionError::none_of("queue", &queue, &[IMAGE_QUEUE, VIDEO_QUEUE]));
    }
    let worker = request.worker.unwrap_or_else(|| "remote".into());
    if worker.is_empty() || worker.len() > 100 || worker == LOCAL_WORKER {
        let message = "worker: a name of up to 100 characters, and not \"local\"";
        return Err(FunctionError::bad(message).of_field("worker"));
    }
    let lease_s = Some(check_lease(request.lease_seconds.unwrap_or(LEASE_S))?);
    let claimed = call
        .context
        .ask_elevated(ClaimJob { queues: vec![queue], worker, lease_s, beside: None, except: Vec::new() })
        .await?;
    let job = claimed.map(|claimed| {
        let mut payload = claimed.payload;
        payload["attempt"] = json!(claimed.attempt);
        payload["lease_seconds"] = json!(lease_s);
        if request.uploads == Some(true) {
            // A folder for each attempt: one that was given up must not write over what the next one made.
            let folder = format!("{}/{}/{}", claimed.user_id, claimed.id, claimed.attempt);
            let address = |name: String| {
                let path = format!("{folder}/{name}");
                let url = signed_upload_url(&call.app.keys, &call.app.config, WORKSPACE_BUCKET, &path)?;
                Ok(json!({"name": name, "path": path, "url": url}))
            };
            let addresses: Result<Vec<Json>, String> =
                result_names(&payload).into_iter().map(address).collect();
            payload["uploads"] = json!(
                addresses.map_err(|error| FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, error))?
            );
        }
        Ok::<_, FunctionError>(payload)
    });
    let job = job.transpose()?;
    ok(json!({"success": true, "job": job}))
}
