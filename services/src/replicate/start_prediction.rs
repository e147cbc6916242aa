//! A job is started at an external provider.

use std::collections::BTreeMap;
use std::time::Duration;

use actors::content_rules::{self, ContentRating};
use actors::job_scheduler::{
    NotePrediction, PROVIDER_QUEUE, ProviderPayload, Quality, QueueJob, StoredPayload,
};
use actors::telemetry::pricing::{Prices, Used};
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::reference_picture;
use crate::jobs::job_metadata::settle_metadata;
use crate::jobs::job_prompts::before;
use crate::jobs::picture_lineage::{refuse_pictures_of_minors, shows_minor};
use crate::jobs::{depicted_characters, price_list};
use crate::prompts::negative_prompt::negative_prompt;
use crate::replicate::fail_job::fail;
use crate::replicate::likeness::Likeness;
use crate::replicate::provider_api::{self, Api, Door, connection};
use crate::replicate::{draw_here, fal_queue, openai_images, prediction_input, take_report};
use crate::rows::{position, table};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// What a job type names: a family of models, or pictures as such.
const FAMILIES: [&str; 4] = ["sdxl", "rv51", "flux", "image"];
/// The job types that mean a picture; others that name a family are taken as well.
pub const JOB_TYPES: [&str; 8] = [
    "sdxl_image_fast",
    "sdxl_image_high",
    "image_fast",
    "image_high",
    "rv51_fast",
    "rv51_high",
    "flux_image_fast",
    "flux_image_high",
];

/// What came of a request.
pub enum Started {
    /// The provider works on it.
    Queued {
        /// The job.
        job: Uuid,
        /// What the provider calls it.
        prediction: String,
    },
    /// A model of this server draws it.
    Here {
        /// The job.
        job: Uuid,
    },
    /// The provider declined, and the job has failed.
    Declined {
        /// The job.
        job: Uuid,
        /// The status that the provider answered, or one that says why it could not be asked.
        status: u16,
        /// Why.
        message: String,
    },
}

/// Starts a job: `prompt`, `job_type` and what else `request` and its metadata say. Answers with warnings as well: what is
/// not followed, and why.
pub async fn start(
    context: &Context,
    door: Door,
    user: Uuid,
    request: &Map<String, Json>,
    metadata: &Map<String, Json>,
) -> Result<(Started, Vec<String>), ServiceError> {
    start_once(context, door, user, (request, metadata), None).await
}

