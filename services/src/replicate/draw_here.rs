//! A picture that is asked of a provider, and whose model is one of this server.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;

/// Job types that the queue knows; others of this door name a family, and mean a picture.
const KNOWN: [&str; 6] =
    ["sdxl_image_fast", "sdxl_image_high", "image_fast", "image_high", "rv51_fast", "rv51_high"];

/// Queues the job; answers with it, and with what is not followed.
pub(super) async fn draw(
    context: &Context,
    user: Uuid,
    model: &Json,
    request: &Map<String, Json>,
    metadata: &Map<String, Json>,
) -> Result<(Uuid, Vec<String>), ServiceError> {
    let asked =
        |name: &str| request.get(name).or_else(|| metadata.get(name)).filter(|value| !value.is_null());
    let text = |name: &str| asked(name).and_then(Json::as_str).map(str::to_string);
    let number = |name: &str| asked(name).and_then(Json::as_f64);
    let whole = |name: &str| number(name).filter(|it| *it >= 0.0).map(|it| it.round() as u32);
    let given = text("job_type").unwrap_or_default();
    let job_type = match KNOWN.contains(&given.as_str()) {
        true => given,
        false => if given.contains("high") { "image_high" } else { "image_fast" }.to_string(),
    };
    let mut metadata = metadata.clone();
    if let Some(ratio) = request.get("aspect_ratio") {
        metadata.entry("aspect_ratio").or_insert_with(|| ratio.clone());
    }
    let job = JobRequest {
        job_type,
        prompt: text("prompt"),
        negative_prompt: text("negative_prompt"),
        reference_image_url: text("reference_image_url"),
        seed: asked("seed").and_then(models::value_words::seed).flatten(),
        steps: whole("steps"),
        guidance_scale: number("guidance_scale"),
        denoise_strength: number("strength"),
        reference_strength: number("reference_strength"),
        width: whole("width"),
        height: whole("height"),
        scheduler: text("scheduler"),
        quality: text("quality"),
        character_id: text("character_id").and_then(|id| Uuid::parse_str(&id).ok()),
        model: model["id"].as_str().map(str::to_string),
        image_count: Some(1),
        metadata,
        ..JobRequest::default()
    };
    let queued = queue(context, user, job).await?;
    Ok((queued.id, queued.warnings))
}
