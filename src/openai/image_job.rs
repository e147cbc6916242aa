//! A picture is a job like any other: queued, waited for, and answered with what came of it. Whoever leaves while
//! waiting finds the pictures in the workspace.

use std::sync::Arc;
use std::time::Duration;

use actors::file::{picture, read_object};
use actors::job_scheduler::WORKSPACE_BUCKET;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::{Row, Value, schema};
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::asking::Asking;
use super::error::OpenAiError;
use super::image_request::{Delivery, ImageRequest};
use crate::app::App;
use crate::functions::call::Call;
use crate::functions::queue_job;
use crate::storage::signed_url;

/// Longest wait for a job.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How often the row is looked at even if nothing was heard of it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
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
pub(super) fn call_of(app: &App, asking: &Asking, headers: HeaderMap) -> Call {
    Call {
        app: app.clone(),
        claims: asking.claims.clone(),
        method: Method::POST,
        headers,
        uri: Uri::default(),
        body: Bytes::new(),
    }
}

/// Queues a job, waits for its end and answers with its pictures.
pub(super) async fn draw(
    call: &Call,
    asking: &Asking,
    request: &ImageRequest,
    reference: Option<&str>,
    mask: Option<&str>,
) -> Result<Json, OpenAiError> {
    let delivery = request.delivery()?;
    let job = request.job(reference, mask)?;
    check_model(call, request.model.as_deref()).await?;
    let wish = serde_json::from_value(job)
        .map_err(|error| OpenAiError::new(400, "invalid_value", error.to_string()))?;
    // Listens before it asks, so that a quick end is not missed.
    let commits = call.app.actors.events().subscribe();
    let (id, _, _) = queue_job::queue(call, asking.user, wish).await?;
    let ended = tokio::time::timeout(WAIT_MAX, end_of(call, id, commits)).await;
    let job = ended.map_err(|_| {
        let message = format!(
            "the job {id} has not ended within {} s; it goes on, and its pictures will be in the workspace",
            WAIT_MAX.as_secs()
        );
        OpenAiError::new(504, "timeout", message)
    })??;
    let jobs = schema().known("jobs");
    let text = |column: &str| job[jobs.at(column)].as_str().unwrap_or_default();
    match text("status") {
        "completed" => {}
        "cancelled" => return Err(OpenAiError::new(409, "cancelled", format!("the job {id} was cancelled"))),
        _ => return Err(failure(text("error_message"))),
    }
    let assets = Query::all(schema().known("workspace_assets").id)
        .equal("job_id", Value::Uuid(id))
        .order("asset_index", false);
    let mut data = Vec::new();
    for asset in call.rows(assets).await? {
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

/// The row of a job that has ended.
async fn end_of(
    call: &Call,
    id: Uuid,
    mut commits: tokio::sync::broadcast::Receiver<Arc<store::Commit>>,
) -> Result<Row, OpenAiError> {
    let jobs = schema().known("jobs");
    loop {
        let job = call.app.actors.store().reads().get(jobs, &[Value::Uuid(id)])?;
        let job =
            job.ok_or_else(|| OpenAiError::new(404, "not_found", format!("the job {id} was deleted")))?;
        if matches!(job[jobs.at("status")].as_str(), Some("completed" | "failed" | "cancelled")) {
            return Ok(job);
        }
        let heard = async {
            loop {
                // Whoever fell behind looks.
                let Ok(commit) = commits.recv().await else { return };
                let concerns = |row: &Arc<Row>| row[jobs.at("id")].as_uuid() == Some(id);
                let mut changes = commit.changes.iter().filter(|change| change.table == jobs.id);
                if changes.any(|change| change.new.as_ref().or(change.old.as_ref()).is_some_and(concerns)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LOOK_EVERY, heard).await;
    }
}

/// A job that was refused for a field of the request is the request's fault, any other is ours.
fn failure(message: &str) -> OpenAiError {
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
