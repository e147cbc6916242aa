//! What is asked of an enhancement, whatever the spelling.

use actors::content_rules::{self, ContentRating};
use actors::language::{Chosen, NoEngine, Wanted};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids;
use crate::jobs::job_request::JOB_TYPES;
use crate::prompts::prompt_cache;
use models::value_words::is_none_of;

/// Longest prompt, in characters.
const PROMPT_CHARS_MAX: usize = 16_000;

/// What is asked of an enhancement. An empty text counts as none.
#[derive(Clone, Debug, Default)]
pub struct EnhanceRequest {
    /// The prompt.
    pub prompt: String,
    /// What is made of it: `sdxl_image_fast` unless something else is said.
    pub job_type: String,
    /// The model that enhances.
    pub enhancer: String,
    /// `sfw` or `nsfw`, or `scene_creation` or `scene_starters` for something else than a prompt.
    pub content_type: String,
    /// `sfw` or `nsfw`; without a word of either the prompt says it.
    pub content_rating: String,
    /// `image` unless something else is said.
    pub format: String,
    /// `fast` unless something else is said.
    pub quality: String,
    /// The model that the prompt is for, by its row.
    pub model_id: Option<Uuid>,
    /// What else clients send.
    pub metadata: Json,
    /// How freely it is enhanced, where a preset says so.
    pub temperature: Option<f32>,
    /// Longest answer in tokens, where a preset says so.
    pub max_tokens: Option<usize>,
}

impl EnhanceRequest {
    /// Reads a request in any of its spellings.
    pub fn read(body: &Json) -> EnhanceRequest {
        let text = |names: &[&str]| {
            let mut found = names.iter().filter_map(|name| body[*name].as_str()).map(str::trim);
            found.find(|text| !text.is_empty()).unwrap_or_default().to_string()
        };
        EnhanceRequest {
            prompt: text(&["prompt", "original_prompt"]),
            job_type: text(&["jobType", "job_type"]),
            enhancer: text(&["selectedModel", "enhancement_model", "chatModel"]),
            content_type: text(&["contentType", "content_type"]),
            content_rating: text(&["contentRating", "content_rating"]),
            format: text(&["format"]),
            quality: text(&["quality"]),
            model_id: ids::uuid(&body["model_id"]),
            metadata: body["metadata"].clone(),
            temperature: None,
            max_tokens: None,
        }
    }

    /// What a caller should know of values that are none of those known.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut known = |field: &str, given: &str, accepted: &[&str], instead: &str| {
            if !given.is_empty() && !accepted.contains(&given) {
                warnings.push(format!("{field}: {}, so {instead}", is_none_of(given, accepted)));
            }
        };
        let category = target(self, None).0;
        let instead = format!("the prompt is taken for one of a {category}");
        known("jobType", &self.job_type, &JOB_TYPES, &instead);
        let contents = ["sfw", "nsfw", "scene_creation", "scene_starters"];
        known("contentType", &self.content_type, &contents, "a prompt is made");
        known("format", &self.format, &["image", "video"], "it changes nothing");
        known("quality", &self.quality, &["fast", "high"], "it changes nothing");
        warnings
    }

    /// Says that the default enhances where the model that is named is not there.
    pub async fn unknown_enhancer(&self, context: &Context) -> Option<String> {
        let wanted = Wanted { name: Some(self.enhancer()?), task: "enhancement", strict: true };
        match context.services.chat.engines().choose(wanted).await {
            Err(error @ NoEngine::Unknown { .. }) => {
                Some(format!("selectedModel: {error}, and the default enhances"))
            }
            _ => None,
        }
    }

    /// Puts defaults where nothing was said, and says which rating it has; refuses what may not be.
    pub(crate) async fn settle(&mut self, context: &Context) -> Result<ContentRating, ServiceError> {
        let prompt = self.prompt.trim().to_string();
        if prompt.is_empty() {
            return Err(ServiceError::missing(&["prompt"]).with("success", false));
        }
        if prompt.chars().count() > PROMPT_CHARS_MAX {
            let error = ServiceError::field("prompt", format!("longer than {PROMPT_CHARS_MAX} characters"));
            return Err(error.with("success", false));
        }
        if !self.content_rating.is_empty() && ContentRating::parse(&self.content_rating).is_none() {
            return Err(ServiceError::none_of("contentRating", &self.content_rating, &ContentRating::NAMES));
        }
        let given = [&self.content_type, &self.content_rating];
        let given = given.into_iter().find(|text| ContentRating::parse(text).is_some());
        let config = context.services.chat.engines().system_config().await?;
        let is_nsfw = content_rules::is_explicit(&prompt) || prompt_cache::has_nsfw_term(&config, &prompt);
        let tier = match given {
            Some(given) => age_gate::rating(context, "contentRating", Some(given))?,
            // What is seen in the words is theirs, whatever was asked for.
            None => age_gate::rating_of_stored(context, "prompt", is_nsfw.then_some("nsfw"))?,
        };
        content_rules::check(tier, "the prompt", &prompt)?;
        self.prompt = prompt;
        for (text, otherwise) in [
            (&mut self.job_type, "sdxl_image_fast"),
            (&mut self.format, "image"),
            (&mut self.quality, "fast"),
        ] {
            if text.is_empty() {
                *text = otherwise.into();
            }
        }
        Ok(tier)
    }

    /// The model that enhances, where one is named.
    pub(crate) fn enhancer(&self) -> Option<&str> {
        Some(self.enhancer.trim()).filter(|name| !name.is_empty())
    }
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
    let wanted = Wanted { name: request.enhancer(), task: "enhancement", strict: false };
    Ok(context.services.chat.engines().choose(wanted).await?)
}
