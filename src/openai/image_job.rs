//! A picture is a job like any other: queued, waited for, and answered with what came of it. A client that leaves
//! while waiting finds the pictures in the workspace.

use std::time::Duration;

use actors::file::{picture, read_object};
use actors::job_scheduler::WORKSPACE_BUCKET;
use actors::render::list_models;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use services::age_gate;
use services::context::Context;
use services::jobs::await_job;
use services::jobs::queue_job::queue;
use services::{Kind, ServiceError};
use uuid::Uuid;

use super::error::OpenAiError;
use super::image_request::{Delivery, ImageRequest};
use crate::receive::idempotency_key;
use crate::request_body::warn;

/// Longest wait for a job.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Life of a picture's URL, in seconds.
const SIGNED_S: u64 = 3600;
/// Fields that a refused job names.
const FIELDS: [&str; 9] = [
    "width",
    "height",
    "width, height",
    "steps",
    "scheduler",
    "guidance_scale",
    "strength",
    "image",
    "init_image",
];

/// Queues a job, waits for its end and answers with its pictures.
pub(super) async fn draw(
    context: &Context,
    user: Uuid,
    headers: &HeaderMap,
    request: &ImageRequest,
    reference: Option<&str>,
    mask: Option<&str>,
) -> Result<Json, OpenAiError> {
    let delivery = request.delivery()?;
    let mut job = request.job(reference, mask)?;
    job.idempotency_key = idempotency_key(headers)?;
    let queued = queue(context, user, job).await.map_err(|error| refusal(context, request, error))?;
    let id = queued.id;
    let (_, assets) = await_job::ended(context, id, WAIT_MAX).await.map_err(|error| failure(id, &error))?;
    let mut data = Vec::new();
    for asset in assets {
        data.push(deliver(context, &asset, delivery).await?);
    }
    let mut answer = json!({"created": chrono::Utc::now().timestamp(), "data": data, "job_id": id});
    if context.lowered.is_noted() {
        answer["content_tier"] = json!("sfw");
        answer["notice"] = json!(age_gate::NOTICE);
    }
    warn(&mut answer, queued.warnings.iter().map(|warning| in_own_words(warning)).collect());
    Ok(answer)
}

/// A request that was refused when the job was queued, in the dialect's own fields.
fn refusal(context: &Context, request: &ImageRequest, error: ServiceError) -> OpenAiError {
    match error.field_name() {
        Some("model") => {
            let known = list_models(&context.services.settings.models_dir);
            let known: Vec<String> = known.into_iter().map(|model| model.name).collect();
            OpenAiError::no_model(request.model.as_deref().unwrap_or_default(), &known)
        }
        Some("width" | "height" | "width, height") => OpenAiError::param("size", error.to_string()),
        Some(field) => {
            let own = own_field(field).to_string();
            error.of_field(own).into()
        }
        None => error.into(),
    }
}

/// What this dialect calls a field of a job.
fn own_field(field: &str) -> &str {
    match field {
        "metadata.contentType" => "content_rating",
        "width" | "height" | "width, height" => "size",
        "denoise_strength" => "strength",
        "image_count" => "n",
        "reference_image_url" => "image",
        "mask_image_url" => "mask",
        "compel_enabled" => "compel",
        other => other,
    }
}

/// A warning about a job in the dialect's own fields.
fn in_own_words(warning: &str) -> String {
    match warning.split_once(": ") {
        Some((field, rest)) => format!("{}: {rest}", own_field(field)),
        None => warning.to_string(),
    }
}

/// A job that was refused for a field of the request is the request's fault, any other is ours.
fn failure(job: Uuid, error: &ServiceError) -> OpenAiError {
    let message = error.to_string();
    if error.kind() == Kind::Timeout {
        let message = format!("the job {job}: {message}, and its pictures will be in the workspace");
        return OpenAiError::new(504, "timeout", message);
    }
    match error.field_name().filter(|field| FIELDS.contains(field)) {
        Some("width" | "height" | "width, height") => OpenAiError::param("size", message),
        Some(field) => OpenAiError::param(field, message),
        None => OpenAiError::new(500, "image_generation_failed", message),
    }
}

async fn deliver(context: &Context, asset: &Json, delivery: Delivery) -> Result<Json, OpenAiError> {
    let broken = |reason: &str| OpenAiError::new(500, "server_error", format!("a picture is lost: {reason}"));
    let path = asset["temp_storage_path"].as_str().ok_or_else(|| broken("no path"))?.to_string();
    let mut data = json!({"asset_id": asset["id"], "seed": asset["generation_seed"]});
    if delivery.as_url {
        let url = context.services.links.signed(WORKSPACE_BUCKET, &path, SIGNED_S);
        data["url"] = json!(url.map_err(|error| broken(&error))?);
        return Ok(data);
    }
    let store = context.services.actors.store().clone();
    let read = tokio::task::spawn_blocking(move || {
        let bytes = read_object(&store, WORKSPACE_BUCKET, &path)?.unwrap_or_default();
        if delivery.format == picture::Format::Png {
            return Ok(bytes);
        }
        let asked =
            picture::Transform { format: delivery.format, quality: delivery.quality, ..Default::default() };
        let (bytes, _) = picture::transform(&bytes, &asked)
            .map_err(|error| OpenAiError::new(500, "server_error", error.to_string()))?;
        Ok::<_, OpenAiError>(bytes)
    });
    let bytes = read.await.map_err(|_| broken("reading it failed"))??;
    if bytes.is_empty() {
        return Err(broken("its file is gone"));
    }
    data["b64_json"] = json!(STANDARD.encode(bytes));
    Ok(data)
}
