//! Jobs of accounts that take part in a test of two prompt configurations (`prompt_ab_tests`).

use actors::telemetry::ab_tests::{MEMBERS, Part};
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::jobs::enhancement_preset;
use crate::jobs::job_request::JobRequest;
use crate::jobs::selected_model::select_model;
use crate::rows::position;

/// Open tests that are looked at, the oldest first.
const OPEN_MAX: u64 = 20;

/// Lets a request follow its account's configuration in the oldest open test that it leaves room for: one that sets
/// nothing of what the request says itself. A configuration that cannot be followed is left out, and the log says so.
pub(crate) async fn join(
    context: &Context,
    user: Uuid,
    request: &mut JobRequest,
    is_video: bool,
) -> Result<Option<Part>, ServiceError> {
    // A test of models draws what it says.
    if request.is_whole || request.member("source") == Some("run-model-tests") {
        return Ok(None);
    }
    let open = Query::all(position("prompt_ab_tests"))
        .equal("is_complete", Value::Bool(false))
        .order("created_at", false)
        .limit(OPEN_MAX);
    for test in context.rows(open).await? {
        let Some(id) = uuid(&test["id"]) else { continue };
        let is_given = |name: &str| {
            let sets = |config: &str| test[config].get(name).is_some_and(|value| !value.is_null());
            (sets("baseline_config") || sets("enhanced_config")) && says(request, name)
        };
        if MEMBERS.iter().any(|(name, _)| is_given(name)) {
            continue;
        }
        let part = Part::of(id, user);
        let config = if part.is_enhanced { "enhanced_config" } else { "baseline_config" };
        let mut configured = request.clone();
        fill(&mut configured, &test[config]);
        if let Err(error) = try_out(context, &configured, is_video).await {
            tracing::warn!(test = %id, %config, %error, "a configuration under test cannot be followed, so jobs go without it");
            continue;
        }
        *request = configured;
        return Ok(Some(part));
    }
    Ok(None)
}

/// Whether a request says itself what a configuration would set.
fn says(request: &JobRequest, name: &str) -> bool {
    let in_metadata = |name: &str| request.metadata.get(name).is_some_and(|value| !value.is_null());
    let is_model_named = [&request.model, &request.api_model_id, &request.model_id, &request.model_key]
        .iter()
        .any(|model| model.is_some());
    match name {
        "enhancement_preset" => request.enhancement_preset.is_some(),
        "compel_config" => request.compel_config.is_some(),
        "compel_weights" => request.compel_weights.is_some(),
        "negative_prompt" => request.negative_prompt.is_some(),
        "steps" => request.steps.is_some(),
        "guidance_scale" => request.guidance_scale.is_some(),
        "model_key" => is_model_named || ["apiModelId", "model_id", "model_key"].into_iter().any(in_metadata),
        _ => in_metadata(name),
    }
}

fn fill(request: &mut JobRequest, config: &Json) {
    let given = config.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    for (name, value) in given {
        let text = || value.as_str().map(str::to_string);
        match name.as_str() {
            "enhancement_preset" => request.enhancement_preset = text(),
            "compel_config" => request.compel_config = text(),
            "compel_weights" => request.compel_weights = Some(value.clone()),
            "negative_prompt" => request.negative_prompt = text(),
            "steps" => request.steps = value.as_u64().map(|steps| u32::try_from(steps).unwrap_or(u32::MAX)),
            "guidance_scale" => request.guidance_scale = value.as_f64(),
            "model_key" => request.model_key = text(),
            _ => drop(request.metadata.insert(name.clone(), json!(value))),
        }
    }
}

/// Whether a request can be followed as it stands.
async fn try_out(context: &Context, request: &JobRequest, is_video: bool) -> Result<(), ServiceError> {
    let mut request = request.clone();
    request.check_numbers()?;
    request.check_choices()?;
    select_model(context, &mut request, is_video).await?;
    enhancement_preset::apply(context, &mut request).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_a_configuration_reaches_the_request() {
        let config = json!({
            "enhancement_preset": "Bright", "compel_config": "hats", "compel_weights": {"cat": 1.2},
            "negative_prompt": "blurry", "steps": 7, "guidance_scale": 5.5, "model_key": "small",
            "enhancement_model": "tiny", "user_requested_enhancement": true, "skip_enhancement": false,
        });
        let names: Vec<&str> = config.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, MEMBERS.map(|(name, _)| name), "all of them are tried");
        let mut request = JobRequest::default();
        assert!(names.iter().all(|name| !says(&request, name)));
        fill(&mut request, &config);
        assert!(names.iter().all(|name| says(&request, name)), "{request:?}");
        assert_eq!((request.steps, request.model_key.as_deref()), (Some(7), Some("small")));
    }
}
