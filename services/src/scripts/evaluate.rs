//! A model judges a script: four marks and feedback in words.

use actors::character::card_rating::check_long;
use actors::content_rules::ContentRating;
use actors::language::{Chosen, Wanted};
use actors::script::evaluate_script::EvaluateScript;
use actors::script::evaluation::Scores;
use actors::script::status::{Given, Status, judge};
use serde_json::Value as Json;
use store::StoreError;
use uuid::Uuid;

use super::find;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::prompts::ask_model::{self, Question};
use crate::prompts::templates;

const JUDGE: &str = "You judge scripts for short films. Give each of coherence, storytelling, character_consistency and \
     video_suitability a whole number from 0 (unusable) to 100 (excellent), and say in a few sentences of feedback what is \
     good and what to change. Answer as JSON.";
/// Longest answer, in tokens.
const ANSWER_TOKENS: usize = 400;
/// Longest feedback that is kept, in characters.
const FEEDBACK_CHARS_MAX: usize = 4000;

/// How a script was judged.
#[derive(Debug)]
pub struct Judged {
    /// The script as stored.
    pub script: Json,
    /// The marks.
    pub scores: Scores,
    /// Who judged.
    pub model: String,
    /// What the caller is to learn.
    pub warnings: Vec<String>,
}

/// Judges a script of the caller.
pub async fn evaluate(
    context: &Context,
    id: Uuid,
    model: Option<&str>,
    tier: ContentRating,
) -> Result<Judged, ServiceError> {
    let script = find::script(context, id)?;
    let from = Status::read(script["status"].as_str(), script["evaluation_score"].is_i64());
    let whole = Given { evaluation: true, score: true };
    judge(from.unwrap_or(Status::Draft), Status::Evaluated, whole).map_err(StoreError::from)?;
    let text = script["script"].as_str().unwrap_or_default().to_string();
    if text.trim().is_empty() {
        return Err(ServiceError::field("script", "the script has no text that could be judged"));
    }
    check_long(tier, "the script", &text)?;
    let wanted = Wanted { name: model, task: "reasoning", strict: false };
    let chosen = context.services.chat.engines().choose(wanted).await?;
    let template = templates::of_use_case(context, "script_evaluation", tier, JUDGE).await?;
    let mut warnings: Vec<String> = ask_model::stand_in("model", model, &chosen).into_iter().collect();
    let style = script["script_style"].as_str().unwrap_or_default();
    let user = format!("Style: {style}\n\n{text}");
    warnings.extend(cut(&chosen, &user, "script"));
    let mut question = Question::new("evaluate-script", &template.system_prompt, &user, ANSWER_TOKENS);
    question.temperature = 0.2;
    let made = ask_model::object(context, &chosen, question, Scores::schema()).await?;
    let unusable = |reason: String| ServiceError::new(Kind::Upstream, reason).with("code", "UNUSABLE_ANSWER");
    let scores =
        Scores::read(&made.said).map_err(|reason| unusable(format!("the model's answer: {reason}")))?;
    let feedback: String =
        made.said["feedback"].as_str().unwrap_or_default().trim().chars().take(FEEDBACK_CHARS_MAX).collect();
    if feedback.is_empty() {
        return Err(unusable("the model gave marks and no feedback".into()));
    }
    check_long(tier.of_own_words(), "the feedback", &feedback)?;
    let decision = EvaluateScript { id, text, scores, feedback, model: made.model.clone() };
    let missing = || ServiceError::not_found("Script not found");
    context.ask(decision).await?.ok_or_else(missing)?;
    let script = find::script(context, id)?;
    Ok(Judged { script, scores, model: made.model, warnings })
}

/// Says how much of a text the model has room for, where that is not all of it.
pub(super) fn cut(chosen: &Chosen, text: &str, field: &str) -> Option<String> {
    let (whole, read) = (text.chars().count(), ask_model::room_for(chosen, text).chars().count());
    (read < whole).then(|| {
        let model = chosen.full_name();
        format!("{field}: {model} has room for the first {read} of {whole} characters, the rest was not read")
    })
}
