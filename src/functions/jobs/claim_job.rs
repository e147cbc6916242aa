//! claim-job: a remote worker asks for its next job. Signed like its reports.

use actors::job_scheduler::{ClaimJob, IMAGE_QUEUE, LOCAL_WORKER, VIDEO_QUEUE};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use services::ServiceError;

use super::signature;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// How long a worker may be silent, in seconds.
const LEASE_S: i64 = 300;
const LEASE_S_MIN: i64 = 10;
const LEASE_S_MAX: i64 = 86_400;

#[derive(Deserialize)]
struct Request {
    queue: Option<String>,
    worker: Option<String>,
    lease_seconds: Option<i64>,
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
    let lease_s = request.lease_seconds.unwrap_or(LEASE_S);
    if !(LEASE_S_MIN..=LEASE_S_MAX).contains(&lease_s) {
        return Err(ServiceError::not_within("lease_seconds", lease_s, LEASE_S_MIN, LEASE_S_MAX).into());
    }
    let lease_s = Some(lease_s);
    let claimed =
        call.context.ask_elevated(ClaimJob { queues: vec![queue], worker, lease_s, beside: None }).await?;
    let job = claimed.map(|claimed| {
        let mut payload = claimed.payload;
        payload["attempt"] = json!(claimed.attempt);
        payload["lease_seconds"] = json!(lease_s);
        payload
    });
    ok(json!({"success": true, "job": job}))
}
