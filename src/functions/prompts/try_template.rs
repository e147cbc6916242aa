//! try-template: what a model makes of a text with a template, stored or not; nothing is kept.

use serde::Deserialize;
use services::prompts::try_template::{self, Trial};
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "templateId")]
    template_id: Option<Uuid>,
    #[serde(alias = "systemPrompt")]
    system_prompt: Option<String>,
    text: Option<String>,
    model: Option<String>,
    #[serde(alias = "content_tier")]
    content_mode: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let text = request.text.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let trial = Trial {
        template_id: request.template_id,
        system_prompt: request.system_prompt.as_deref(),
        text: text.ok_or_else(|| FunctionError::missing(&["text"]))?,
        model: request.model.as_deref(),
        content_mode: request.content_mode.as_deref(),
    };
    let (answer, warnings) = try_template::attempt(&call.context, trial).await?;
    call.warnings.extend(warnings);
    ok(answer)
}
