//! get-negative-prompt: the preset negative prompts of a model, joined.

use models::Value;
use serde::Deserialize;
use serde_json::json;
use store::query::Query;

use crate::functions::call::{Call, Outcome, ok, position};
use crate::functions::error::FunctionError;
use crate::functions::templates;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    model_type: Option<String>,
    content_mode: Option<String>,
    generation_mode: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let model_type = request.model_type.unwrap_or_else(|| "sdxl".into());
    let content_mode = request.content_mode.unwrap_or_else(|| "sfw".into());
    let generation_mode = request.generation_mode.unwrap_or_else(|| "txt2img".into());
    let base = negative_prompt(&call, &model_type, &content_mode, &generation_mode).await?;
    ok(json!({"baseNegativePrompt": base, "modelType": model_type, "contentMode": content_mode}))
}

/// The active presets of a model, rating and mode, most important first, joined by commas; empty when there are none.
/// A whole prompt cache answers; without one the table does.
pub(crate) async fn negative_prompt(
    call: &Call,
    model_type: &str,
    content_mode: &str,
    generation_mode: &str,
) -> Result<String, FunctionError> {
    let config = call.app.chat.engines().system_config().await?;
    if let Some(cache) = templates::prompt_cache(&config) {
        let cached = &cache["negativeCache"][model_type][content_mode][generation_mode];
        return Ok(cached.as_str().unwrap_or_default().to_string());
    }
    let query = Query::all(position("negative_prompts"))
        .equal("model_type", Value::text(model_type))
        .equal("content_mode", Value::text(content_mode))
        .equal("generation_mode", Value::text(generation_mode))
        .equal("is_active", Value::Bool(true))
        .order("priority", true)
        .limit(100);
    let rows = call.rows(query).await?;
    let prompts: Vec<&str> = rows.iter().filter_map(|row| row["negative_prompt"].as_str()).collect();
    Ok(prompts.join(", "))
}
