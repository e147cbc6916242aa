//! retry-video: a video that failed goes on with the first step that made nothing, or with one that is named.

use serde::Deserialize;
use serde_json::json;
use services::media::retry::retry;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "videoGenerationId")]
    video_generation_id: Option<Uuid>,
    step: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let missing = || FunctionError::missing(&["video_generation_id"]);
    let id = request.video_generation_id.ok_or_else(missing)?;
    let (video, job, step) = retry(&call.context, id, request.step.as_deref()).await?;
    ok(json!({"success": true, "video": video, "jobId": job, "step": step}))
}
