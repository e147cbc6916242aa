//! What is asked of an enhancement, whatever the spelling.

use actors::content_rules::{self, ContentRating};
use actors::language::{Chosen, Wanted};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids;

/// Longest prompt, in characters.
const PROMPT_CHARS_MAX: usize = 16_000;

/// What is asked for, whatever the spelling.
pub(crate) struct EnhanceRequest {
    pub prompt: String,
    pub job_type: String,
    pub enhancer: Option<String>,
    pub content_type: String,
    pub format: String,
    pub quality: String,
    pub model_id: Option<Uuid>,
    pub metadata: Json,
    pub tier: ContentRating,
}

pub(crate) fn read(context: &Context, body: &Json) -> Result<EnhanceRequest, ServiceError> {
    let text = |names: &[&str]| {
        let found = names.iter().filter_map(|name| body[*name].as_str()).map(str::trim);
        found.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_string()
    };
    let prompt = text(&["prompt", "original_prompt"]);
    if prompt.is_empty() || prompt.chars().count() > PROMPT_CHARS_MAX {
        let message = format!("Prompt is required, at most {PROMPT_CHARS_MAX} characters");
        return Err(ServiceError::bad(message).with("success", false));
    }
    let content_type = text(&["contentType", "content_type"]);
    let rating = text(&["contentRating", "content_rating"]);
    let given =
        [content_type.as_str(), rating.as_str()].into_iter().find(|it| ContentRating::parse(it).is_some());
    let detected = if content_rules::is_explicit(&prompt) { "nsfw" } else { "sfw" };
    let tier = age_gate::rating(context, "contentRating", Some(given.unwrap_or(detected)))?;
    content_rules::check(tier, "the prompt", &prompt)?;
    let or = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_string() } else { text };
    Ok(EnhanceRequest {
        prompt,
        job_type: or(text(&["jobType", "job_type"]), "sdxl_image_fast"),
        enhancer: Some(text(&["selectedModel", "enhancement_model", "chatModel"]))
            .filter(|it| !it.is_empty()),
        content_type,
        format: or(text(&["format"]), "image"),
        quality: or(text(&["quality"]), "fast"),
        model_id: ids::uuid(&body["model_id"]),
        metadata: body["metadata"].clone(),
        tier,
    })
}

/// `image` or `video`, and the model that the prompt is for.
pub(crate) fn target(request: &EnhanceRequest, model_key: Option<&str>) -> (&'static str, String) {
    let is_video = request.job_type.contains("video") || request.job_type.contains("wan");
    let category = if is_video { "video" } else { "image" };
    let family = if is_video { "wan" } else { "sdxl" };
    (category, model_key.unwrap_or(family).to_string())
}

/// The model that enhances.
pub(crate) async fn enhancer(context: &Context, request: &EnhanceRequest) -> Result<Chosen, ServiceError> {
    let wanted = Wanted { name: request.enhancer.as_deref(), task: "enhancement", strict: false };
    Ok(context.services.chat.engines().choose(wanted).await?)
}
