//! replicate-webhook: the provider reports about a prediction. Signed.

use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use services::replicate::take_report::{ended, job_of, take};

use super::signature;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    match signature::of_replicate(&call)? {
        Some(signed) => signed.answer(hear(&call).await),
        None => signature::heard_before(),
    }
}

async fn hear(call: &Call) -> Outcome {
    let report: Json = call.read()?;
    let id = report["id"].as_str().ok_or_else(|| FunctionError::missing(&["id"]))?;
    let job = job_of(&call.context, id, None).await?;
    let job = job.ok_or_else(|| FunctionError::not_found("no job is for this prediction"))?;
    if ended(&job).is_some() {
        return ok(json!({"success": true, "skipped": true, "jobId": job["id"], "status": job["status"]}));
    }
    let status = take(&call.context, &job, &report).await?;
    ok(json!({"success": true, "jobId": job["id"], "status": status}))
}

/// replicate-callback: gone.
pub(crate) async fn retired(_: Call) -> Outcome {
    let message = "replicate-callback is retired; replicate-webhook takes its place";
    let error = FunctionError::new(StatusCode::GONE, message);
    Err(error.with("message", message).with("deprecated", true))
}
