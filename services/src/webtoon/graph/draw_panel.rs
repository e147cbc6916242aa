//! The job of one panel: here, or at a remote server that takes the picture of a character to begin with.

use actors::job_scheduler::{STOPPED_BEFORE_ASKED, STOPPED_WHILE_DRAWN};
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::run::{Run, Stop};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::replicate::provider_api::{Api, Door};
use crate::replicate::start_prediction::{Started, model as catalogued, start_once};
use crate::rows::position;
use crate::webtoon::panels::{PanelSpec, aspect_ratio};

/// How far a panel departs from the picture of its character: place and pose are the prompt's, the looks stay.
const DENOISE: f64 = 0.7;
/// How often a panel is asked of a remote server whose answer a stop of this process lost.
const LOST_MAX: u32 = 5;
/// The task of a model of the catalogue that draws all panels.
const TASK: &str = "webtoon";

/// The model of the catalogue that draws panels: the active one whose `default_for_tasks` has `webtoon`, if there is one.
pub async fn default_model(context: &Context) -> Result<Option<String>, ServiceError> {
    let query = Query::all(position("api_models"))
        .equal("is_active", Value::Bool(true))
        .equal("modality", Value::text("image"))
        .order("priority", false);
    let is_for_panels =
        |row: &Json| row["default_for_tasks"].as_array().is_some_and(|tasks| tasks.contains(&json!(TASK)));
    let found = context.rows(query).await?.into_iter().find(is_for_panels);
    Ok(found.and_then(|row| row["id"].as_str().map(str::to_string)))
}

/// Queues a panel. Its key is the graph's, so that a graph that goes on finds the same job.
pub async fn queue_panel(run: &Run, panel: &PanelSpec, turn: u64, model: Option<&str>) -> Result<Uuid, Stop> {
    let seed = panel.seed.wrapping_add(turn) & (i64::MAX as u64);
    let queued = match model {
        None => here(run, panel, seed, None).await,
        Some(model) => match catalogued(&run.context, Door::Replicate, Some(model)).await {
            Ok((.., Api::Local)) => here(run, panel, seed, Some(model)).await,
            Ok(_) => draw_remotely(run, panel, seed, (Door::Replicate, model)).await,
            Err(_) => draw_remotely(run, panel, seed, (Door::Fal, model)).await,
        },
    };
    let (job, warnings) = queued.map_err(|error| run.failed("RenderPanel", error))?;
    warnings.iter().for_each(|warning| run.warn(format!("panel {}: {warning}", panel.panel_index)));
    Ok(job)
}

async fn here(
    run: &Run,
    panel: &PanelSpec,
    seed: u64,
    model: Option<&str>,
) -> Result<(Uuid, Vec<String>), ServiceError> {
    let mut metadata = Map::from_iter([
        ("source".to_string(), json!("webtoon")),
        ("skip_enhancement".to_string(), json!(true)),
        ("aspect_ratio".to_string(), json!(aspect_ratio(&panel.rect))),
    ]);
    if panel.reference_image_url.is_some() {
        metadata.insert("reference_mode".into(), json!("modify"));
    }
    let request = JobRequest {
        job_type: "sdxl_image_fast".into(),
        prompt: Some(panel.prompt.clone()),
        negative_prompt: Some(panel.negative_prompt.clone()),
        seed: Some(seed),
        reference_image_url: panel.reference_image_url.clone(),
        denoise_strength: panel.reference_image_url.is_some().then_some(DENOISE),
        idempotency_key: Some(key(run, panel, 0)),
        api_model_id: model.map(str::to_string),
        metadata,
        ..JobRequest::default()
    };
    let queued = queue(&run.context, run.user, request).await?;
    Ok((queued.id, queued.warnings))
}

fn key(run: &Run, panel: &PanelSpec, time: u32) -> String {
    let panel = panel.panel_index;
    match time {
        0 => format!("webtoon:{}:{panel}", run.job),
        time => format!("webtoon:{}:{panel}:{time}", run.job),
    }
}

/// Sides that servers of OpenAI's dialect draw, in pixels, by the shape of a panel.
fn sides_px(panel: &PanelSpec) -> (u32, u32) {
    match aspect_ratio(&panel.rect) {
        "16:9" => (1536, 1024),
        "9:16" => (1024, 1536),
        _ => (1024, 1024),
    }
}

/// Asks a remote server. What a stop of this process lost is asked for once more; a picture that came is not.
async fn draw_remotely(
    run: &Run,
    panel: &PanelSpec,
    seed: u64,
    (door, model): (Door, &str),
) -> Result<(Uuid, Vec<String>), ServiceError> {
    let (width, height) = sides_px(panel);
    let mut request = Map::from_iter([
        ("prompt".to_string(), json!(panel.prompt)),
        ("negative_prompt".into(), json!(panel.negative_prompt)),
        ("job_type".into(), json!("image_high")),
        ("apiModelId".into(), json!(model)),
        ("seed".into(), json!(seed)),
        ("width".into(), json!(width)),
        ("height".into(), json!(height)),
    ]);
    if let Some(reference) = &panel.reference_image_url {
        request.insert("reference_image_url".into(), json!(reference));
    }
    let metadata = Map::from_iter([("source".to_string(), json!("webtoon"))]);
    for time in 0..LOST_MAX {
        let asked = (&request, &metadata);
        let (started, warnings) =
            start_once(&run.context, door, run.user, asked, Some(key(run, panel, time))).await?;
        let job = match started {
            Started::Queued { job, .. } | Started::Here { job } => job,
            Started::Declined { message, .. } => return Err(ServiceError::new(Kind::Upstream, message)),
        };
        let row = run.context.row("jobs", job).await?.unwrap_or_default();
        let is_lost =
            matches!(row["error_message"].as_str(), Some(STOPPED_WHILE_DRAWN | STOPPED_BEFORE_ASKED));
        if !is_lost {
            return Ok((job, warnings));
        }
    }
    Err(ServiceError::new(
        Kind::Upstream,
        format!("the server stopped {LOST_MAX} times while the panel was drawn"),
    ))
}
