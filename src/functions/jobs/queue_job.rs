//! queue-job: a picture or a video is asked for.

use axum::http::{Method, StatusCode};
use serde_json::json;
use services::jobs::job_request::JobRequest;
use services::jobs::queue_job::{Queued, queue};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::receive::idempotency_key;

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    if call.method != Method::POST {
        return Err(FunctionError::new(StatusCode::METHOD_NOT_ALLOWED, "queue-job takes POST"));
    }
    let mut request: JobRequest = call.read()?;
    request.idempotency_key = idempotency_key(&call.headers)?;
    let user = call.context.user()?;
    let Queued { id, queue, status, existed, warnings, .. } = queue(&call.context, user, request).await?;
    let message = if existed { "This job was queued before" } else { "Job queued successfully" };
    let mut answer = json!({"jobId": id, "status": status, "queueName": queue, "message": message});
    if !warnings.is_empty() {
        answer["warnings"] = json!(warnings);
    }
    ok(answer)
}
