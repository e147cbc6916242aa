//! Which model of this server draws a job, and what its row of the catalogue says of drawing with it.
//!
//! The job's own word comes first, then the row that is the default for what is asked (`default_for_tasks`), then the
//! setting `image_model`, then whichever active row comes first. A row that is not active is not drawn with.

use actors::catalog::local_provider::LOCAL;
use actors::render::{STARTER, list_models};
use actors::telemetry::pricing::{Prices, Used};
use models::Value;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::jobs::character_steering::Steering;
use crate::jobs::job_request::{IMAGES_MAX, JobRequest};
use crate::rows::position;

/// Models of this server that are looked at.
const MODELS_MAX: u64 = 500;

/// What the catalogue says of the model of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct PictureModel {
    /// Its row.
    pub id: Option<Uuid>,
    prices: Prices,
    /// Its name, where it draws from words alone.
    from_words_alone: Option<String>,
}

impl PictureModel {
    /// Refuses to draw over a character's reference with a model that cannot.
    pub(crate) fn check_reference(&self, steering: &Steering) -> Result<(), ServiceError> {
        match &self.from_words_alone {
            Some(name) if steering.over_character => Err(from_words_alone("consistency_method", name)),
            _ => Ok(()),
        }
    }

    /// What so many results take in dollars, where the catalogue says so.
    pub(crate) fn cost_usd(&self, results: i64) -> Option<Decimal> {
        self.prices.cost(Used { results, ..Used::default() })
    }
}

/// What a job asks of a model, as `api_models.tasks` calls it.
fn task_of(request: &JobRequest, is_video: bool) -> &'static str {
    let has_frames =
        ["start_reference_url", "end_reference_url"].iter().any(|it| request.member(it).is_some());
    match (is_video, request.reference_image_url.is_some()) {
        (true, false) if !has_frames => "t2v",
        (true, _) => "i2v",
        (false, true) => "i2i",
        (false, false) => "t2i",
    }
}

/// Finds the model of a request and puts what its row says in the places that the request leaves open. Remote workers have
/// models of their own, and the name is theirs to know.
pub(crate) async fn settle(
    context: &Context,
    request: &mut JobRequest,
    is_video: bool,
) -> Result<PictureModel, ServiceError> {
    let draws_here = context.services.render.as_ref().is_some_and(|render| render.draws(is_video));
    if !draws_here {
        return Ok(PictureModel::default());
    }
    let modality = if is_video { "video" } else { "image" };
    let rows = rows(context, modality).await?;
    let task = task_of(request, is_video);
    let Some(row) = chosen(context, &rows, request.model.as_deref(), task)? else {
        return Ok(PictureModel::default());
    };
    let name = row["model_key"].as_str().unwrap_or_default().to_string();
    let tasks = row["tasks"].as_array().cloned().unwrap_or_default();
    let takes_pictures = row["capabilities"]["supports_i2i"] != json!(false);
    let takes_pictures = is_video || (takes_pictures && (tasks.is_empty() || tasks.contains(&json!("i2i"))));
    if task == "i2i" && !takes_pictures {
        return Err(from_words_alone("reference_image_url", &name));
    }
    let from_words_alone = (!takes_pictures).then(|| name.clone());
    let is_named = request.model.is_some();
    let is_settings = name == context.services.settings.image_model.as_deref().unwrap_or(STARTER);
    if is_named || !is_settings {
        request.model = Some(name);
    }
    limit(request, row, is_video)?;
    if !request.is_whole {
        fill(request, row, is_video);
    }
    Ok(PictureModel { id: uuid(&row["id"]), prices: Prices::of_json(row), from_words_alone })
}

fn from_words_alone(field: &str, name: &str) -> ServiceError {
    let message = format!("the model {name} draws from words alone (supports_i2i and tasks of its row)");
    ServiceError::field(field, message).with("code", "MODEL_CANNOT")
}

