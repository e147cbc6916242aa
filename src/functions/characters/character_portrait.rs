//! character-portrait: draws a character, keeps the pictures in the library, and gives the character a face.

use std::time::Instant;

use axum::http::StatusCode;
use serde_json::json;
use services::pictures::character_portrait::{BUCKET, PortraitRequest, draw};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::receive::idempotency_key;

/// Life of the addresses of the answer, in seconds: a year, as screens keep them.
const SIGNED_S: u64 = 365 * 24 * 3600;

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let started = Instant::now();
    let mut request: PortraitRequest = call.read()?;
    request.idempotency_key = idempotency_key(&call.headers)?;
    let pose_key = request.canon_pose_key.clone();
    let drawn = draw(&call.context, request).await?;
    let links = &call.context.services.links;
    let urls: Result<Vec<String>, String> =
        drawn.names.iter().map(|name| links.signed(BUCKET, name, SIGNED_S)).collect();
    let urls = urls.map_err(|error| FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    let mut answer = json!({
        "success": true, "imageUrl": urls.first(), "imageUrls": urls, "jobId": drawn.job,
        "portraitId": drawn.portraits.first(), "portraitIds": drawn.portraits,
        "generationTimeMs": started.elapsed().as_millis() as u64, "storagePath": drawn.names.first(),
        "batchCount": drawn.names.len(), "canonId": drawn.canon, "canonPoseKey": pose_key,
    });
    if !drawn.warnings.is_empty() {
        answer["warnings"] = json!(drawn.warnings);
    }
    ok(answer)
}
