//! replicate-image: a picture by an external provider that speaks Replicate's predictions API.

use actors::content_rules::{self, ContentRating};
use actors::job_scheduler::{
    FailJob, NotePrediction, PROVIDER_QUEUE, QueueJob, QueueLimits, WORKSPACE_BUCKET,
};
use axum::http::StatusCode;
use models::Value;
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::functions::call::{Call, Outcome, ok, position, table};
use crate::functions::error::FunctionError;
use crate::functions::minors;
use crate::functions::prices;
use crate::functions::prompts::get_negative_prompt::negative_prompt;
use crate::functions::reference;
use crate::functions::replicate_input;
use crate::storage::signed_url;

const API: &str = "https://api.replicate.com/v1";
/// Life of the URLs that are answered, in seconds.
const SIGNED_S: u64 = 3600;
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs the function: starts a prediction, or with `predictionId` tells how one fares.
pub(crate) async fn run(call: Call) -> Outcome {
    let user = call.user()?;
    let request: Map<String, Json> = call.read()?;
    let text = |name: &str| request.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    let metadata = match request.get("metadata") {
        Some(Json::Object(metadata)) => metadata.clone(),
        None | Some(Json::Null) => Map::new(),
        Some(_) => return Err(FunctionError::bad("metadata: not an object")),
    };
    if let Some(prediction) = text("predictionId") {
        return status_of(&call, user, prediction).await;
    }
    let prompt = text("prompt").ok_or_else(|| FunctionError::bad("prompt is missing"))?;
    let job_type =
        text("job_type").or(text("jobType")).ok_or_else(|| FunctionError::bad("job_type is missing"))?;
    let rating = metadata.get("contentType").and_then(Json::as_str);
    let tier = match rating {
        None => ContentRating::Sfw,
        Some(rating) => ContentRating::parse(rating)
            .ok_or_else(|| FunctionError::bad("metadata.contentType: neither sfw nor nsfw"))?,
    };
    if tier == ContentRating::Nsfw && !call.may_have_nsfw()? {
        return Err(FunctionError::content_refused("nsfw needs an age-verified account"));
    }
    content_rules::check(tier, "prompt", prompt)?;
    minors::refuse_in_nsfw(&call, tier, &[&metadata, &request]).await?;
    let (model, provider) = model(&call, text("apiModelId")).await?;
    let version = model["version"].as_str().unwrap_or_default();
    if version.is_empty() {
        return Err(FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, "the model has no version"));
    }
    if !(32..=64).contains(&version.len()) || !version.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(FunctionError::bad("the model's version is not 32 to 64 hexadecimal digits"));
    }
    let (family, stored_type, quality) = family(job_type);
    let negative = match rating {
        Some(rating) => Some(negative_prompt(&call, "replicate-sdxl", rating, "txt2img").await?),
        None => None,
    };
    let given = text("reference_image_url").or(metadata.get("reference_image_url").and_then(Json::as_str));
    let picture = match given {
        Some(given) => Some(reference::resolve(&call, user, given).await?.url),
        None => None,
    };
    let input =
        replicate_input::build(&model, &request, &metadata, prompt, negative.as_deref(), picture.as_deref())?;

    let job_id = start_job(&call, user, prompt, stored_type, family, quality, &metadata, &model).await?;
    match predict(&call, &provider, version, &input).await {
        Ok(prediction) => {
            let note = NotePrediction { id: job_id, prediction: prediction.clone() };
            call.app.actors.ask(&call.service(), note).await?;
            ok(json!({"jobId": job_id, "predictionId": prediction, "status": "queued"}))
        }
        Err((status, message)) => {
            let code = match status {
                422 | 404 => "MODEL_VERSION_NOT_FOUND",
                _ => "PREDICTION_CREATE_ERROR",
            };
            fail(&call, job_id, &message).await?;
            let http = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            let error =
                FunctionError::new(http, message.clone()).with("code", code).with("jobId", json!(job_id));
            Err(error.with("message", message).with("status", status))
        }
    }
}

