//! A turn of a conversation, with or without a character.

use actors::content_rules::{self, ContentRating};
use actors::conversation::chat::{StoresSaid, Turn};
use actors::conversation::setting::Setting;
use actors::language::Wanted;
use models::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::conversations::turn::{PreparedTurn, TurnFacts, checked, memory_tier, or_default, sampling};
use crate::conversations::{participants, shown_pictures};
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::prompts::templates::{self, Template};

/// Messages of the history that go into the prompt, the new one not counted.
const HISTORY_MAX: u64 = 12;
/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Request {
    /// The conversation.
    pub conversation_id: Option<Uuid>,
    /// What the person says.
    pub message: Option<String>,
    /// Taken and not used.
    pub project_id: Option<Uuid>,
    /// Who answers; the conversation's own character otherwise.
    pub character_id: Option<Uuid>,
    /// Who the person plays; the conversation's own persona otherwise.
    pub user_character_id: Option<Uuid>,
    /// `sfw` or `nsfw`.
    pub content_tier: Option<String>,
    /// How to write.
    #[serde(deserialize_with = "or_default")]
    pub roleplay_settings: Settings,
    /// Others who are there: ids, or objects that have one.
    #[serde(deserialize_with = "or_default")]
    pub participants: Vec<Json>,
    /// Whether the reply may be twice as long.
    #[serde(deserialize_with = "or_default")]
    pub long_response: bool,
    /// Which model, where `model_variant` does not say.
    pub model_provider: Option<String>,
    /// Which model.
    pub model_variant: Option<String>,
    /// What the turn is about.
    pub context_type: Option<String>,
    /// Which template.
    pub prompt_template_id: Option<Uuid>,
    /// A system prompt in place of a template.
    pub system_prompt_override: Option<String>,
    /// Where it is.
    pub scene_context: Option<String>,
    /// The seed of the reply.
    #[serde(deserialize_with = "crate::seed::or_random")]
    pub seed: Option<u64>,
    /// Longest reply, in tokens.
    pub max_tokens: Option<usize>,
    /// Whether the answer is a stream of events; for dialects.
    pub stream: Option<bool>,
}

impl Request {
    /// The model that is named, and the field that names it.
    pub fn named_model(&self) -> Option<(&'static str, &str)> {
        [("model_variant", &self.model_variant), ("model_provider", &self.model_provider)]
            .into_iter()
            .find_map(|(field, name)| Some((field, name.as_deref().filter(|name| !name.trim().is_empty())?)))
    }
}

/// How to write.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Settings {
    /// `casual`, `immersive` or `detailed`.
    #[serde(rename = "responseStyle")]
    pub response_style: Option<String>,
    /// `short`, `medium` or `long`.
    #[serde(rename = "responseLength")]
    pub response_length: Option<String>,
    /// Taken and not used.
    #[serde(rename = "enhancementModel")]
    pub enhancement_model: Option<String>,
}

/// Everything that a turn needs; refuses what may not be.
pub async fn prepare(context: &Context, request: Request) -> Result<PreparedTurn, ServiceError> {
    let id = request.conversation_id.ok_or_else(|| ServiceError::missing(&["conversation_id"]))?;
    let conversation = participants::conversation(context, id).await?;
    let user_id = participants::owner(&conversation)?;
    let tier = age_gate::rating(context, "content_tier", request.content_tier.as_deref())?;
    let said = checked(tier, request.message.clone())?;
    let character = request.character_id.or_else(|| uuid(&conversation["character_id"]));
    let context_type = context_type(&request, character, said.as_deref());
    let template = template(context, &request, &context_type, tier).await?;
    let mut setting = Setting {
        template: (template.name.clone(), template.system_prompt.clone()),
        template_source: template.describe(),
        user_name: participants::user_name(context, user_id)?,
        style: style(&request),
        scene: request.scene_context.iter().map(|scene| format!("Scene: {scene}")).collect(),
        ..Setting::default()
    };
    if let Some(character) = character.filter(|_| context_type == "character_roleplay") {
        participants::enter(context, &mut setting, character)?;
        let others: Vec<Uuid> = request.participants.iter().filter_map(participants::id_of).collect();
        setting.participants = participants::characters(context, &others)?
            .into_iter()
            .filter(|other| other.id != character)
            .collect();
        let persona = request.user_character_id.or_else(|| uuid(&conversation["user_character_id"]));
        setting.persona = persona.map(|id| participants::character(context, id)).transpose()?;
        setting.style.push(setting.speaker_style().into());
    }
    setting.admit(tier, context.may_have_nsfw()?)?;
    if let Some(text) = &request.system_prompt_override {
        content_rules::check(tier, "system_prompt_override", text)?;
    }
    let name = request.named_model().map(|(_, name)| name);
    let chosen =
        context.services.chat.engines().choose(Wanted { name, task: "roleplay", strict: false }).await?;
    let limit = if request.long_response { 4096 } else { 2048 };
    let max_tokens = request.max_tokens.or(chosen.says.max_tokens).unwrap_or(limit).clamp(1, limit);
    let shown = shown_pictures::read(context, id, said.as_deref(), &chosen, tier).await?;
    let turn = Turn {
        claims: context.claims.clone(),
        user_id,
        conversation_id: id,
        said,
        stores_said: StoresSaid::Always,
        replaces: None,
        message_type: "text".into(),
        tier,
        sampling: chosen.says.over(sampling(tier)),
        max_tokens,
        seed: request.seed,
        history_max: HISTORY_MAX,
        memory_tier: memory_tier(&conversation),
        is_short: false,
        takes_over: setting.character.as_ref().map(|character| character.id),
        pictures: shown.pictures,
        chosen,
        setting,
        asked: json!({"function": "playground-chat", "body": request}),
    };
    Ok(PreparedTurn {
        turn,
        facts: TurnFacts::Playground { context_type, template: Box::new(template), warnings: shown.warnings },
    })
}

