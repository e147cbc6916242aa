//! evaluate-script: a model judges a script, and the script becomes evaluated.

use serde::Deserialize;
use serde_json::json;
use services::age_gate;
use services::scripts::evaluate;
use uuid::Uuid;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

#[derive(Deserialize)]
struct Request {
    #[serde(alias = "scriptId")]
    script_id: Option<Uuid>,
    #[serde(alias = "modelKey")]
    model: Option<String>,
    #[serde(alias = "content_tier")]
    content_mode: Option<String>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let id = request.script_id.ok_or_else(|| FunctionError::missing(&["script_id"]))?;
    let tier = age_gate::rating(&call.context, "content_mode", request.content_mode.as_deref())?;
    let judged = evaluate::evaluate(&call.context, id, request.model.as_deref(), tier).await?;
    call.warnings.extend(judged.warnings);
    ok(json!({
        "success": true, "script": judged.script, "evaluation": judged.scores.object(),
        "evaluation_score": judged.scores.mean(), "model_used": judged.model,
    }))
}