/// Rows of this server's models, inactive ones too, by priority.
async fn rows(context: &Context, modality: &str) -> Result<Vec<Json>, ServiceError> {
    let provider = Query::all(position("api_providers")).equal("name", Value::text(LOCAL)).limit(1);
    let Some(provider) = context.rows(provider).await?.into_iter().next() else { return Ok(Vec::new()) };
    let id = uuid(&provider["id"]).unwrap_or_default();
    let query = Query::all(position("api_models"))
        .equal("provider_id", Value::Uuid(id))
        .equal("modality", Value::text(modality))
        .order("priority", false)
        .limit(MODELS_MAX);
    let mut rows = context.rows(query).await?;
    if provider["is_active"] != json!(true) {
        rows.iter_mut().for_each(|row| row["is_active"] = json!(false));
    }
    Ok(rows)
}

/// The row that a name means, or the one that draws without a name; `None` where the catalogue lists no such model, and
/// the name is looked up among the files.
fn chosen<'r>(
    context: &Context,
    rows: &'r [Json],
    named: Option<&str>,
    task: &str,
) -> Result<Option<&'r Json>, ServiceError> {
    let is_active = |row: &&Json| row["is_active"] == json!(true);
    if let Some(name) = named {
        let plain = name.strip_prefix("local:").unwrap_or(name);
        let is_called = |row: &&Json| {
            row["model_key"] == plain || ["id", "display_name"].iter().any(|column| row[*column] == name)
        };
        return match rows.iter().find(is_called) {
            Some(row) if is_active(&row) => Ok(Some(row)),
            Some(_) => {
                Err(ServiceError::field("model", "the model is not active").with("code", "MODEL_INACTIVE"))
            }
            None => Ok(None),
        };
    }
    let is_default =
        |row: &&Json| row["default_for_tasks"].as_array().is_some_and(|it| it.contains(&json!(task)));
    if let Some(row) = rows.iter().filter(is_active).find(is_default) {
        return Ok(Some(row));
    }
    let settings = context.services.settings.image_model.as_deref().unwrap_or(STARTER);
    let of_settings = rows.iter().find(|row| row["model_key"] == settings);
    match of_settings {
        Some(row) if is_active(&row) => Ok(Some(row)),
        // A model that is not listed yet draws all the same.
        None if rows.is_empty() => Ok(None),
        _ => match rows.iter().find(is_active) {
            Some(row) => Ok(Some(row)),
            None => {
                let message = "no model draws here: every one in api_models is inactive";
                Err(ServiceError::new(Kind::Unavailable, message).with("code", "NO_PICTURE_MODEL"))
            }
        },
    }
}

/// Keeps to the limits of the row.
fn limit(request: &mut JobRequest, row: &Json, is_video: bool) -> Result<(), ServiceError> {
    let capabilities = &row["capabilities"];
    let cap = capabilities["max_images"].as_u64().and_then(|cap| u32::try_from(cap).ok());
    request.images_max = cap.filter(|cap| !is_video && (1..IMAGES_MAX).contains(cap));
    if let (Some(most), Some((width, height))) =
        (capabilities["max_pixels"].as_u64(), request.width.zip(request.height))
        && u64::from(width) * u64::from(height) > most
    {
        let message = format!("{width}×{height} is more than the {most} pixels of the model");
        return Err(ServiceError::field("width, height", message));
    }
    Ok(())
}

/// Puts the row's defaults where the request says nothing.
fn fill(request: &mut JobRequest, row: &Json, is_video: bool) {
    let defaults = &row["input_defaults"];
    let number = |names: &[&str], min: f64, max: f64| {
        let found = names.iter().find_map(|name| defaults[*name].as_f64());
        found.filter(|number| (min..=max).contains(number))
    };
    let whole = |names: &[&str], min: f64, max: f64| number(names, min, max).map(|number| number as u32);
    request.model_steps = whole(&["steps", "num_inference_steps"], 1.0, 200.0);
    request.guidance_scale = request.guidance_scale.or(number(&["guidance_scale"], 0.0, 100.0));
    if request.reference_strength.is_none() {
        let strength = number(&["denoise_strength", "strength"], 0.0, 1.0);
        request.model_denoise = strength;
    }
    if request.width.is_none() && request.height.is_none() && request.member("aspect_ratio").is_none() {
        let sides = whole(&["width"], 8.0, 4096.0).zip(whole(&["height"], 8.0, 4096.0));
        (request.width, request.height) = sides.unzip();
    }
    let text =
        |name: &str| defaults[name].as_str().filter(|text| !text.trim().is_empty()).map(str::to_string);
    request.scheduler = request.scheduler.take().or_else(|| text("scheduler"));
    request.negative_prompt = request.negative_prompt.take().or_else(|| text("negative_prompt"));
    let frames = |name: &str| defaults[name].as_u64().filter(|_| is_video);
    request.num_frames = request.num_frames.or_else(|| frames("num_frames"));
    request.fps = request.fps.or_else(|| frames("fps"));
}

