//! A prompt for pictures or clips, made richer by a model and a template.

use actors::content_rules::{self, ContentRating};
use models::Value;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::prompts::ask_model::{self, Answer, Question};
use crate::prompts::enhance_request::{EnhanceRequest, enhancer, target};
use crate::prompts::enhance_scene::{self, EnhancedScene, EnhancedStarters};
use crate::prompts::templates::{self, Template};

/// What an enhancement that failed is called.
pub const FAILED: &str = "enhancement_failed";

/// What came of an enhancement.
#[derive(Debug)]
pub enum Enhanced {
    /// A prompt.
    Prompt(Box<EnhancedPrompt>),
    /// A scene.
    Scene(Box<EnhancedScene>),
    /// Lines to begin a scene with.
    Starters(EnhancedStarters),
}

/// A prompt that was enhanced, or is as it was, with the reason in `strategy`.
#[derive(Debug)]
pub struct EnhancedPrompt {
    /// What was asked, with defaults in their places.
    pub request: EnhanceRequest,
    /// The prompt.
    pub prompt: String,
    /// How it came to be; [`FAILED`] where it could not be enhanced.
    pub strategy: &'static str,
    /// The template.
    pub template: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Its rating.
    pub rating: ContentRating,
    /// Whether it was cut.
    pub is_cut: bool,
    /// Whether the template came from the prompt cache.
    pub from_cache: bool,
    /// About so many tokens it is, for picture models.
    pub tokens: usize,
    /// Why it could not be enhanced, where it is as it was.
    pub problem: Option<String>,
}

/// Enhances a prompt, or what a request names instead.
pub async fn enhance(context: &Context, mut request: EnhanceRequest) -> Result<Enhanced, ServiceError> {
    let rating = request.settle(context).await?;
    match request.content_type.as_str() {
        "scene_creation" => {
            let scene = enhance_scene::create(context, &request, rating).await?;
            return Ok(Enhanced::Scene(Box::new(scene)));
        }
        "scene_starters" => {
            return enhance_scene::starters(context, &request, rating).await.map(Enhanced::Starters);
        }
        _ => {}
    }
    let done = |prompt: String, strategy, template: Option<&str>| EnhancedPrompt {
        tokens: token_count(&prompt),
        prompt,
        strategy,
        template: template.map(str::to_string),
        model: None,
        rating,
        is_cut: false,
        from_cache: false,
        problem: None,
        request: request.clone(),
    };
    if request.metadata["reference_mode"] == "modify" {
        let prompt = format!("maintain the same subject; {}", request.prompt);
        return Ok(Enhanced::Prompt(Box::new(done(prompt, "modify_flow", Some("modify_flow")))));
    }
    let Some(template) = template(context, &request, rating).await? else {
        let same = done(request.prompt.clone(), "no_template_available", None);
        let problem = Some("there is no active template for this kind of prompt".into());
        return Ok(Enhanced::Prompt(Box::new(EnhancedPrompt { problem, ..same })));
    };
    let from_cache = template.source == "cache";
    let (prompt, model, problem) = match rewrite(context, &request, &template).await {
        Ok(Answer { said, model }) => (said, Some(model), None),
        Err(error) => {
            // A prompt that is not enhanced is still a prompt.
            tracing::warn!(%error, "a prompt could not be enhanced");
            (request.prompt.clone(), None, Some(error.to_string()))
        }
    };
    content_rules::check(rating.of_own_words(), "the enhanced prompt", &prompt)?;
    let strategy = match (&model, from_cache) {
        (None, _) => FAILED,
        (Some(_), true) => "template_cached",
        (Some(_), false) => "template_db",
    };
    let (prompt, is_cut) = trim(&prompt, template.token_limit.unwrap_or(512));
    let enhanced = done(prompt, strategy, Some(&template.name));
    Ok(Enhanced::Prompt(Box::new(EnhancedPrompt { model, is_cut, from_cache, problem, ..enhanced })))
}

async fn template(
    context: &Context,
    request: &EnhanceRequest,
    rating: ContentRating,
) -> Result<Option<Template>, ServiceError> {
    let model = match request.model_id {
        Some(id) => context.row("api_models", id).await?,
        None => None,
    };
    let model_key = model.as_ref().and_then(|row| row["model_key"].as_str());
    let (category, wanted) = target(request, model_key);
    let (_, family) = target(request, None);
    let config = context.services.chat.engines().system_config().await?;
    for key in [&wanted, &family] {
        if let Some(cache) = templates::prompt_cache(&config) {
            let entry = &cache["templateCache"]["enhancement"][key][category]["enhancement"][rating.name()];
            if let Some(template) = Template::read(entry, "cache") {
                return Ok(Some(template));
            }
        }
        let query = || {
            let query = templates::active().equal("use_case", Value::text("enhancement"));
            query.equal("job_type", Value::text(category)).equal("target_model", Value::text(key))
        };
        if let Some(enhancer) = request.enhancer() {
            let own = query().equal("enhancer_model", Value::text(enhancer));
            if let Some(template) = templates::by_tier(context, own, rating).await? {
                return Ok(Some(template));
            }
        }
        if let Some(template) = templates::by_tier(context, query(), rating).await? {
            return Ok(Some(template));
        }
    }
    Ok(None)
}

async fn rewrite(
    context: &Context,
    request: &EnhanceRequest,
    template: &Template,
) -> Result<Answer<String>, ServiceError> {
    let chosen = enhancer(context, request).await?;
    let limit = template.token_limit.unwrap_or(2000);
    let limit = request.max_tokens.unwrap_or(limit).min(2000);
    let mut question = Question::new("enhance-prompt", &template.system_prompt, &request.prompt, limit);
    question.temperature = request.temperature.unwrap_or(question.temperature);
    let answer = ask_model::text(context, &chosen, question).await?;
    if answer.said.is_empty() {
        return Err(ServiceError::new(Kind::Upstream, "the model said nothing"));
    }
    Ok(answer)
}

/// About so many tokens a text is, for picture models.
fn token_count(text: &str) -> usize {
    (text.chars().count() as f64 / 4.2).ceil() as usize
}

/// Cuts a prompt to a limit, at a comma, a period or a space if one is near.
fn trim(prompt: &str, limit: usize) -> (String, bool) {
    if token_count(prompt) <= limit {
        return (prompt.to_string(), false);
    }
    let room = limit * 4;
    let cut: String = prompt.chars().take(room).collect();
    let at = |marks: &[char], share: usize| {
        let position = cut.rfind(marks)?;
        (cut[..position].chars().count() * 100 > room * share).then_some(position)
    };
    let end = at(&[',', '.'], 80).or_else(|| at(&[' '], 90)).unwrap_or(cut.len());
    (cut[..end].trim().to_string(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_cut_at_a_mark_that_is_near() {
        let long = "a lighthouse in the mist, ".repeat(20);
        let (short, was_cut) = trim(&long, 20);
        assert!(was_cut && short.chars().count() <= 80 && short.ends_with("mist"), "{short}");
        assert_eq!(trim("short", 25), ("short".to_string(), false));
        let (word, _) = trim(&"é".repeat(300), 10);
        assert_eq!(word.chars().count(), 40);
    }
}