/// Fails a job that no worker claimed.
pub(crate) async fn fail(call: &Call, id: Uuid, message: &str) -> Result<(), FunctionError> {
    let message = message.to_string();
    let report = FailJob { id, attempt: None, message, retry: false, metadata: Map::new() };
    call.app.actors.ask(&call.service(), report).await?;
    Ok(())
}

/// The model that was named, or else the provider's default, with its provider.
async fn model(call: &Call, id: Option<&str>) -> Result<(Json, Json), FunctionError> {
    let bad = FunctionError::bad;
    if let Some(id) = id {
        let id = Uuid::parse_str(id).map_err(|_| bad("apiModelId: not a UUID"))?;
        let model =
            call.row("api_models", id).await?.ok_or_else(|| bad("apiModelId: there is no such model"))?;
        if model["is_active"] != true {
            return Err(bad("apiModelId: the model is not active"));
        }
        let provider = provider_of(call, &model).await?;
        if provider["name"] != "replicate" {
            return Err(bad("apiModelId: the model is another provider's"));
        }
        return Ok((model, provider));
    }
    let query = Query::all(position("api_models"))
        .equal("is_active", Value::Bool(true))
        .equal("modality", Value::text("image"))
        .order("priority", false);
    let mut chosen: Option<(Json, Json)> = None;
    for model in call.rows(query).await? {
        let provider = provider_of(call, &model).await?;
        if provider["name"] != "replicate" || provider["is_active"] != true {
            continue;
        }
        let is_default =
            model["default_for_tasks"].as_array().is_some_and(|tasks| tasks.contains(&json!("t2i")));
        if is_default {
            return Ok((model, provider));
        }
        chosen.get_or_insert((model, provider));
    }
    let message = "no active picture model of the provider replicate; add one to api_models";
    chosen.ok_or_else(|| FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, message))
}

