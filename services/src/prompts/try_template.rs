//! What a template comes to: a text is given to a model with it, and nothing is kept.

use actors::content_rules;
use actors::language::Wanted;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::ask_model::{self, Answer, Question};
use super::templates::Template;
use crate::age_gate;
use crate::context::Context;
use crate::error::ServiceError;

/// Longest template and text, in characters.
const CHARS_MAX: usize = 20_000;
/// Longest answer, in tokens; a template may say less.
const TOKENS_MAX: usize = 600;

/// What is to be tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial<'t> {
    /// The row.
    pub template_id: Option<Uuid>,
    /// Words in place of the row's own, not kept yet.
    pub system_prompt: Option<&'t str>,
    /// What it is given.
    pub text: &'t str,
    /// The model.
    pub model: Option<&'t str>,
    /// `sfw` or `nsfw`.
    pub content_mode: Option<&'t str>,
}

/// Tries it; answers with what the model says, and what the caller should know.
pub async fn attempt(context: &Context, trial: Trial<'_>) -> Result<(Json, Vec<String>), ServiceError> {
    for (field, text) in [("text", Some(trial.text)), ("system_prompt", trial.system_prompt)] {
        if text.is_some_and(|text| text.chars().count() > CHARS_MAX) {
            return Err(ServiceError::field(field, format!("longer than {CHARS_MAX} characters")));
        }
    }
    let stored = match trial.template_id {
        Some(id) => {
            let missing = || ServiceError::field("template_id", "there is no such template");
            let row = context.row("prompt_templates", id).await?.ok_or_else(missing)?;
            Some(Template::read(&row, "database").ok_or_else(missing)?)
        }
        None => None,
    };
    let words = trial.system_prompt.filter(|words| !words.trim().is_empty());
    let words = words.or(stored.as_ref().map(|template| template.system_prompt.as_str()));
    let words = words.ok_or_else(|| ServiceError::missing_one_of(&["template_id", "system_prompt"]))?;
    let tier = age_gate::rating(context, "content_mode", trial.content_mode)?;
    content_rules::check(tier, "the text", trial.text)?;
    let wanted = Wanted { name: trial.model, task: "enhancement", strict: false };
    let chosen = context.services.chat.engines().choose(wanted).await?;
    let warnings = ask_model::stand_in("model", trial.model, &chosen).into_iter().collect();
    let limit = stored.as_ref().and_then(|template| template.token_limit).unwrap_or(TOKENS_MAX);
    let question = Question::new("try-template", words, trial.text, limit.min(TOKENS_MAX));
    let Answer { said, model } = ask_model::text(context, &chosen, question).await?;
    content_rules::check(tier.of_own_words(), "the answer", &said)?;
    let tokens = |text: &str| chosen.count_tokens(text);
    let answer = json!({
        "success": true, "answer": said, "model_used": model,
        "tokens": {"template": tokens(words), "text": tokens(trial.text), "answer": tokens(&said)},
    });
    Ok((answer, warnings))
}
