//! job-callback: a worker elsewhere reports about a job. Signed.

use actors::job_scheduler::{CompleteJob, FailJob, FinishedAsset, TouchJob};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::call::{Call, Outcome, ok};
use super::error::FunctionError;
use super::signature;

/// Results of one job at most.
const ASSETS_MAX: usize = 64;

#[derive(Deserialize)]
struct Report {
    #[serde(alias = "jobId")]
    job_id: Option<Uuid>,
    status: Option<String>,
    #[serde(alias = "errorMessage", alias = "error")]
    error_message: Option<String>,
    #[serde(default)]
    metadata: Map<String, Json>,
    #[serde(default)]
    assets: Vec<Asset>,
    #[serde(default)]
    results: Results,
}

#[derive(Default, Deserialize)]
struct Results {
    #[serde(default)]
    assets: Vec<LegacyAsset>,
}

#[derive(Deserialize)]
struct Asset {
    #[serde(rename = "type")]
    kind: Option<String>,
    url: String,
    thumbnail_url: Option<String>,
    #[serde(default)]
    metadata: Map<String, Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyAsset {
    asset_type: Option<String>,
    temp_storage_path: String,
    file_size_bytes: Option<i64>,
    mime_type: Option<String>,
    duration_seconds: Option<i64>,
    asset_index: Option<i32>,
}

/// Runs the function.
pub(super) async fn run(call: Call) -> Outcome {
    signature::check(&call, "x-callback-signature")?;
    let report: Report = call.read()?;
    let (Some(id), Some(status)) = (report.job_id, report.status.as_deref()) else {
        return Err(FunctionError::bad("job_id and status are required"));
    };
    if !matches!(status, "completed" | "failed" | "processing") {
        return Err(FunctionError::bad(format!(
            "status: {status:?} is none of completed, failed, processing"
        )));
    }
    let Some(job) = call.row("jobs", id).await? else { return skipped(id, status) };
    if matches!(job["status"].as_str(), Some("completed" | "cancelled" | "failed")) {
        return skipped(id, status);
    }
    let service = call.service();
    let mut metadata = report.metadata.clone();
    metadata.insert("callback_received_at".into(), json!(chrono::Utc::now().to_rfc3339()));
    let done = match status {
        "completed" => {
            let assets = assets(&job, &report)?;
            let decision = CompleteJob { id, attempt: None, assets, metadata };
            call.app.actors.ask(&service, decision).await?.is_some()
        }
        "failed" => {
            let kind = report.metadata.get("error_type").and_then(Json::as_str).unwrap_or("worker_error");
            let message =
                report.error_message.clone().unwrap_or_else(|| format!("{kind}: Internal processing error"));
            let attempt = job["attempts"].as_i64().unwrap_or(0);
            let retry = report.metadata.get("retryable").and_then(Json::as_bool).unwrap_or(false);
            call.app.actors.ask(&service, FailJob { id, attempt, message, retry }).await?.is_some()
        }
        _ => call.app.actors.ask(&service, TouchJob { id, metadata }).await?.is_some(),
    };
    if !done {
        return skipped(id, status);
    }
    ok(json!({"success": true, "jobId": id, "status": status, "message": "Job updated"}))
}

fn skipped(id: Uuid, status: &str) -> Outcome {
    ok(json!({"success": true, "skipped": true, "jobId": id, "status": status,
              "message": "The job is unknown or has ended; nothing was changed"}))
}

fn assets(job: &Json, report: &Report) -> Result<Vec<FinishedAsset>, FunctionError> {
    let user = job["user_id"].as_str().unwrap_or_default();
    let given = report.assets.len().max(report.results.assets.len());
    if given == 0 || given > ASSETS_MAX {
        return Err(FunctionError::bad(format!("assets: {given}; a completed job has 1 to {ASSETS_MAX}")));
    }
    let model = job["model_type"].as_str();
    let mut finished = Vec::with_capacity(given);
    if report.assets.is_empty() {
        for (place, asset) in report.results.assets.iter().enumerate() {
            let (kind, mime_type) = kind_of(&asset.temp_storage_path, asset.asset_type.as_deref());
            finished.push(FinishedAsset {
                index: asset.asset_index.unwrap_or(place as i32),
                asset_type: kind,
                path: path_of(user, &asset.temp_storage_path)?,
                thumbnail_path: None,
                files: Vec::new(),
                size: asset.file_size_bytes.map(|size| size.max(0)),
                mime_type: match asset.mime_type.as_deref() {
                    Some(given) if given.starts_with(kind) => given.to_string(),
                    _ => mime_type.to_string(),
                },
                duration_s: (kind == "video").then(|| asset.duration_seconds.unwrap_or(5)),
                seed: seed(&report.metadata, job),
                model_used: model.unwrap_or(if kind == "video" { "wan" } else { "sdxl" }).to_string(),
                size_px: None,
                settings: settings(job, &report.metadata),
            });
        }
    }
    for (place, asset) in report.assets.iter().enumerate() {
        let (kind, mime_type) = kind_of(&asset.url, asset.kind.as_deref());
        let frames = asset.metadata.get("frame_num").and_then(Json::as_i64);
        let side = |name: &str| {
            let pixels = asset.metadata.get(name).and_then(Json::as_u64)?;
            u32::try_from(pixels).ok().filter(|pixels| *pixels <= 65_536)
        };
        finished.push(FinishedAsset {
            index: place as i32,
            asset_type: kind,
            path: path_of(user, &asset.url)?,
            thumbnail_path: asset.thumbnail_url.as_deref().map(|path| path_of(user, path)).transpose()?,
            files: Vec::new(),
            size: None,
            mime_type: mime_type.to_string(),
            duration_s: (kind == "video").then(|| frames.map_or(5, |frames| (frames + 15) / 16)),
            seed: seed(&asset.metadata, job),
            model_used: model.unwrap_or(if kind == "video" { "wan" } else { "sdxl" }).to_string(),
            size_px: side("width").zip(side("height")),
            settings: settings(job, &asset.metadata),
        });
    }
    Ok(finished)
}

/// The path inside `workspace-temp`. A worker may only name files of the job's own account.
fn path_of(user: &str, given: &str) -> Result<String, FunctionError> {
    let path = given.strip_prefix("workspace-temp/").unwrap_or(given).trim_start_matches('/');
    if path.split('/').next() == Some(user) && !path.split('/').any(|part| part == "..") {
        Ok(path.to_string())
    } else {
        Err(FunctionError::bad(format!("assets: {given:?} is not in the folder of the job's account")))
    }
}

/// The kind and MIME type that a file's extension says; the worker's word where it says nothing.
fn kind_of(path: &str, given: Option<&str>) -> (&'static str, &'static str) {
    let path = path.split('?').next().unwrap_or_default();
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("mp4" | "avi" | "mov" | "wmv" | "webm" | "m4v") => ("video", "video/mp4"),
        Some("png") => ("image", "image/png"),
        Some("jpg" | "jpeg" | "webp" | "gif") => ("image", "image/jpeg"),
        _ if given == Some("video") => ("video", "video/mp4"),
        _ => ("image", "image/png"),
    }
}

fn seed(metadata: &Map<String, Json>, job: &Json) -> i64 {
    let given = metadata.get("seed").and_then(Json::as_i64).or_else(|| job["metadata"]["seed"].as_i64());
    given.unwrap_or_else(|| i64::from(rand::random::<u32>() >> 1))
}

fn settings(job: &Json, worker: &Map<String, Json>) -> Json {
    let mut settings = worker.clone();
    for (name, value) in [
        ("prompt", &job["original_prompt"]),
        ("enhanced_prompt", &job["enhanced_prompt"]),
        ("template_name", &job["template_name"]),
        ("reference_image_url", &job["metadata"]["reference_image_url"]),
    ] {
        if !value.is_null() {
            settings.insert(name.into(), value.clone());
        }
    }
    Json::Object(settings)
}
