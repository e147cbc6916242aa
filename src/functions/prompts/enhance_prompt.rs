//! enhance-prompt: a prompt for pictures or clips, made richer by a model and a template.

use std::time::Instant;

use models::value_words::Takes;
use serde_json::{Value as Json, json};
use services::prompts::enhance_prompt::{Enhanced, EnhancedPrompt, enhance};
use services::prompts::enhance_request::EnhanceRequest;
use services::prompts::enhance_scene::EnhancedScene;

use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

/// The fields of a request.
const FIELDS: [Field<'_>; 12] = [
    ("prompt", Takes::Text),
    ("original_prompt", Takes::Text),
    ("jobType", Takes::Text),
    ("selectedModel", Takes::Text),
    ("enhancement_model", Takes::Text),
    ("chatModel", Takes::Text),
    ("format", Takes::Text),
    ("quality", Takes::Text),
    ("contentType", Takes::Text),
    ("contentRating", Takes::Text),
    ("model_id", Takes::Uuid),
    ("metadata", Takes::Object),
];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let started = Instant::now();
    let body = call.read_fields(&FIELDS)?;
    let request = EnhanceRequest::read(&body);
    call.warnings.extend(request.warnings());
    call.warnings.extend(request.unknown_enhancer(&call.context).await);
    if let Some(id) = request.model_id
        && call.context.row("api_models", id).await?.is_none()
    {
        call.warnings
            .extend(["model_id: there is no such model, so the job type says what the prompt is for".into()]);
    }
    let (what, problem, answer) = match enhance(&call.context, request).await? {
        Enhanced::Prompt(prompt) => {
            ("the prompt is as it was", prompt.problem.clone(), prompt_json(&prompt, started))
        }
        Enhanced::Scene(scene) => {
            ("the scene is the idea as it was", scene.problem.clone(), scene_json(&scene))
        }
        Enhanced::Starters(starters) => (
            "lines of the program stand in for the model's",
            starters.problem,
            json!({"success": true, "starters": starters.lines}),
        ),
    };
    call.warnings.extend(problem.map(|reason| format!("{what}: {reason}")));
    ok(answer)
}

fn prompt_json(made: &EnhancedPrompt, started: Instant) -> Json {
    let request = &made.request;
    let (before, after) = (request.prompt.chars().count(), made.prompt.chars().count());
    let expansion = after as f64 * 100.0 / before.max(1) as f64;
    json!({
        "success": true,
        "original_prompt": request.prompt,
        "enhanced_prompt": made.prompt,
        "enhancement_strategy": made.strategy,
        "enhancement_metadata": {
            "original_length": before,
            "enhanced_length": after,
            "expansion_percentage": format!("{expansion:.1}"),
            "job_type": request.job_type,
            "format": request.format,
            "quality": request.quality,
            "content_mode": made.rating.name(),
            "template_name": made.template,
            "model_used": made.model,
            "token_count": made.tokens,
            "compression_applied": made.is_cut,
            "execution_time_ms": started.elapsed().as_millis() as u64,
            "cache_hit": made.from_cache,
        },
    })
}

fn scene_json(made: &EnhancedScene) -> Json {
    json!({
        "success": true,
        "original_prompt": made.idea,
        "enhanced_description": made.description,
        "scene_prompt": made.prompt,
        "suggested_tags": made.tags,
        "suggested_scenario_type": made.kind,
        "enhancement_strategy": if made.model.is_some() { "scene_creation" } else { "scene_creation_fallback" },
        "enhancement_metadata": {
            "template_name": made.template, "content_mode": made.rating.name(), "model_used": made.model,
        },
    })
}