/// The same; a second job with the same key is the first one, and nothing is asked for again.
pub async fn start_once(
    context: &Context,
    door: Door,
    user: Uuid,
    (request, metadata): (&Map<String, Json>, &Map<String, Json>),
    key: Option<String>,
) -> Result<(Started, Vec<String>), ServiceError> {
    let text = |name: &str| request.get(name).and_then(Json::as_str).filter(|text| !text.trim().is_empty());
    let (prompt, job_type) = (text("prompt"), text("job_type"));
    let (Some(prompt), Some(job_type)) = (prompt, job_type) else {
        let error = ServiceError::require(&[("prompt", prompt.is_some()), ("job_type", job_type.is_some())]);
        let error = error.err().unwrap_or_else(|| ServiceError::missing(&["prompt", "job_type"]));
        return Err(if job_type.is_none() { error.with("accepted", JOB_TYPES.to_vec()) } else { error });
    };
    let is_picture = FAMILIES.iter().any(|family| job_type.contains(family)) && !job_type.contains("video");
    if !is_picture {
        return Err(ServiceError::none_of("job_type", job_type, &JOB_TYPES));
    }
    let mut metadata = metadata.clone();
    let mut warnings = settle_metadata(&mut metadata)?;
    if let Some(character) = request.get("character_id").filter(|id| id.as_str() != Some("")) {
        metadata.entry("character_id").or_insert_with(|| character.clone());
    }
    let rating = metadata.get("contentType").and_then(Json::as_str);
    let tier = age_gate::rating(context, "metadata.contentType", rating)?;
    content_rules::check(tier, "prompt", prompt)?;
    depicted_characters::refuse_minors(context, tier, &[&metadata, request]).await?;
    let (model, provider, api) = model(context, door, text("apiModelId")).await?;
    if api == Api::Local {
        let (job, more) = draw_here::draw(context, user, &model, request, &metadata).await?;
        warnings.extend(more);
        return Ok((Started::Here { job }, warnings));
    }
    let version = model["version"].as_str().unwrap_or_default();
    if api == Api::Replicate && version.is_empty() {
        let message = "the model has no version; set version of its row in api_models";
        return Err(ServiceError::unavailable("NO_MODEL_VERSION", message));
    }
    let is_version =
        (32..=64).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    if api == Api::Replicate && !is_version {
        return Err(ServiceError::bad("the model's version is not 32 to 64 hexadecimal digits"));
    }
    let mut likeness = Likeness::of(context, user, request, &metadata, tier, &model).await?;
    warnings.append(&mut likeness.warnings);
    let prompt = match likeness.base_prompt.as_deref() {
        Some(base) => before(base, prompt),
        None => prompt.to_string(),
    };
    let (family, stored_type, quality) = family(job_type);
    let given = likeness.reference.as_deref();
    let negative = match rating {
        Some(rating) => {
            let presets = if family == "rv51" { "rv51" } else { "replicate-sdxl" };
            let mode = if given.is_some() { "i2i" } else { "txt2img" };
            Some(negative_prompt(context, presets, rating, mode).await?)
        }
        None => None,
    };
    let picture = match given {
        Some(given) => {
            let resolved = reference_picture::resolve(context, user, given).await;
            Some(resolved.map_err(|error| match error.kind() {
                Kind::Forbidden => error.of_field("reference_image_url"),
                _ => error,
            })?)
        }
        None => None,
    };
    let (picture, object) = picture.map(reference_picture::Reference::into_parts).unzip();
    let begins = object.clone().map(|object| ("reference_image_url".to_string(), object));
    let begins: Vec<(String, String)> = begins.into_iter().collect();
    // A provider reads the file by its link, whatever it holds then.
    let judged = BTreeMap::new();
    refuse_pictures_of_minors(context, tier, begins.clone(), &judged).await?;
    // A job of another rating was just refused if a minor is in it.
    let shows_minor = tier == ContentRating::Sfw
        && (content_rules::seems_minor(&prompt)
            || shows_minor(context, &[&metadata, request], begins, &judged).await?);
    let asked = &likeness.request;
    let built =
        prediction_input::build(&model, asked, &metadata, &prompt, negative.as_deref(), picture.as_deref())?;
    warnings.extend(built.warnings);
    let input = built.input;
    metadata.insert("provider".into(), provider["name"].clone());
    // What came of it is found by what it began with.
    if let Some(object) = &object {
        metadata.insert("reference_image_url".into(), json!(object));
    }
    let (job, existed) = start_job(
        context,
        user,
        &prompt,
        stored_type,
        family,
        quality,
        &metadata,
        &model,
        api,
        key,
        shows_minor,
    )
    .await?;
    if existed {
        return Ok((Started::Queued { job, prediction: format!("request-{job}") }, warnings));
    }
    let asked = match api {
        Api::Replicate => predict(context, &provider, version, &input).await,
        Api::Fal => fal_queue::submit(&model, &provider, &input).await,
        Api::OpenAi | Api::Local => Ok(format!("request-{job}")),
    };
    match asked {
        Ok(prediction) => {
            context.ask_elevated(NotePrediction { id: job, prediction: prediction.clone() }).await?;
            let work = Work { model, provider, input, object, prediction: prediction.clone() };
            match api {
                Api::Fal => drop(tokio::spawn(follow_fal(context.clone(), job, work))),
                Api::OpenAi => drop(tokio::spawn(ask_openai(context.clone(), job, work))),
                Api::Replicate | Api::Local => {}
            }
            Ok((Started::Queued { job, prediction }, warnings))
        }
        Err((status, message)) => {
            fail(context, job, &message).await?;
            Ok((Started::Declined { job, status, message }, warnings))
        }
    }
}