/// What the turn is about: a character makes it a roleplay, some words ask for a picture's prompt.
fn context_type(request: &Request, character: Option<Uuid>, said: Option<&str>) -> String {
    let said = said.unwrap_or_default();
    let lower = said.to_lowercase();
    if said.contains("[SCENE_GENERATION]") || said.contains("[SCENE_NARRATIVE]") {
        return "scene_narrative".into();
    }
    if request.character_id.is_some() {
        return "character_roleplay".into();
    }
    let given = request.context_type.as_deref().filter(|given| !given.is_empty());
    if let Some(given) = given {
        return given.to_string();
    }
    if character.is_some() {
        return "character_roleplay".into();
    }
    let converts = |word: &str| matches!(word, "sdxl" | "lustify" | "convert" | "prompt" | "optimize");
    if lower.split(|letter: char| !letter.is_alphanumeric()).any(converts) {
        return "sdxl_conversion".into();
    }
    "general".into()
}

async fn template(
    context: &Context,
    request: &Request,
    context_type: &str,
    tier: ContentRating,
) -> Result<Template, ServiceError> {
    if let Some(text) = request.system_prompt_override.as_deref().filter(|text| !text.trim().is_empty()) {
        let row = json!({"template_name": "override", "system_prompt": text});
        return Template::read(&row, "override").ok_or_else(|| ServiceError::bad("system_prompt_override"));
    }
    if let Some(id) = request.prompt_template_id.filter(|_| context_type != "character_roleplay") {
        let row = context.row("prompt_templates", id).await?;
        let admitted = row.filter(|row| {
            row["is_active"] == Json::Bool(true)
                && (row["content_mode"] == "sfw" || tier == ContentRating::Nsfw)
        });
        let found = admitted.and_then(|row| Template::read(&row, "database"));
        return found.ok_or_else(|| {
            ServiceError::not_found("no such active template").of_field("prompt_template_id")
        });
    }
    if context_type == "scene_narrative" {
        let query = templates::active().equal("use_case", Value::text("scene_narrative"));
        if let Some(template) = templates::by_tier(context, query, tier).await? {
            return Ok(template);
        }
    }
    templates::chat(context, context_type, tier).await
}

/// Guidance on style and length.
fn style(request: &Request) -> Vec<String> {
    let mut style = Vec::new();
    match request.roleplay_settings.response_style.as_deref() {
        Some("casual") => style.push("Write casually, as in a chat between friends."),
        Some("immersive") => style.push("Write immersively: senses, gestures and surroundings."),
        Some("detailed") => style.push("Write in detail, with thoughts and actions."),
        _ => {}
    }
    match request.roleplay_settings.response_length.as_deref() {
        Some("short") => style.push("Answer in one to three sentences."),
        Some("medium") => style.push("Answer in one or two paragraphs."),
        Some("long") => style.push("Answer in three or more paragraphs."),
        _ => {}
    }
    style.into_iter().map(str::to_string).collect()
}
