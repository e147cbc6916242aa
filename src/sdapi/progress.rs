//! `progress` and `interrupt`: of the account's own pictures, however many others draw.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value as Document, json};
use services::pictures::program_picture::{self, share_done, under_way};

use super::authenticate::authenticate;
use super::drawing::SOURCE;
use super::error::SdError;
use crate::app::App;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProgressQuery {
    skip_current_image: Option<String>,
}

/// `GET progress`
pub(super) async fn read(
    State(app): State<App>,
    Query(asked): Query<ProgressQuery>,
    headers: HeaderMap,
) -> Result<Json<Document>, SdError> {
    let program = authenticate(&app, &headers)?;
    let under_way = under_way(&program.context(&app), program.user, SOURCE).await?;
    let first = under_way.jobs.first();
    let share = under_way.step.as_ref().map_or(0.0, share_done);
    let started = first.and_then(|job| job["started_at"].as_str());
    let seconds = started
        .and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok())
        .map_or(0.0, |time| (chrono::Utc::now() - time.to_utc()).num_milliseconds() as f64 / 1000.0);
    let left = if share > 0.0 { (seconds / share * (1.0 - share)).max(0.0) } else { 0.0 };
    let shows = !matches!(asked.skip_current_image.as_deref(), Some("true" | "True" | "1"));
    let preview = under_way.step.as_ref().filter(|_| shows).and_then(|step| step.preview_png.as_ref());
    Ok(Json(json!({
        "progress": share,
        "eta_relative": left,
        "state": {
            "skipped": false, "interrupted": false, "stopping_generation": false,
            "job": first.map_or(json!(""), |job| job["id"].clone()), "job_count": under_way.jobs.len(),
            "job_timestamp": first.map_or(json!("0"), |job| job["created_at"].clone()), "job_no": 0,
            "sampling_step": under_way.step.as_ref().map_or(0, |step| step.step),
            "sampling_steps": under_way.step.as_ref().map_or(0, |step| step.steps),
        },
        "current_image": preview.map(|png| STANDARD.encode(png.as_slice())),
        "textinfo": first.filter(|job| job["status"] == "queued").map(|_| "waiting for others"),
    })))
}

/// `POST interrupt`
pub(super) async fn interrupt(State(app): State<App>, headers: HeaderMap) -> Result<Json<Document>, SdError> {
    let program = authenticate(&app, &headers)?;
    program_picture::interrupt(&program.context(&app), program.user, SOURCE).await?;
    Ok(Json(json!({})))
}