/// What a provider was asked.
struct Work {
    model: Json,
    provider: Json,
    input: Json,
    /// `bucket/path` of the picture that it begins with.
    object: Option<String>,
    prediction: String,
}

/// How often fal is asked how a request fares.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Asks until a request has ended. A process that ends meanwhile leaves it to those who ask how the job fares.
async fn follow_fal(context: Context, job: Uuid, work: Work) {
    let started = std::time::Instant::now();
    while started.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
        let row = match context.row("jobs", job).await {
            Ok(Some(row)) if take_report::ended(&row).is_none() => row,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%job, %error, "a job of a provider could not be read");
                continue;
            }
        };
        match fal_queue::fare(&work.model, &work.provider, &work.prediction).await {
            Ok(report) => {
                if let Err(error) = take_report::take(&context, &row, &report).await {
                    tracing::warn!(%job, %error, "what a provider reported could not be taken");
                }
            }
            Err(error) => tracing::warn!(%job, error, "a provider does not say how a job fares"),
        }
    }
}

/// Asks a server whose answer is the picture, and ends the job with it.
async fn ask_openai(context: Context, job: Uuid, work: Work) {
    let ended = async {
        let reference = match &work.object {
            Some(object) => Some(openai_images::Reference::read(&context, object).await?),
            None => None,
        };
        let (bytes, kind) =
            openai_images::draw(&context, &work.model, &work.provider, &work.input, reference).await?;
        let row = context.row("jobs", job).await.map_err(|error| error.to_string())?;
        let Some(row) = row.filter(|row| take_report::ended(row).is_none()) else { return Ok(()) };
        let report = json!({"input": work.input});
        let finished = take_report::finish(&context, &row, job, &report, bytes, kind).await;
        finished.map_err(|error| error.to_string())
    };
    if let Err(reason) = ended.await
        && let Err(error) = fail(&context, job, &reason).await
    {
        tracing::error!(%job, %error, "could not record a failure");
    }
}

/// The model that was named, or else the default of the door's own provider, with its provider and what that speaks.
pub(crate) async fn model(
    context: &Context,
    door: Door,
    id: Option<&str>,
) -> Result<(Json, Json, Api), ServiceError> {
    let bad = |reason: &str| ServiceError::field("apiModelId", reason);
    if let Some(id) = id {
        let id = Uuid::parse_str(id).map_err(|_| bad("not a UUID"))?;
        let model = context.row("api_models", id).await?.ok_or_else(|| bad("there is no such model"))?;
        let provider = provider_of(context, &model).await?;
        if model["is_active"] != true || provider["is_active"] != true {
            return Err(bad("the model is not active"));
        }
        return match Api::of(&model, &provider).filter(|api| api.is_behind(door)) {
            Some(api) => Ok((model, provider, api)),
            None => Err(provider_api::not_behind(door, &provider)),
        };
    }
    let query = Query::all(position("api_models"))
        .equal("is_active", Value::Bool(true))
        .equal("modality", Value::text("image"))
        .order("priority", false);
    let mut chosen = None;
    for model in context.rows(query).await? {
        let provider = provider_of(context, &model).await?;
        let api = Api::of(&model, &provider);
        let (Some(api), true) = (api, provider["is_active"] == true) else { continue };
        if provider["name"] != door.provider() {
            continue;
        }
        let is_default =
            model["default_for_tasks"].as_array().is_some_and(|tasks| tasks.contains(&json!("t2i")));
        if is_default {
            return Ok((model, provider, api));
        }
        chosen.get_or_insert((model, provider, api));
    }
    let message =
        format!("no active picture model of the provider {}; add one to api_models", door.provider());
    chosen.ok_or_else(|| ServiceError::unavailable("NO_PICTURE_MODEL", message))
}

