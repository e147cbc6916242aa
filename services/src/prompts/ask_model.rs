//! One question to a model, answered whole: as text, or as JSON that follows a schema.

use actors::language::{CallOf, Chosen, Completion};
use language::{ChatMessage, Role, Sampling};
use models::value_words::shown_text;
use serde_json::Value as Json;

use crate::context::Context;
use crate::error::{Kind, ServiceError};

/// A question.
pub struct Question<'q> {
    /// What it is for: the function's name, for the count of calls.
    pub purpose: &'static str,
    /// The system prompt.
    pub system: &'q str,
    /// The question itself.
    pub user: &'q str,
    /// A picture to look at.
    pub image: Option<String>,
    /// Longest answer, in tokens.
    pub max_tokens: usize,
    /// How freely it is answered.
    pub temperature: f32,
}

impl<'q> Question<'q> {
    /// A question without a picture.
    pub fn new(purpose: &'static str, system: &'q str, user: &'q str, max_tokens: usize) -> Question<'q> {
        Question { purpose, system, user, image: None, max_tokens, temperature: 0.7 }
    }
}

/// Who asks, for the fairness of queues.
fn asker(context: &Context) -> String {
    context.claims.user_id.map_or_else(|| context.claims.role.name().to_string(), |user| user.to_string())
}

/// Cuts a text so that it takes at most a share of what the model holds.
fn within(chosen: &Chosen, text: &str, share: usize) -> String {
    let room = (chosen.context_tokens / share).max(16);
    let mut text = text.to_string();
    while chosen.count_tokens(&text) > room {
        let chars = text.chars().count();
        text = text.chars().take(chars * 4 / 5).collect();
    }
    text
}

/// As much of a question as the model is given: a quarter of what it holds.
pub fn room_for(chosen: &Chosen, text: &str) -> String {
    within(chosen, text, 4)
}

/// An answer, and who gave it.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was said.
    pub said: T,
    /// The model that said it; another one than the chosen one may have stood in.
    pub model: String,
}

/// The answer as text.
pub async fn text(
    context: &Context,
    chosen: &Chosen,
    question: Question<'_>,
) -> Result<Answer<String>, ServiceError> {
    answer(context, chosen, question, None).await
}

/// The answer as an object with the schema's members; an error `UNUSABLE_ANSWER` when the model gives none.
pub async fn object(
    context: &Context,
    chosen: &Chosen,
    question: Question<'_>,
    schema: Json,
) -> Result<Answer<Json>, ServiceError> {
    let Answer { said, model } = if chosen.provider == "local" {
        answer(context, chosen, question, Some(schema)).await?
    } else {
        // Not every remote server takes a schema, but each reads instructions.
        let system = format!(
            "{}\n\nAnswer with one JSON object and nothing else. It follows this JSON schema: {schema}",
            question.system
        );
        answer(context, chosen, Question { system: &system, ..question }, None).await?
    };
    let unusable =
        || ServiceError::new(Kind::Upstream, "the model gave no usable JSON").with("code", "UNUSABLE_ANSWER");
    let said = first_object(&said).ok_or_else(unusable)?;
    Ok(Answer { said, model })
}

async fn answer(
    context: &Context,
    chosen: &Chosen,
    question: Question<'_>,
    json_schema: Option<Json>,
) -> Result<Answer<String>, ServiceError> {
    let system = ChatMessage::new(Role::System, within(chosen, question.system, 4));
    let mut user = ChatMessage::new(Role::User, room_for(chosen, question.user));
    user.images.extend(question.image.map(Into::into));
    let completion = Completion {
        messages: vec![system, user],
        sampling: Sampling { temperature: question.temperature, top_p: 0.9, ..Sampling::default() },
        max_tokens: question.max_tokens,
        json_schema,
        user: asker(context),
        call: CallOf::new(context.claims.user_id, question.purpose),
    };
    let (text, outcome) = context.services.chat.engines().complete(chosen, completion).await?;
    Ok(Answer { said: text.trim().to_string(), model: chosen.answered(&outcome) })
}

/// The first JSON object in a text that may have words or fences around it.
fn first_object(text: &str) -> Option<Json> {
    for (at, _) in text.match_indices('{').take(20) {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Json>();
        if let Some(Ok(value)) = values.next()
            && value.is_object()
        {
            return Some(value);
        }
    }
    None
}

/// The texts of a list; empty for anything else.
pub fn texts(value: &Json, max: usize) -> Vec<String> {
    let items = value.as_array().into_iter().flatten().filter_map(Json::as_str);
    items.map(|item| item.trim().to_string()).filter(|item| !item.is_empty()).take(max).collect()
}

/// Says that another model answers than the one that was named, where that one is not there.
pub fn stand_in(field: &str, named: Option<&str>, chosen: &Chosen) -> Option<String> {
    let named = named.map(str::trim).filter(|named| !matches!(*named, "" | "default"))?;
    let named = shown_text(named);
    chosen.fell_back.then(|| format!("{field}: {named} does not answer here, so {} does", chosen.full_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_found_among_words() {
        assert_eq!(first_object("Here: ```json\n{\"a\": [1]}\n``` done"), Some(json!({"a": [1]})));
        assert_eq!(first_object("{oops {\"a\": 1}"), Some(json!({"a": 1})));
        assert_eq!(first_object("none"), None);
        assert_eq!(first_object(&"{".repeat(100_000)), None);
    }
}
