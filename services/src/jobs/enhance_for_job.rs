//! Prompt enhancement inside queue-job.

use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::jobs::job_request::JobRequest;
use crate::prompts::enhance_prompt::{Enhanced, EnhancedPrompt, FAILED, enhance};
use crate::prompts::enhance_request::EnhanceRequest;

/// What became of the prompt of a job.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// The enhanced prompt.
    pub prompt: Option<String>,
    /// The name of the template that made it, or of the way that was taken.
    pub template_name: Option<String>,
    /// Which way was taken.
    pub strategy: Option<String>,
    /// How long a model took for it, in milliseconds.
    pub ms: Option<i64>,
}

impl Made {
    /// What the request brings along.
    pub(crate) fn given(prompt: &str) -> Made {
        Made { prompt: Some(prompt.into()), ..Made::default() }
    }

    /// A way without a template.
    pub(crate) fn named(prompt: Option<String>, way: &str) -> Made {
        Made { prompt, template_name: Some(way.into()), strategy: Some(way.into()), ms: None }
    }

    fn after(self, started: Instant) -> Made {
        Made { ms: i64::try_from(started.elapsed().as_millis()).ok(), ..self }
    }
}

/// The enhanced prompt of a job from text. A job whose caller did not ask for enhancement keeps its prompt; so does one
/// whose enhancement fails, with the reason in the name.
pub(crate) async fn for_job(context: &Context, prompt: &str, request: &JobRequest) -> Made {
    let model = request.member("enhancement_model");
    if !request.flag("user_requested_enhancement")
        || request.flag("skip_enhancement")
        || model == Some("none")
    {
        return Made::default();
    }
    let member = |name: &str| request.member(name).unwrap_or_default().trim().to_string();
    let asked = EnhanceRequest {
        prompt: prompt.into(),
        job_type: request.job_type.clone(),
        enhancer: member("enhancement_model"),
        content_type: member("contentType"),
        metadata: Json::Object(request.metadata.clone()),
        temperature: request.enhancement_heat,
        max_tokens: request.enhancement_tokens,
        ..EnhanceRequest::default()
    };
    let started = Instant::now();
    match enhance(context, asked).await.map(enhanced) {
        Ok(Some(made)) => made.after(started),
        Ok(None) => Made::named(None, FAILED).after(started),
        // What may not be enhanced is refused by the job's own rules.
        Err(_) => Made::named(None, "enhancement_error").after(started),
    }
}

/// The prompt of a job that changes a picture: what is to change, with word that the rest stays. If that cannot be
/// made it is put together by hand, with the reason in the name.
pub(crate) async fn modify(context: &Context, prompt: &str, request: &JobRequest) -> Made {
    let mut metadata = Json::Object(request.metadata.clone());
    metadata["reference_mode"] = json!("modify");
    let asked = EnhanceRequest {
        prompt: prompt.into(),
        job_type: request.job_type.clone(),
        content_type: request.member("contentType").unwrap_or("sfw").into(),
        metadata,
        ..EnhanceRequest::default()
    };
    let started = Instant::now();
    let how = match enhance(context, asked).await.map(enhanced) {
        Ok(Some(made)) => return made.after(started),
        Ok(None) => "manual_compose_fallback",
        Err(_) => "manual_compose_error",
    };
    let base = request.member("originalEnhancedPrompt").unwrap_or("maintain the same subject");
    Made::named(Some(format!("{base}, {prompt}")), how).after(started)
}

/// What was made of a prompt; `None` if it failed.
fn enhanced(enhanced: Enhanced) -> Option<Made> {
    let Enhanced::Prompt(made) = enhanced else { return None };
    let EnhancedPrompt { prompt, strategy, template, .. } = *made;
    (strategy != FAILED).then(|| Made {
        prompt: Some(prompt),
        template_name: Some(template.unwrap_or_else(|| strategy.to_string())),
        strategy: Some(strategy.to_string()),
        ms: None,
    })
}
