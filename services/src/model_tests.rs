//! A series of tests of models: every prompt is drawn by every model, with the same numbers.

use actors::telemetry::model_tests::NoteModelTest;
use models::Value;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::job_request::JobRequest;
use crate::jobs::queue_job::queue;
use crate::rows::table;

/// Jobs of one series.
const JOBS_MAX: usize = 100;
/// What tests are about, by the check of their table.
const TIERS: [&str; 3] = ["artistic", "explicit", "unrestricted"];

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Series {
    /// What the series is called.
    pub test_series: Option<String>,
    /// One of `TIERS`.
    pub test_tier: Option<String>,
    /// A name for what its prompts have in common.
    pub test_category: Option<String>,
    /// What is drawn.
    pub prompts: Vec<String>,
    /// By which models: names, keys or ids.
    pub models: Vec<String>,
    /// `sdxl_image_fast` unless something else is said.
    pub job_type: Option<String>,
    /// The seed of each picture; one that is made up otherwise.
    #[serde(deserialize_with = "crate::seed::or_random")]
    pub seed: Option<u64>,
    /// Steps.
    pub steps: Option<u32>,
    /// What improvements are measured from, 0 to 10.
    pub baseline_quality: Option<f64>,
}

/// What came of a series.
pub struct Queued {
    /// Test, job, model and prompt of each.
    pub tests: Vec<Json>,
    /// Models and prompts that could not be queued, and why.
    pub refused: Vec<Json>,
}

/// Queues a series. A prompt that cannot be drawn by a model is left out, and said.
pub async fn run(context: &Context, user: Uuid, series: Series) -> Result<Queued, ServiceError> {
    let name = series.test_series.as_deref().filter(|name| !name.trim().is_empty());
    let given = [
        ("test_series", name.is_some()),
        ("prompts", !series.prompts.is_empty()),
        ("models", !series.models.is_empty()),
    ];
    ServiceError::require(&given)?;
    let name = name.unwrap_or_default();
    let tier = series.test_tier.as_deref().unwrap_or(TIERS[0]);
    if !TIERS.contains(&tier) {
        return Err(ServiceError::none_of("test_tier", tier, &TIERS));
    }
    let count = series.prompts.len().saturating_mul(series.models.len());
    if count > JOBS_MAX {
        let message = format!("{count} pictures; a series has at most {JOBS_MAX}");
        return Err(ServiceError::field("prompts, models", message));
    }
    if series.baseline_quality.is_some_and(|baseline| !(0.0..=10.0).contains(&baseline)) {
        return Err(ServiceError::field("baseline_quality", "is not within 0 to 10"));
    }
    let seed = series.seed.unwrap_or_else(|| u64::from(rand::random::<u32>() >> 1));
    let mut queued = Queued { tests: Vec::new(), refused: Vec::new() };
    for model in &series.models {
        for prompt in &series.prompts {
            let job_type = series.job_type.clone().unwrap_or_else(|| "sdxl_image_fast".into());
            let is_video = job_type.contains("video");
            let content = if tier == "artistic" { "sfw" } else { "nsfw" };
            let job = JobRequest {
                job_type,
                prompt: Some(prompt.clone()),
                model: Some(model.clone()),
                seed: Some(seed),
                steps: series.steps,
                image_count: (!is_video).then_some(1),
                metadata: Map::from_iter([
                    ("contentType".into(), json!(content)),
                    ("skip_enhancement".into(), json!(true)),
                    ("source".into(), json!("run-model-tests")),
                ]),
                ..JobRequest::default()
            };
            match queue(context, user, job).await {
                Ok(job) => {
                    let test =
                        note(context, user, &series, (name, tier, is_video), (model, prompt, seed), job.id);
                    let test = test.await?;
                    queued
                        .tests
                        .push(json!({"id": test, "job_id": job.id, "model": model, "prompt": prompt}));
                }
                Err(error) => {
                    queued.refused.push(json!({"model": model, "prompt": prompt, "error": error.to_string()}))
                }
            }
        }
    }
    match (queued.tests.is_empty(), queued.refused.first()) {
        (true, Some(first)) => {
            let message = format!("no test could be queued: {}", first["error"].as_str().unwrap_or_default());
            Err(ServiceError::bad(message).with("refused", queued.refused))
        }
        _ => Ok(queued),
    }
}

async fn note(
    context: &Context,
    user: Uuid,
    series: &Series,
    (name, tier, is_video): (&str, &str, bool),
    (model, prompt, seed): (&str, &str, u64),
    job: Uuid,
) -> Result<Uuid, ServiceError> {
    let tests = table("model_test_results");
    let mut row = tests.default_row();
    let mut set = |column: &str, value: Value| row[tests.at(column)] = value;
    let baseline = series.baseline_quality.and_then(|it| it.to_string().parse().ok());
    set("user_id", Value::Uuid(user));
    set("model_type", Value::text(if is_video { "WAN" } else { "SDXL" }));
    set("model_version", Value::text(model));
    set("prompt_text", Value::text(prompt));
    set("original_prompt", Value::text(prompt));
    set("success", Value::Bool(false));
    set("test_series", Value::text(name));
    set("test_tier", Value::text(tier));
    set("test_category", series.test_category.as_deref().map_or(Value::Null, Value::text));
    set("baseline_quality", baseline.map_or(Value::Null, Value::Numeric));
    set("job_id", Value::Uuid(job));
    set("test_metadata", Value::json(&json!({"status": "queued", "seed": seed, "steps": series.steps})));
    Ok(context.ask_elevated(NoteModelTest { row }).await?)
}
