//! Prompt enhancement inside queue-job.

use serde_json::{Map, Value as Json, json};

use crate::context::Context;
use crate::jobs::job_request::JobRequest;
use crate::prompts::enhance_prompt::{Enhanced, FAILED, enhance};
use crate::prompts::enhance_request::EnhanceRequest;

/// The enhanced prompt of a job from text and the name of the template that made it. A job whose caller did not ask
/// for enhancement keeps its prompt; so does one whose enhancement fails, with the reason in the name.
pub(crate) async fn for_job(
    context: &Context,
    prompt: &str,
    job_type: &str,
    metadata: &Map<String, Json>,
) -> (Option<String>, Option<String>) {
    let flag = |name: &str| metadata.get(name).and_then(Json::as_bool) == Some(true);
    let model = metadata.get("enhancement_model").and_then(Json::as_str);
    if !flag("user_requested_enhancement") || flag("skip_enhancement") || model == Some("none") {
        return (None, None);
    }
    let member =
        |name: &str| metadata.get(name).and_then(Json::as_str).unwrap_or_default().trim().to_string();
    let request = EnhanceRequest {
        prompt: prompt.into(),
        job_type: job_type.into(),
        enhancer: member("enhancement_model"),
        content_type: member("contentType"),
        metadata: Json::Object(metadata.clone()),
        ..EnhanceRequest::default()
    };
    match enhance(context, request).await.map(enhanced) {
        Ok(Some((prompt, template))) => (Some(prompt), Some(template)),
        Ok(None) => (None, Some(FAILED.into())),
        // What may not be enhanced is refused by the job's own rules.
        Err(_) => (None, Some("enhancement_error".into())),
    }
}

/// The prompt of a job that changes a picture: what is to change, with word that the rest stays. If that cannot be
/// made it is put together by hand, with the reason in the name.
pub(crate) async fn modify(
    context: &Context,
    prompt: &str,
    request: &JobRequest,
) -> (Option<String>, Option<String>) {
    let mut metadata = Json::Object(request.metadata.clone());
    metadata["reference_mode"] = json!("modify");
    let asked = EnhanceRequest {
        prompt: prompt.into(),
        job_type: request.job_type.clone(),
        content_type: request.member("contentType").unwrap_or("sfw").into(),
        metadata,
        ..EnhanceRequest::default()
    };
    let how = match enhance(context, asked).await.map(enhanced) {
        Ok(Some((prompt, template))) => return (Some(prompt), Some(template)),
        Ok(None) => "manual_compose_fallback",
        Err(_) => "manual_compose_error",
    };
    let base = request.member("originalEnhancedPrompt").unwrap_or("maintain the same subject");
    (Some(format!("{base}, {prompt}")), Some(how.into()))
}

/// The prompt and the name of the template that made it; `None` if it failed.
fn enhanced(enhanced: Enhanced) -> Option<(String, String)> {
    match enhanced {
        Enhanced::Prompt(made) if made.strategy != FAILED => {
            let template = made.template.unwrap_or_else(|| made.strategy.to_string());
            Some((made.prompt, template))
        }
        _ => None,
    }
}
