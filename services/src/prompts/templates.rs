//! System prompts: from the prompt cache, else from `prompt_templates`, else built in.

use actors::content_rules::ContentRating;
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;

use crate::context::Context;
use crate::error::ServiceError;
use crate::rows::position;

/// A template that was found.
#[derive(Clone, Debug)]
pub struct Template {
    /// The row's id; null of what is no row.
    pub id: Json,
    /// Its name.
    pub name: String,
    /// Its text.
    pub system_prompt: String,
    /// Longest answer, in tokens.
    pub token_limit: Option<usize>,
    /// What else the row says.
    pub metadata: Json,
    /// `cache`, `database`, `override` or `built_in`.
    pub source: &'static str,
}

impl Template {
    /// Reads a row, of the cache or of the table.
    pub fn read(row: &Json, source: &'static str) -> Option<Template> {
        Some(Template {
            id: row["id"].clone(),
            name: row["template_name"].as_str().unwrap_or_default().to_string(),
            system_prompt: row["system_prompt"].as_str()?.to_string(),
            token_limit: row["token_limit"].as_u64().map(|limit| limit.clamp(1, 1 << 20) as usize),
            metadata: row["metadata"].clone(),
            source,
        })
    }

    fn built_in(name: &str, system_prompt: &str) -> Template {
        Template {
            id: Json::Null,
            name: name.into(),
            system_prompt: system_prompt.into(),
            token_limit: None,
            metadata: json!({}),
            source: "built_in",
        }
    }

    /// For answers: which template it was.
    pub fn describe(&self) -> Json {
        json!({"id": self.id, "name": self.name, "source": self.source})
    }
}

/// `config.promptCache`, or the older layout directly under `config`; `None` unless it is whole.
pub fn prompt_cache(config: &Json) -> Option<&Json> {
    let whole = |cache: &&Json| {
        cache["templateCache"].is_object()
            && cache["negativeCache"].is_object()
            && cache["metadata"].is_object()
    };
    [&config["promptCache"], config].into_iter().find(whole)
}

/// The use case of templates for conversations of a type.
fn chat_type(context_type: &str) -> &str {
    match context_type {
        context_type if context_type.contains("sdxl") || context_type.contains("conversion") => {
            "sdxl_conversion"
        }
        "story_development" | "creative" => "creative",
        "roleplay" | "character_roleplay" | "admin" => context_type,
        _ => "general",
    }
}

/// The template of a chat: the cache first, then the table, then the other rating's, then one of our own.
pub async fn chat(
    context: &Context,
    context_type: &str,
    tier: ContentRating,
) -> Result<Template, ServiceError> {
    let wanted = chat_type(context_type);
    let config = context.services.chat.engines().system_config().await?;
    if let Some(cache) = prompt_cache(&config) {
        let entries = &cache["templateCache"]["chat"][tier.name()];
        for kind in [wanted, "general", "chat"] {
            if let Some(template) = Template::read(&entries[kind], "cache") {
                return Ok(template);
            }
        }
    }
    for kind in [wanted, "general", "chat"] {
        let query = active().equal("use_case", Value::text(kind)).equal("job_type", Value::text("chat"));
        if let Some(template) = by_tier(context, query, tier).await? {
            return Ok(template);
        }
    }
    Ok(match wanted {
        "roleplay" | "character_roleplay" => Template::built_in("built-in roleplay", ROLEPLAY),
        _ => Template::built_in("built-in chat", GENERAL),
    })
}

/// The template of a roleplay with a model: one made for the model, else one for any.
pub async fn roleplay(context: &Context, model: &str, tier: ContentRating) -> Result<Template, ServiceError> {
    let base = || active().equal("use_case", Value::text("character_roleplay"));
    for target in [Value::text(model), Value::Null] {
        if let Some(template) = by_tier(context, base().equal("target_model", target), tier).await? {
            return Ok(template);
        }
    }
    Ok(Template::built_in("built-in roleplay", ROLEPLAY))
}

/// Active templates, the newest first.
pub fn active() -> Query {
    let query = Query::all(position("prompt_templates"));
    query.equal("is_active", Value::Bool(true)).order("updated_at", true).limit(1)
}

/// The first match in this tier, else in the other one; adults' templates are only for those who may have them.
pub async fn by_tier(
    context: &Context,
    query: Query,
    tier: ContentRating,
) -> Result<Option<Template>, ServiceError> {
    let other = if tier == ContentRating::Nsfw { ContentRating::Sfw } else { ContentRating::Nsfw };
    for tier in [tier, other] {
        if tier == ContentRating::Nsfw && !context.may_have_nsfw()? {
            continue;
        }
        let found = context.rows(query.clone().equal("content_mode", Value::text(tier.name()))).await?;
        if let Some(template) = found.first().and_then(|row| Template::read(row, "database")) {
            return Ok(Some(template));
        }
    }
    Ok(None)
}

/// A template by use case, whatever its other keys.
pub async fn of_use_case(
    context: &Context,
    use_case: &str,
    tier: ContentRating,
    otherwise: &str,
) -> Result<Template, ServiceError> {
    let found = by_tier(context, active().equal("use_case", Value::text(use_case)), tier).await?;
    Ok(found.unwrap_or_else(|| Template::built_in(&format!("built-in {use_case}"), otherwise)))
}

/// When the table is empty.
const GENERAL: &str = "You are a friendly, attentive companion. Answer clearly and kindly, ask when something is unclear, and say so when you do not know.";
/// When the table is empty.
const ROLEPLAY: &str = "You are {{character_name}}. Stay in character, speak only for {{character_name}}, and never speak for the user.\n{{character_description}}\n{{character_personality}}\nWay of speaking: {{character_speaking_style}}\n{{scene_context}}";
