//! The job of one panel: here, or at a remote server that takes the picture of a character to begin with.

use actors::conversation::sheet::Sheet;
use actors::job_scheduler::{STOPPED_BEFORE_ASKED, STOPPED_WHILE_DRAWN};
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::run::{Run, Stop};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::job_prompts::before;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::replicate::provider_api::{Api, Door};
use crate::replicate::start_prediction::{Started, model as catalogued, start_once};
use crate::rows::position;
use crate::webtoon::characters;
use crate::webtoon::panel_looks::PanelLooks;
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
pub async fn queue_panel(
    run: &Run,
    panel: &PanelSpec,
    turn: u64,
    model: Option<&str>,
    looks: &PanelLooks,
) -> Result<Uuid, Stop> {
    let seed = panel.seed.wrapping_add(turn) & (i64::MAX as u64);
    let queued = match model {
        None => here(run, panel, seed, None, looks).await,
        Some(model) => match catalogued(&run.context, Door::Replicate, Some(model)).await {
            Ok((.., Api::Local)) => here(run, panel, seed, Some(model), looks).await,
            Ok(_) => draw_remotely(run, panel, seed, (Door::Replicate, model), looks).await,
            Err(_) => draw_remotely(run, panel, seed, (Door::Fal, model), looks).await,
        },
    };
    let (job, warnings) = queued.map_err(|error| run.failed("RenderPanel", error))?;
    let own = |warning: &String| looks.in_own_places(panel.panel_index, warning);
    warnings.iter().for_each(|warning| run.warn(format!("panel {}: {}", panel.panel_index, own(warning))));
    Ok(job)
}

/// The character that leads a panel, as its job draws it: from the picture that was chosen for it, with the panel's seed.
async fn lead(context: &Context, panel: &PanelSpec, seed: u64) -> Result<Option<Sheet>, ServiceError> {
    let Some(id) = panel.character_ids.first().copied() else { return Ok(None) };
    let mut row = match characters::character(context, id).await {
        Ok(row) => row,
        // It was deleted after the panel was specified.
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if let Some(reference) = &panel.reference_image_url {
        row["reference_image_url"] = json!(reference);
    }
    row["seed_locked"] = json!(seed);
    Ok(Sheet::read(row))
}

async fn here(
    run: &Run,
    panel: &PanelSpec,
    seed: u64,
    model: Option<&str>,
    looks: &PanelLooks,
) -> Result<(Uuid, Vec<String>), ServiceError> {
    let mut metadata = Map::from_iter([
        ("source".to_string(), json!("webtoon")),
        ("skip_enhancement".to_string(), json!(true)),
        ("aspect_ratio".to_string(), json!(aspect_ratio(&panel.rect))),
        ("character_ids".to_string(), json!(panel.character_ids)),
    ]);
    let character = lead(&run.context, panel, seed).await?;
    let mut request = looks.request(Some(panel.panel_index));
    match &character {
        Some(character) => {
            metadata.insert("character_id".into(), json!(character.id));
        }
        // Specified by an earlier version, or its character is gone.
        None if panel.reference_image_url.is_some() => {
            metadata.insert("reference_mode".into(), json!("modify"));
            request.reference_image_url = panel.reference_image_url.clone();
            request.denoise_strength = Some(DENOISE);
        }
        None => {}
    }
    let request = JobRequest {
        job_type: "sdxl_image_fast".into(),
        prompt: Some(panel.prompt.clone()),
        negative_prompt: Some(panel.negative_prompt.clone()),
        seed: Some(seed),
        character,
        character_denoise: Some(DENOISE),
        idempotency_key: Some(key(run, panel, 0)),
        api_model_id: model.map(str::to_string),
        metadata,
        ..request
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
    looks: &PanelLooks,
) -> Result<(Uuid, Vec<String>), ServiceError> {
    let (width, height) = sides_px(panel);
    let (mut prompt, mut warnings) = (panel.prompt.clone(), Vec::new());
    if let Some(character) = lead(&run.context, panel, seed).await? {
        let consistency = looks.consistency(&character);
        warnings.extend(consistency.warnings);
        if let Some(base) = &consistency.base_prompt {
            prompt = before(base, &prompt);
        }
        if consistency.method.takes_looks() && panel.reference_image_url.is_some() {
            warnings.push(
                "consistency_method: the looks of a reference lead models that draw here, so i2i_reference is followed"
                    .into(),
            );
        }
    }
    let asked = looks.request(Some(panel.panel_index));
    for (field, list) in
        [("controls", &asked.controls), ("ip_adapters", &asked.ip_adapters), ("loras", &asked.loras)]
    {
        if !list.is_null() {
            warnings.push(format!("{field}: for models that draw here, so it changes nothing"));
        }
    }
    let mut request = Map::from_iter([
        ("prompt".to_string(), json!(prompt)),
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
    let metadata = Map::from_iter([
        ("source".to_string(), json!("webtoon")),
        ("character_ids".to_string(), json!(panel.character_ids)),
    ]);
    for time in 0..LOST_MAX {
        let asked = (&request, &metadata);
        let (started, said) =
            start_once(&run.context, door, run.user, asked, Some(key(run, panel, time))).await?;
        let job = match started {
            Started::Queued { job, .. } | Started::Here { job } => job,
            Started::Declined { message, .. } => return Err(ServiceError::new(Kind::Upstream, message)),
        };
        let row = run.context.row("jobs", job).await?.unwrap_or_default();
        let is_lost =
            matches!(row["error_message"].as_str(), Some(STOPPED_WHILE_DRAWN | STOPPED_BEFORE_ASKED));
        if !is_lost {
            warnings.extend(said);
            return Ok((job, warnings));
        }
    }
    Err(ServiceError::new(
        Kind::Upstream,
        format!("the server stopped {LOST_MAX} times while the panel was drawn"),
    ))
}
