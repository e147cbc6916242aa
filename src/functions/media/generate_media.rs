//! generate-media: rows of image_generations and audio_generations that wait or failed are made, as one job.

use serde::Deserialize;
use serde_json::json;
use services::media::alone::{ROWS_MAX, make};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    images: Vec<Uuid>,
    #[serde(default)]
    audio: Vec<Uuid>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    if request.images.len() + request.audio.len() > ROWS_MAX {
        return Err(
            FunctionError::bad(format!("images and audio: more than {ROWS_MAX} together")).of_field("images")
        );
    }
    let job = make(&call.context, &request.images, &request.audio).await?;
    ok(json!({"success": true, "jobId": job, "images": request.images.len(), "audio": request.audio.len()}))
}
