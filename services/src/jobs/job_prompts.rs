//! The words of a job: what its owner said, what came of it, and what they are drawn with.

use actors::content_rules::{self, ContentRating};
use actors::render::{PromptSyntax, WantedLora, lora_tags};
use serde_json::Value as Json;

use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::enhance_for_job::Made;
use crate::jobs::job_request::JobRequest;
use crate::jobs::{enhance_for_job, job_fields};

/// Longest prompt, in characters.
pub(crate) const PROMPT_CHARS_MAX: usize = 10_000;

/// Steps of a drawing at most.
const STEPS_MAX: u32 = 200;

/// How a reference picture is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Drawn again as it is.
    ExactCopy,
    /// Drawn anew, with changes.
    Modify,
    /// Drawn from the words, over the picture of the character that they are about.
    OverCharacter,
    /// Made larger; nothing is drawn.
    Upscale,
    /// There is none, or nothing to do with it.
    FromText,
}

impl Mode {
    /// The mode of a request.
    pub(crate) fn of(request: &JobRequest) -> Mode {
        if request.upscale_scale.is_some() {
            return Mode::Upscale;
        }
        if request.reference_image_url.is_none() {
            return Mode::FromText;
        }
        let known = request.member("originalEnhancedPrompt").is_some();
        let blank = said(request).trim().is_empty();
        if request.flag("exact_copy_mode") && !known && blank {
            Mode::ExactCopy
        } else if request.member("reference_mode") == Some("modify") || known || !blank {
            Mode::Modify
        } else {
            Mode::FromText
        }
    }

    /// What negative prompts and metadata call it.
    pub(crate) fn generation_mode(self) -> &'static str {
        if self == Mode::FromText { "txt2img" } else { "i2i" }
    }

    /// How far to depart from the reference, guidance and steps, by the mode's own defaults; the steps of those are
    /// multiplied.
    pub(crate) fn numbers(
        self,
        request: &JobRequest,
        steps_factor: u32,
    ) -> (Option<f64>, Option<f64>, Option<u32>) {
        let denoise = request.denoise_strength.or(request.reference_strength.map(|strength| 1.0 - strength));
        let of_model = request.model_steps.map(|steps| (steps * steps_factor).min(STEPS_MAX));
        let given = request.steps.or(of_model);
        let steps = |own: u32| given.or(Some(own * steps_factor));
        match self {
            Mode::Upscale => (None, None, None),
            Mode::ExactCopy => (denoise.or(Some(0.05)), Some(1.0), steps(15)),
            Mode::Modify => {
                let denoise = denoise.or(request.model_denoise).or(Some(0.20));
                (denoise, request.guidance_scale.or(Some(6.0)), steps(20))
            }
            Mode::FromText | Mode::OverCharacter => (denoise, request.guidance_scale, given),
        }
    }
}

fn said(request: &JobRequest) -> &str {
    request.original_prompt.as_deref().or(request.prompt.as_deref()).unwrap_or_default()
}

/// The words of a job.
pub(crate) struct JobPrompts {
    /// What its owner said.
    pub original: String,
    /// What became of it.
    pub enhanced: Option<String>,
    /// How.
    pub template_name: Option<String>,
    /// Which way was taken for it.
    pub strategy: Option<String>,
    /// How long it took, in milliseconds.
    pub enhancement_ms: Option<i64>,
    /// What is drawn.
    pub sent: String,
    /// The request's LoRAs, and those that the prompt names.
    pub loras: Json,
}

