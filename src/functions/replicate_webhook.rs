//! replicate-webhook: the provider reports about a prediction. Signed.

use actors::file::NewObject;
use actors::job_scheduler::{CompleteJob, FinishedAsset, TouchJob, WORKSPACE_BUCKET};
use axum::http::StatusCode;
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::call::{Call, Outcome, ok, position};
use super::error::FunctionError;
use super::reference::download;
use super::replicate_image::{QUEUE, fail};
use super::signature;

/// Runs the function.
pub(super) async fn run(call: Call) -> Outcome {
    signature::check(&call, "x-replicate-signature")?;
    let report: Json = call.read()?;
    let id = report["id"].as_str().ok_or_else(|| FunctionError::bad("id is missing"))?;
    let job = job_of(&call, id).await?;
    let job = job.ok_or_else(|| FunctionError::not_found("no job waits for this prediction"))?;
    let status = take(&call, &job, &report).await?;
    ok(json!({"success": true, "jobId": job["id"], "status": status}))
}

/// replicate-callback: gone.
pub(super) async fn retired(_: Call) -> Outcome {
    let message = "replicate-callback is retired; replicate-webhook takes its place";
    let error = FunctionError::new(StatusCode::GONE, message);
    Err(error.with("message", message).with("deprecated", true))
}

/// The job in progress that waits for a prediction.
pub(super) async fn job_of(call: &Call, prediction: &str) -> Result<Option<Json>, FunctionError> {
    let waiting = Query::all(position("queue.entries"))
        .equal("state", Value::text("waiting"))
        .equal("queue", Value::text(QUEUE));
    for entry in call.rows(waiting).await? {
        let Some(id) = entry["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()) else { continue };
        let Some(job) = call.row("jobs", id).await? else { continue };
        if job["metadata"]["prediction_id"].as_str() == Some(prediction) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// Brings a job to where its prediction is; answers with the job's status.
pub(super) async fn take(call: &Call, job: &Json, report: &Json) -> Result<&'static str, FunctionError> {
    let Some(id) = job["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()) else { return Ok("failed") };
    match report["status"].as_str() {
        Some("succeeded") => {
            let urls = urls(&report["output"]);
            let plain =
                |url: &&String| !["output.png", "grid", "combined"].iter().any(|name| url.contains(name));
            let url = urls.iter().find(plain).or(urls.first());
            let url = url.ok_or_else(|| FunctionError::bad("output: no URL of a picture"))?;
            match download(url, call.app.config.fetch_private_addresses).await {
                Ok((bytes, mime_type)) => finish(call, job, id, report, bytes, mime_type).await?,
                Err(reason) => {
                    fail(call, id, &format!("the provider's picture could not be fetched: {reason}")).await?;
                    return Err(FunctionError::bad(format!("output: {reason}")));
                }
            }
            Ok("completed")
        }
        Some("failed") => {
            let reason = report["error"].as_str().unwrap_or("the provider failed");
            fail(call, id, reason).await?;
            Ok("failed")
        }
        Some("canceled" | "cancelled" | "aborted") => {
            fail(call, id, "cancelled by the provider").await?;
            Ok("failed")
        }
        _ => {
            call.app.actors.ask(&call.service(), TouchJob { id, metadata: Map::new() }).await?;
            Ok("processing")
        }
    }
}

/// The URLs in a prediction's output, whatever its shape.
pub(super) fn urls(output: &Json) -> Vec<String> {
    match output {
        Json::String(url) => vec![url.clone()],
        Json::Array(items) => items.iter().flat_map(urls).collect(),
        Json::Object(members) => {
            ["url", "image", "images"].iter().filter_map(|name| members.get(*name)).flat_map(urls).collect()
        }
        _ => Vec::new(),
    }
}

async fn finish(
    call: &Call,
    job: &Json,
    id: Uuid,
    report: &Json,
    bytes: Vec<u8>,
    mime_type: String,
) -> Result<(), FunctionError> {
    let user = job["user_id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
    let store = call.app.actors.store().clone();
    let base = format!("{user}/{id}_{}", chrono::Utc::now().timestamp_millis());
    let extension = mime_type.rsplit('/').next().unwrap_or("png").to_string();
    let work = tokio::task::spawn_blocking(move || {
        let thumbnail = actors::file::picture::thumbnail_webp(&bytes).ok();
        let mut files = Vec::new();
        let main = (bytes, format!("{base}.{extension}"), mime_type);
        let small = thumbnail.map(|bytes| (bytes, format!("{base}.thumb.webp"), "image/webp".to_string()));
        for (bytes, name, mime_type) in [Some(main), small].into_iter().flatten() {
            let blob = store.blobs().write(&bytes)?;
            files.push(NewObject {
                bucket: WORKSPACE_BUCKET.into(),
                name,
                owner: Some(user),
                blob,
                size: bytes.len() as u64,
                mime_type,
                cache_control: None,
                user_metadata: None,
            });
        }
        Ok::<_, store::StoreError>(files)
    });
    let failed = |_| FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, "writing the picture failed");
    let files = work.await.map_err(failed)??;
    let seed = report["input"]["seed"].as_i64().or_else(|| job["metadata"]["seed"].as_i64()).unwrap_or(0);
    let asset = FinishedAsset {
        index: 0,
        asset_type: "image",
        path: files.first().map(|file| file.name.clone()).unwrap_or_default(),
        thumbnail_path: files.get(1).map(|file| file.name.clone()),
        mime_type: files.first().map(|file| file.mime_type.clone()).unwrap_or_default(),
        files,
        size: None,
        duration_s: None,
        seed,
        model_used: job["model_type"].as_str().unwrap_or("replicate").to_string(),
        size_px: None,
        settings: json!({"prompt": job["original_prompt"], "provider": "replicate", "input": report["input"]}),
    };
    let decision = CompleteJob { id, attempt: None, assets: vec![asset], metadata: Map::new() };
    call.app.actors.ask(&call.service(), decision).await?;
    Ok(())
}