/// The name of a model of this server that a client selected, by its row's id, key or name, or as its file is called;
/// `None` for one that is not there or not active: the default draws then. Remote workers have models of their own.
pub(crate) async fn selected(context: &Context, name: &str) -> Result<Option<String>, ServiceError> {
    selected_for(context, name, false).await
}

/// The same for a picture or a video.
pub(crate) async fn selected_for(
    context: &Context,
    name: &str,
    is_video: bool,
) -> Result<Option<String>, ServiceError> {
    if context.services.render.is_none() {
        let models =
            Query::all(position("api_models")).equal("is_active", Value::Bool(true)).limit(MODELS_MAX);
        let named = |row: &Json| row["id"] == name || row["display_name"] == name;
        let known = context.rows(models).await?.into_iter().find(named);
        let key = known.and_then(|row| row["model_key"].as_str().map(str::to_string));
        return Ok(Some(key.unwrap_or_else(|| name.to_string())));
    }
    let (modality, task) = if is_video { ("video", "t2v") } else { ("image", "t2i") };
    let rows = rows(context, modality).await?;
    match chosen(context, &rows, Some(name), task) {
        Ok(Some(row)) => return Ok(row["model_key"].as_str().map(str::to_string)),
        Ok(None) => {}
        Err(_) => return Ok(None),
    }
    let (folder, name) = (context.services.settings.models_dir.clone(), name.to_string());
    let listed = tokio::task::spawn_blocking(move || {
        list_models(&folder).into_iter().map(|model| model.name).find(|known| *known == name)
    });
    Ok(listed.await.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fills_what_a_request_leaves_open() {
        let row = json!({
            "input_defaults": {"steps": 4, "guidance_scale": 1.5, "scheduler": "LCM", "width": 512, "height": 768,
                               "strength": 0.5, "negative_prompt": "blurry", "fps": 8},
            "capabilities": {"max_images": 2, "max_pixels": 1_000_000},
        });
        let mut request =
            JobRequest { guidance_scale: Some(7.0), num_images: Some(6), ..JobRequest::default() };
        limit(&mut request, &row, false).expect("within the limits");
        fill(&mut request, &row, false);
        assert_eq!((request.model_steps, request.guidance_scale), (Some(4), Some(7.0)));
        assert_eq!((request.width, request.height), (Some(512), Some(768)));
        assert_eq!((request.scheduler.as_deref(), request.fps), (Some("LCM"), None), "no picture has frames");
        assert_eq!((request.model_denoise, request.num_images(false)), (Some(0.5), 2));
        assert_eq!(
            (request.steps, request.denoise_strength),
            (None, None),
            "the request itself said nothing"
        );
        let mut large = JobRequest { width: Some(2000), height: Some(1000), ..JobRequest::default() };
        let error = limit(&mut large, &row, false).expect_err("too large");
        assert_eq!(error.field_name(), Some("width, height"));
        // What no drawing can be made with is passed over.
        let odd = json!({"input_defaults": {"steps": 0, "guidance_scale": "much", "width": 64}});
        let mut request = JobRequest::default();
        fill(&mut request, &odd, false);
        assert_eq!((request.model_steps, request.guidance_scale, request.width), (None, None, None));
    }

    #[test]
    fn what_a_job_asks_for_is_a_task() {
        let request = |reference: bool, metadata: Json| JobRequest {
            reference_image_url: reference.then(|| "a".to_string()),
            metadata: metadata.as_object().cloned().unwrap_or_default(),
            ..JobRequest::default()
        };
        assert_eq!(task_of(&request(false, json!({})), false), "t2i");
        assert_eq!(task_of(&request(true, json!({})), false), "i2i");
        assert_eq!(task_of(&request(false, json!({})), true), "t2v");
        assert_eq!(task_of(&request(false, json!({"start_reference_url": "a"})), true), "i2v");
    }
}
