//! A picture is a job like any other: queued, waited for, and answered with what came of it. Whoever leaves while
//! waiting finds the pictures in the workspace.

use std::time::Duration;

use actors::file::{picture, read_object};
use actors::job_scheduler::WORKSPACE_BUCKET;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::authenticate::Requester;
use super::error::OpenAiError;
use super::image_request::{Delivery, ImageRequest};
use crate::app::App;
use crate::functions::await_job;
use crate::functions::call::Call;
use crate::functions::error::FunctionError;
use crate::functions::jobs::queue_job;
use crate::receive::idempotency_key;
use crate::storage::signed_url;

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

/// A call of a function on behalf of whoever asks here.
pub(super) fn call_of(app: &App, requester: &Requester, headers: HeaderMap) -> Call {
    Call {
        app: app.clone(),
        claims: requester.claims.clone(),
        method: Method::POST,
        headers,
        uri: Uri::default(),
        body: Bytes::new(),
    }
}

/// Queues a job, waits for its end and answers with its pictures.
pub(super) async fn draw(
    call: &Call,
    requester: &Requester,
    request: &ImageRequest,
    reference: Option<&str>,
    mask: Option<&str>,
) -> Result<Json, OpenAiError> {
    let delivery = request.delivery()?;
    let job = request.job(reference, mask)?;
    check_model(call, request.model.as_deref()).await?;
    let mut wish: queue_job::Request = serde_json::from_value(job)
        .map_err(|error| OpenAiError::new(400, "invalid_value", error.to_string()))?;
    wish.idempotency_key = idempotency_key(&call.headers)?;
    let id = queue_job::queue(call, requester.user, wish).await?.id;
    let (_, assets) = await_job::ended(call, id, WAIT_MAX).await.map_err(|error| failure(id, &error))?;
    let mut data = Vec::new();
    for asset in assets {
        data.push(deliver(call, &asset, delivery).await?);
    }
    Ok(json!({"created": chrono::Utc::now().timestamp(), "data": data, "job_id": id}))
}

/// Refuses a model that nobody has, before anything is queued.
async fn check_model(call: &Call, name: Option<&str>) -> Result<(), OpenAiError> {
    let Some(name) = name.map(str::to_string) else { return Ok(()) };
    // Workers elsewhere have models of their own.
    if call.app.render.is_none() {
        return Ok(());
    }
    let folder = call.app.config.models_dir.clone();
    let asked = name.clone();
    let known = tokio::task::spawn_blocking(move || {
        actors::render::list_models(&folder).iter().any(|model| model.name == asked)
    });
    match known.await {
        Ok(true) => Ok(()),
        _ => Err(OpenAiError::no_model(&name)),
    }
}

/// A job that was refused for a field of the request is the request's fault, any other is ours.
fn failure(job: Uuid, error: &FunctionError) -> OpenAiError {
    let message = error.body["error"].as_str().unwrap_or("the job failed");
    if error.status == StatusCode::GATEWAY_TIMEOUT {
        let message = format!("the job {job}: {message}, and its pictures will be in the workspace");
        return OpenAiError::new(504, "timeout", message);
    }
    let field = message.split_once(": ").map(|(field, _)| field);
    match field.filter(|field| FIELDS.contains(field)) {
        Some("width" | "height" | "width, height") => OpenAiError::param("size", message),
        Some(field) => OpenAiError::param(field, message),
        None => OpenAiError::new(500, "image_generation_failed", message),
    }
}

async fn deliver(call: &Call, asset: &Json, delivery: Delivery) -> Result<Json, OpenAiError> {
    let broken = |reason: &str| OpenAiError::new(500, "server_error", format!("a picture is lost: {reason}"));
    let path = asset["temp_storage_path"].as_str().ok_or_else(|| broken("no path"))?.to_string();
    let mut data = json!({"asset_id": asset["id"], "seed": asset["generation_seed"]});
    if delivery.as_url {
        let url = signed_url(&call.app.keys, &call.app.config, WORKSPACE_BUCKET, &path, SIGNED_S);
        data["url"] = json!(url.map_err(|error| broken(&error))?);
        return Ok(data);
    }
    let store = call.app.actors.store().clone();
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
