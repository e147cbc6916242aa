//! job-callback: a remote worker reports about a job. Signed.

use actors::job_scheduler::{CompleteJob, FailJob, FinishedAsset, RenewLease, asset_settings, is_final};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::claim_job::check_lease;
use super::signature;
use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body;

/// Results of one job at most.
const ASSETS_MAX: usize = 64;

/// Names of the fields in which workers say what went wrong, the one that counts first.
const ERRORS: [&str; 3] = ["errorMessage", "error_message", "error"];

/// Workers send both spellings of a name, and `null` for what they do not have.
#[derive(Deserialize)]
struct Body {
    job_id: Option<Uuid>,
    status: Option<String>,
    attempt: Option<i64>,
    /// How long the worker may be silent after this report, in seconds.
    lease_seconds: Option<i64>,
    metadata: Option<Map<String, Json>>,
    assets: Option<Vec<Asset>>,
    results: Option<Results>,
    /// Read by [`errors`], in all their spellings.
    #[serde(rename = "errorMessage")]
    _error_message: Option<IgnoredAny>,
    #[serde(rename = "error")]
    _error: Option<IgnoredAny>,
    /// A job has ended when its report is taken, whatever the worker's clock says.
    #[serde(rename = "completedAt")]
    _completed_at: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Results {
    assets: Option<Vec<LegacyAsset>>,
}

/// The same, one name for each thing.
struct Report {
    metadata: Map<String, Json>,
    assets: Vec<Asset>,
    legacy_assets: Vec<LegacyAsset>,
}

/// What went wrong in the worker's words, and in which fields it said so.
fn errors(given: &Map<String, Json>) -> (Option<String>, Vec<&'static str>) {
    let said = |name: &&'static str| {
        let value = given.get(*name).filter(|value| !value.is_null())?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        Some((*name, text)).filter(|(_, text)| !text.trim().is_empty())
    };
    let said: Vec<(&'static str, String)> = ERRORS.iter().filter_map(said).collect();
    (said.first().map(|(_, text)| text.clone()), said.into_iter().map(|(name, _)| name).collect())
}

#[derive(Deserialize)]
struct Asset {
    #[serde(rename = "type")]
    kind: Option<String>,
    url: String,
    thumbnail_url: Option<String>,
    metadata: Option<Map<String, Json>>,
    /// What drew it; the job's `model_type` where the worker does not say.
    model: Option<String>,
    /// Of a video; reckoned from its frames where the worker does not say.
    duration_seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyAsset {
    asset_type: Option<String>,
    temp_storage_path: String,
    file_size_bytes: Option<i64>,
    mime_type: Option<String>,
    duration_seconds: Option<f64>,
    asset_index: Option<i32>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    match signature::of_worker(&call)? {
        Some(signed) => signed.answer(take(&call).await),
        None => signature::heard_before(),
    }
}

async fn take(call: &Call) -> Outcome {
    let body: Body = call.read()?;
    let (Some(id), Some(status)) = (body.job_id, body.status.as_deref()) else {
        let given = [("job_id", body.job_id.is_some()), ("status", body.status.is_some())];
        let missing: Vec<&str> = given.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        return Err(FunctionError::missing(&missing));
    };
    if !matches!(status, "completed" | "failed" | "processing") {
        return Err(FunctionError::none_of("status", status, &["completed", "failed", "processing"]));
    }
    let Some(job) = call.context.row("jobs", id).await? else { return skipped(id, status) };
    if is_final(job["status"].as_str()) {
        return skipped(id, status);
    }
    let service = call.context.elevated();
    let attempt = body.attempt;
    let (error, error_keys) = errors(&request_body::object(&call.body)?);
    let report = Report {
        metadata: body.metadata.unwrap_or_default(),
        assets: body.assets.unwrap_or_default(),
        legacy_assets: body.results.and_then(|results| results.assets).unwrap_or_default(),
    };
    let mut metadata = report.metadata.clone();
    metadata.insert("callback_received_at".into(), json!(chrono::Utc::now().to_rfc3339()));
    let done = match status {
        "completed" => {
            let assets = assets(&job, &report)?;
            let decision = CompleteJob { id, attempt, assets, metadata, warnings: Vec::new() };
            call.context.services.actors.ask(&service, decision).await?.is_some()
        }
        "failed" => {
            let kind = report.metadata.get("error_type").and_then(Json::as_str).unwrap_or("worker_error");
            let message = error.unwrap_or_else(|| format!("{kind}: Internal processing error"));
            metadata.insert("original_error_keys".into(), json!(error_keys));
            let retry = report.metadata.get("retryable").and_then(Json::as_bool).unwrap_or(false);
            let report = FailJob { id, attempt, message, retry, metadata };
            call.context.services.actors.ask(&service, report).await?.is_some()
        }
        _ => {
            let lease_s = body.lease_seconds.map(check_lease).transpose()?;
            let decision = RenewLease { id, attempt, lease_s, metadata };
            call.context.services.actors.ask(&service, decision).await?.is_some()
        }
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
    let given = report.assets.len().max(report.legacy_assets.len());
    if given > ASSETS_MAX {
        return Err(FunctionError::bad(format!("assets: {given}; a job has at most {ASSETS_MAX}")));
    }
    let model = job["model_type"].as_str();
    let mut finished = Vec::with_capacity(given);
    if report.assets.is_empty() {
        for (place, asset) in report.legacy_assets.iter().enumerate() {
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
                duration_s: (kind == "video").then(|| asset.duration_seconds.map_or(5, whole_seconds)),
                seed: seed(&report.metadata, job),
                model_used: model.unwrap_or(if kind == "video" { "wan" } else { "sdxl" }).to_string(),
                size_px: None,
                settings: asset_settings(job, &report.metadata),
            });
        }
    }
    for (place, asset) in report.assets.iter().enumerate() {
        let (kind, mime_type) = kind_of(&asset.url, asset.kind.as_deref());
        let about = asset.metadata.as_ref().unwrap_or(&report.metadata);
        let frames = about.get("frame_num").and_then(Json::as_i64);
        let side = |name: &str| {
            let pixels = about.get(name).and_then(Json::as_u64)?;
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
            duration_s: (kind == "video").then(|| match (asset.duration_seconds, frames) {
                (Some(seconds), _) => whole_seconds(seconds),
                (None, frames) => frames.map_or(5, |frames| (frames.clamp(0, 1 << 20) + 15) / 16),
            }),
            seed: seed(about, job),
            model_used: (asset.model.as_deref().or(model))
                .unwrap_or(if kind == "video" { "wan" } else { "sdxl" })
                .to_string(),
            size_px: side("width").zip(side("height")),
            settings: asset_settings(job, about),
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
    let whole = |seed: &Json| seed.as_i64().or_else(|| seed.as_u64().map(|_| i64::MAX));
    let given = metadata.get("seed").and_then(whole).or_else(|| job["metadata"]["seed"].as_i64());
    given.unwrap_or_else(|| i64::from(rand::random::<u32>() >> 1))
}

/// Seconds of a video, rounded up.
fn whole_seconds(seconds: f64) -> i64 {
    // A cast of what is no number, or of what is too large, ends at the limits.
    (seconds.ceil() as i64).clamp(0, 1 << 20)
}
