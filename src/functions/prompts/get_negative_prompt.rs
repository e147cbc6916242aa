//! get-negative-prompt: the preset negative prompts of a model, joined.

use actors::content_rules::ContentRating;
use models::value_words::is_none_of;
use serde::Deserialize;
use serde_json::json;
use services::prompts::negative_prompt::{negative_prompt, preset_models};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

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
    for (field, given, known) in [
        ("contentMode", &content_mode, &ContentRating::NAMES),
        ("generationMode", &generation_mode, &["txt2img", "i2i"]),
    ] {
        if !known.contains(&given.as_str()) {
            return Err(FunctionError::none_of(field, given, known));
        }
    }
    let known = preset_models(&call.context).await?;
    if !known.contains(&model_type) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        call.warnings
            .extend([format!("modelType: {}, so it has no presets", is_none_of(&model_type, &known))]);
    }
    let base = negative_prompt(&call.context, &model_type, &content_mode, &generation_mode).await?;
    ok(json!({"baseNegativePrompt": base, "modelType": model_type, "contentMode": content_mode}))
}