impl JobPrompts {
    /// Reads and enhances the prompt of a request.
    pub(crate) async fn of(
        context: &Context,
        request: &JobRequest,
        mode: Mode,
        syntax: PromptSyntax,
        base_prompt: Option<&str>,
    ) -> Result<JobPrompts, ServiceError> {
        let original = said(request).to_string();
        let mut tags = Tags { reads: syntax.is_a1111(), found: Vec::new() };
        // What names a LoRA is no part of what is to be seen.
        let prompt = tags.take("prompt", &original)?;
        let known = request.member("originalEnhancedPrompt");
        let made = match (mode, &request.enhanced_prompt) {
            (Mode::Upscale, _) => Made::default(),
            (_, Some(enhanced)) => Made::given(enhanced),
            (Mode::ExactCopy, None) => Made::named(None, "exact_copy_skip_enhance"),
            (Mode::Modify, None) if prompt.trim().is_empty() || request.flag("skip_enhancement") => {
                match known {
                    Some(known) => Made::named(Some(known.to_string()), "original_from_metadata"),
                    None => Made::default(),
                }
            }
            (Mode::Modify, None) => enhance_for_job::modify(context, &prompt, request).await,
            (Mode::FromText | Mode::OverCharacter, None) => {
                enhance_for_job::for_job(context, &prompt, request).await
            }
        };
        let Made { prompt: enhanced, template_name, strategy, ms: enhancement_ms } = made;
        let sent = match &enhanced {
            Some(enhanced) => tags.take("enhanced_prompt", enhanced)?,
            None => prompt,
        };
        let sent = match base_prompt {
            Some(base) => before(&tags.take("base_prompt", base)?, &sent),
            None => sent,
        };
        tags.refuse_in(&request.keyframes)?;
        let loras = tags.with(&request.loras);
        Ok(JobPrompts { original, enhanced, template_name, strategy, enhancement_ms, sent, loras })
    }

    /// How long the enhanced prompt is, in percent of the one before.
    pub(crate) fn expansion(&self) -> Option<f64> {
        let enhanced = self.enhanced.as_ref().filter(|_| self.strategy.is_some())?;
        let (before, after) = (self.original.chars().count(), enhanced.chars().count());
        (before > 0).then(|| (after as f64 * 1000.0 / before as f64).round() / 10.0)
    }

    /// Refuses words that are too many or that the rating forbids.
    pub(crate) fn check(&self, tier: ContentRating, keyframes: &Json) -> Result<(), ServiceError> {
        for (name, text) in [("prompt", self.original.as_str()), ("enhanced_prompt", self.sent.as_str())] {
            if text.chars().count() > PROMPT_CHARS_MAX {
                return Err(ServiceError::field(name, format!("longer than {PROMPT_CHARS_MAX} characters")));
            }
            content_rules::check(tier, name, text)?;
        }
        job_fields::check_keyframe_texts(tier, keyframes, PROMPT_CHARS_MAX)
    }
}

/// The words of a character before those of a prompt, unless they stand there already.
pub(crate) fn before(base: &str, prompt: &str) -> String {
    match prompt.trim() {
        "" => base.to_string(),
        words if words.starts_with(base.trim()) => prompt.to_string(),
        _ => format!("{base}, {prompt}"),
    }
}

/// LoRAs that prompts name, as A1111 writes them.
struct Tags {
    reads: bool,
    found: Vec<WantedLora>,
}

impl Tags {
    /// The text without its tags; those of a name that was there before say nothing new.
    fn take(&mut self, field: &str, text: &str) -> Result<String, ServiceError> {
        if !self.reads {
            return Ok(text.to_string());
        }
        let (text, tags) = lora_tags(text).map_err(|reason| ServiceError::field(field, reason))?;
        for tag in tags {
            if !self.found.iter().any(|found| found.name == tag.name) {
                self.found.push(tag);
            }
        }
        Ok(text)
    }

    /// Every frame of a video is drawn with the same LoRAs.
    fn refuse_in(&self, keyframes: &Json) -> Result<(), ServiceError> {
        for (place, keyframe) in keyframes.as_array().into_iter().flatten().enumerate() {
            let text = keyframe["prompt"].as_str().unwrap_or_default();
            if self.reads && (text.contains("<lora:") || text.contains("<lyco:")) {
                let reason = "a LoRA belongs into the job's prompt or its loras";
                return Err(ServiceError::field(format!("keyframes[{place}].prompt"), reason));
            }
        }
        Ok(())
    }

    /// These after those that the request lists.
    fn with(self, listed: &Json) -> Json {
        if self.found.is_empty() {
            return listed.clone();
        }
        let mut all = match listed {
            Json::Array(listed) => listed.clone(),
            Json::Null => Vec::new(),
            wrong => return wrong.clone(),
        };
        all.extend(self.found.iter().map(WantedLora::describe));
        Json::Array(all)
    }
}
