//! enhance-prompt: a prompt for pictures or clips, made richer by a model and a template.

use serde_json::Value as Json;
use services::prompts::enhance_prompt::enhance;

use crate::functions::http_call::{Call, Outcome, ok};

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let body: Json = call.read()?;
    ok(enhance(&call.context, &body).await?)
}
