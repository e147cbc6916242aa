//! get-negative-prompt: the preset negative prompts of a model, joined.

use serde::Deserialize;
use serde_json::json;
use services::prompts::negative_prompt::negative_prompt;

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
    let base = negative_prompt(&call.context, &model_type, &content_mode, &generation_mode).await?;
    ok(json!({"baseNegativePrompt": base, "modelType": model_type, "contentMode": content_mode}))
}