async fn provider_of(call: &Call, model: &Json) -> Result<Json, FunctionError> {
    let id = model["provider_id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
    Ok(call.row("api_providers", id).await?.unwrap_or_default())
}

/// Model family, the job type that the table takes, and quality.
fn family(job_type: &str) -> (&'static str, &'static str, &'static str) {
    let high = job_type.contains("high");
    let quality = if high { "high" } else { "fast" };
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
    call: &Call,
    user: Uuid,
    prompt: &str,
    job_type: &str,
    family: &str,
    quality: &str,
    metadata: &Map<String, Json>,
    model: &Json,
) -> Result<Uuid, FunctionError> {
    let jobs = table("jobs");
    let id = Uuid::new_v4();
    let mut job = jobs.default_row();
    let mut set = |column: &str, value: Value| job[jobs.at(column)] = value;
    let mut kept = metadata.clone();
    kept.insert("provider".into(), json!("replicate"));
    if family == "flux" {
        kept.insert("constraint_retry".into(), json!(true));
    }
    set("id", Value::Uuid(id));
    set("user_id", Value::Uuid(user));
    set("job_type", Value::text(job_type));
    set("format", Value::text("image"));
    set("quality", Value::text(quality));
    set("model_type", Value::text(family));
    set("original_prompt", Value::text(prompt));
    set("metadata", Value::json(&Json::Object(kept)));
    let model_id = model["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
    set("api_model_id", model_id.map_or(Value::Null, Value::Uuid));
    let config = &call.app.config;
    let decision = QueueJob {
        job,
        queue: PROVIDER_QUEUE,
        payload: json!({"model_key": model["model_key"]}),
        priority: 0,
        idempotency_key: None,
        credits: if config.charge_credits { prices::of(job_type, 1) } else { 0 },
        limits: QueueLimits {
            waiting_max: config.jobs_waiting_max,
            waiting_per_user_max: config.jobs_waiting_per_user_max,
        },
    };
    call.app.actors.ask(&call.claims, decision).await?;
    Ok(id)
}

/// The provider's address and key. Secrets are named in the table and read from the environment.
fn connection(provider: &Json) -> Result<(String, String), String> {
    let name = provider["secret_name"].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or("the provider has no secret_name")?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let secret = std::env::var(name).ok().filter(|secret| plain && !secret.is_empty());
    let secret = secret.ok_or_else(|| format!("the environment has no {name}, the provider's key"))?;
    Ok((provider["base_url"].as_str().unwrap_or(API).trim_end_matches('/').to_string(), secret))
}

/// Starts a prediction and answers with its id; otherwise the status to pass on and what went wrong.
async fn predict(call: &Call, provider: &Json, version: &str, input: &Json) -> Result<String, (u16, String)> {
    let (base, secret) = connection(provider).map_err(|message| (500, message))?;
    let webhook = format!("{}/functions/v1/replicate-webhook", call.app.config.url());
    let mut body = json!({"version": version, "input": input});
    // A provider elsewhere cannot call a loopback address; whoever asks for the status then brings the result.
    if call.app.config.public_url.is_some() {
        body["webhook"] = json!(webhook);
        body["webhook_events_filter"] = json!(["start", "completed"]);
    }
    let request = reqwest::Client::new().post(format!("{base}/predictions")).bearer_auth(secret);
    let response = request.timeout(TIMEOUT).json(&body).send().await;
    let response = response.map_err(|_| (502, "the provider cannot be reached".to_string()))?;
    let status = response.status().as_u16();
    let answer: Json =
        response.json().await.map_err(|_| (502, "the provider's answer is not JSON".to_string()))?;
    if !(200..300).contains(&status) {
        let detail = answer["detail"].as_str().or(answer["title"].as_str()).unwrap_or("the provider refused");
        return Err((status, detail.chars().take(500).collect()));
    }
    let id = answer["id"].as_str().filter(|id| !id.is_empty());
    id.map(str::to_string).ok_or_else(|| (502, "the provider's answer has no id".to_string()))
}

/// What the provider says of a prediction of one of the caller's jobs, its output as a list of URLs.
async fn status_of(call: &Call, user: Uuid, prediction: &str) -> Outcome {
    if prediction.len() > 100 || !prediction.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err(FunctionError::bad("predictionId: not an id"));
    }
    let job = super::replicate_webhook::job_of(call, prediction, Some(user)).await?;
    let job = job.ok_or_else(|| FunctionError::not_found("there is no such prediction of yours"))?;
    if let Some(ended) = super::replicate_webhook::ended(&job) {
        return ok(json!({
            "id": prediction, "status": ended, "jobId": job["id"], "jobStatus": job["status"],
            "output": pictures(call, &job).await?, "error": job["error_message"],
        }));
    }
    let id = job["api_model_id"].as_str().map(str::to_string);
    let (_, provider) = model(call, id.as_deref()).await?;
    let unavailable = |message: String| FunctionError::new(StatusCode::BAD_GATEWAY, message);
    let (base, secret) = connection(&provider).map_err(unavailable)?;
    let request = reqwest::Client::new().get(format!("{base}/predictions/{prediction}")).bearer_auth(secret);
    let response = request.timeout(TIMEOUT).send().await;
    let response = response.map_err(|_| unavailable("the provider cannot be reached".into()))?;
    let mut answer: Json =
        response.json().await.map_err(|_| unavailable("the provider's answer is not JSON".into()))?;
    super::replicate_webhook::take(call, &job, &answer).await?;
    answer["output"] = json!(super::replicate_webhook::urls(&answer["output"]));
    ok(answer)
}

/// The pictures of a job that has ended, as URLs that are good for a while.
async fn pictures(call: &Call, job: &Json) -> Result<Vec<String>, FunctionError> {
    let id = job["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).unwrap_or_default();
    let assets = Query::all(position("workspace_assets")).equal("job_id", Value::Uuid(id));
    let assets = call.rows(assets.order("asset_index", false)).await?;
    let url = |asset: &Json| {
        let path = asset["temp_storage_path"].as_str()?;
        signed_url(&call.app.keys, &call.app.config, WORKSPACE_BUCKET, path, SIGNED_S).ok()
    };
    Ok(assets.iter().filter_map(url).collect())
}
