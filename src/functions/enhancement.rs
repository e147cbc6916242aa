//! Prompt enhancement inside queue-job.

use serde_json::{Map, Value as Json, json};

use super::call::Call;
use super::enhance_prompt;

/// The enhanced prompt of a job from text and the name of the template that made it. A job whose caller did not ask
/// for enhancement keeps its prompt; so does one whose enhancement fails, with the reason in the name.
pub(super) async fn for_job(
    call: &Call,
    prompt: &str,
    job_type: &str,
    metadata: &Map<String, Json>,
) -> (Option<String>, Option<String>) {
    let flag = |name: &str| metadata.get(name).and_then(Json::as_bool) == Some(true);
    let model = metadata.get("enhancement_model").and_then(Json::as_str);
    if !flag("user_requested_enhancement") || flag("skip_enhancement") || model == Some("none") {
        return (None, None);
    }
    let body = json!({
        "prompt": prompt, "job_type": job_type, "enhancement_model": model, "metadata": metadata,
        "contentType": metadata.get("contentType"),
    });
    match enhance_prompt::enhance(call, &body).await {
        Ok(answer) => {
            let strategy = answer["enhancement_strategy"].as_str().unwrap_or_default();
            if strategy == "enhancement_failed" {
                return (None, Some("enhancement_failed".into()));
            }
            let template = answer["enhancement_metadata"]["template_name"].as_str().unwrap_or(strategy);
            (answer["enhanced_prompt"].as_str().map(str::to_string), Some(template.to_string()))
        }
        // What may not be enhanced is refused by the job's own rules.
        Err(_) => (None, Some("enhancement_error".into())),
    }
}