async fn provider_of(context: &Context, model: &Json) -> Result<Json, ServiceError> {
    let id = model["provider_id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
    Ok(context.row("api_providers", id).await?.unwrap_or_default())
}

/// Model family, the job type that the table takes, and quality.
fn family(job_type: &str) -> (&'static str, &'static str, Quality) {
    let high = job_type.contains("high");
    let quality = if high { Quality::High } else { Quality::Fast };
    let pick = |fast, slow| if high { slow } else { fast };
    match job_type {
        kind if kind.contains("sdxl") => ("sdxl", pick("sdxl_image_fast", "sdxl_image_high"), quality),
        kind if kind.contains("rv51") => ("rv51", pick("rv51_fast", "rv51_high"), quality),
        kind if kind.contains("flux") => ("flux", pick("image_fast", "image_high"), quality),
        _ => ("sdxl", pick("image_fast", "image_high"), quality),
    }
}

#[allow(clippy::too_many_arguments, reason = "each is a column of the job")]
async fn start_job(
    context: &Context,
    user: Uuid,
    prompt: &str,
    job_type: &str,
    family: &str,
    quality: Quality,
    metadata: &Map<String, Json>,
    model: &Json,
    api: Api,
    idempotency_key: Option<String>,
    shows_minor: bool,
) -> Result<(Uuid, bool), ServiceError> {
    let jobs = table("jobs");
    let id = Uuid::new_v4();
    let mut job = jobs.default_row();
    let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
    let mut kept = metadata.clone();
    if family == "flux" {
        kept.insert("constraint_retry".into(), json!(true));
    }
    set("id", Value::Uuid(id));
    set("user_id", Value::Uuid(user));
    set("job_type", Value::text(job_type));
    set("format", Value::text("image"));
    set("quality", Value::text(quality.name()));
    set("model_type", Value::text(family));
    set("original_prompt", Value::text(prompt));
    set("metadata", Value::json(&Json::Object(kept)));
    let model_id = model["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    set("api_model_id", model_id.map_or(Value::Null, Value::Uuid));
    let settings = &context.services.settings;
    let decision = QueueJob {
        job,
        queue: PROVIDER_QUEUE,
        payload: StoredPayload::Provider(ProviderPayload {
            model_key: model["model_key"].as_str().map(str::to_string),
            prediction_id: None,
            is_answered_at_once: matches!(api, Api::OpenAi),
            shows_minor,
        }),
        priority: 0,
        idempotency_key,
        credits: if settings.charge_credits { price_list::credits(false, quality, 1) } else { 0 },
        cost_usd: Prices::of_json(model).cost(Used { results: 1, ..Used::default() }),
        preset: None,
        ab_test: None,
        limits: settings.queue_limits,
    };
    let queued = context.ask(decision).await?;
    Ok((queued.job[jobs.at("id")].as_uuid().unwrap_or(id), queued.existed))
}

/// Starts a prediction and answers with its id; otherwise the status to pass on and what went wrong.
async fn predict(
    context: &Context,
    provider: &Json,
    version: &str,
    input: &Json,
) -> Result<String, (u16, String)> {
    let (base, secret) = connection(Api::Replicate, provider).map_err(|message| (503, message))?;
    let secret = secret.unwrap_or_default();
    let webhook = format!("{}/functions/v1/replicate-webhook", context.services.links.base());
    let mut body = json!({"version": version, "input": input});
    // A remote provider cannot call a loopback address; a request for the status then brings the result.
    if context.services.settings.public_url.is_some() {
        body["webhook"] = json!(webhook);
        body["webhook_events_filter"] = json!(["start", "completed"]);
    }
    let client = language::http_client().build().map_err(|error| (500, error.to_string()))?;
    let request = client.post(format!("{base}/predictions")).bearer_auth(secret);
    let response = request.timeout(TIMEOUT).json(&body).send().await;
    let response = response.map_err(|_| (502, "the provider cannot be reached".to_string()))?;
    let status = response.status().as_u16();
    let answer: Json = language::json_answer(response)
        .await
        .ok_or_else(|| (502, "the provider's answer is not JSON".to_string()))?;
    if !(200..300).contains(&status) {
        let detail = answer["detail"].as_str().or(answer["title"].as_str()).unwrap_or("the provider refused");
        return Err((status, detail.chars().take(500).collect()));
    }
    let id = answer["id"].as_str().filter(|id| !id.is_empty());
    id.map(str::to_string).ok_or_else(|| (502, "the provider's answer has no id".to_string()))
}
