//! playground-chat: one turn of a conversation, with or without a character.

use actors::content_rules::{self, ContentRating};
use actors::conversation::chat::{ReplyOutcome, Turn};
use actors::conversation::history::MemoryTier;
use actors::conversation::setting::Setting;
use actors::language::Wanted;
use language::Sampling;
use models::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::chat_answer::{self, Body};
use crate::functions::call::{Call, Outcome};
use crate::functions::cast;
use crate::functions::error::FunctionError;
use crate::functions::templates::{self, Template};

/// The messages told again, the new one not counted.
const HISTORY_MAX: u64 = 12;
/// Longest message, in characters.
pub(crate) const MESSAGE_CHARS_MAX: usize = 32_000;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Request {
    pub conversation_id: Option<Uuid>,
    pub message: Option<String>,
    pub project_id: Option<Uuid>,
    pub character_id: Option<Uuid>,
    pub user_character_id: Option<Uuid>,
    pub content_tier: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub roleplay_settings: Settings,
    #[serde(deserialize_with = "or_default")]
    pub participants: Vec<Json>,
    #[serde(deserialize_with = "or_default")]
    pub long_response: bool,
    pub model_provider: Option<String>,
    pub model_variant: Option<String>,
    pub context_type: Option<String>,
    pub prompt_template_id: Option<Uuid>,
    pub system_prompt_override: Option<String>,
    pub scene_context: Option<String>,
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    pub stream: Option<bool>,
}

/// Clients send null for what they do not set.
pub(crate) fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// How to write.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Settings {
    #[serde(rename = "responseStyle")]
    pub response_style: Option<String>,
    #[serde(rename = "responseLength")]
    pub response_length: Option<String>,
    #[serde(rename = "enhancementModel")]
    pub enhancement_model: Option<String>,
}

/// A turn and how it is answered.
pub(crate) struct Prepared {
    pub turn: Turn,
    pub body: Body,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    if request.message.as_deref().is_none_or(|message| message.trim().is_empty()) {
        return Err(FunctionError::bad("message is required").with("success", false));
    }
    let prepared = prepare(&call, request).await?;
    let running = call.app.chat.turn(prepared.turn).await?;
    chat_answer::answer(running, events, prepared.body).await
}

/// Everything that a turn needs; refuses what may not be.
pub(crate) async fn prepare(call: &Call, request: Request) -> Result<Prepared, FunctionError> {
    let id = request.conversation_id.ok_or_else(|| FunctionError::bad("conversation_id is required"))?;
    let conversation = cast::conversation(call, id).await?;
    let user_id = cast::owner(&conversation)?;
    let tier = cast::tier(call, request.content_tier.as_deref())?;
    let said = checked(tier, request.message.clone())?;
    let character = request.character_id.or_else(|| cast::uuid(&conversation["character_id"]));
    let context = context(&request, character, said.as_deref());
    let template = template(call, &request, &context, tier).await?;
    let mut setting = Setting {
        template: (template.name.clone(), template.system_prompt.clone()),
        template_source: template.describe(),
        user_name: cast::user_name(call, user_id).await?,
        style: style(&request, character.is_some()),
        scene: request.scene_context.iter().map(|scene| format!("Scene: {scene}")).collect(),
        ..Setting::default()
    };
    if let Some(character) = character.filter(|_| context == "character_roleplay") {
        cast::enter(call, &mut setting, character)?;
        let others: Vec<Uuid> = request.participants.iter().filter_map(participant).collect();
        setting.participants =
            cast::characters(call, &others)?.into_iter().filter(|other| other.id != character).collect();
        let persona = request.user_character_id.or_else(|| cast::uuid(&conversation["user_character_id"]));
        setting.persona = persona.map(|id| cast::character(call, id)).transpose()?;
    }
    setting.admit(tier, call.may_have_nsfw()?)?;
    if let Some(text) = &request.system_prompt_override {
        content_rules::check(tier, "system_prompt_override", text)?;
    }
    let wanted = request.model_variant.as_deref().filter(|name| !name.is_empty());
    let wanted = wanted.or(request.model_provider.as_deref());
    let chosen =
        call.app.chat.engines().choose(Wanted { name: wanted, task: "roleplay", strict: true }).await?;
    let limit = if request.long_response { 4096 } else { 2048 };
    let turn = Turn {
        claims: call.claims.clone(),
        user_id,
        conversation_id: id,
        said,
        stores_said: true,
        replaces: None,
        message_type: "text".into(),
        tier,
        sampling: sampling(tier),
        max_tokens: request.max_tokens.unwrap_or(limit).clamp(1, limit),
        seed: request.seed,
        history_max: HISTORY_MAX,
        memory_tier: memory_tier(&conversation),
        is_short: false,
        takes_over: setting.character.as_ref().map(|character| character.id),
        chosen,
        setting,
        asked: json!({"function": "playground-chat", "body": request}),
    };
    let body = body(&turn, context, template);
    Ok(Prepared { turn, body })
}

/// How far a conversation's memory reaches.
pub(crate) fn memory_tier(conversation: &Json) -> MemoryTier {
    conversation["memory_tier"].as_str().and_then(MemoryTier::parse).unwrap_or(MemoryTier::Conversation)
}

/// What is said, if it may be.
pub(crate) fn checked(tier: ContentRating, message: Option<String>) -> Result<Option<String>, FunctionError> {
    let Some(message) = message.filter(|message| !message.trim().is_empty()) else { return Ok(None) };
    if message.chars().count() > MESSAGE_CHARS_MAX {
        return Err(FunctionError::bad(format!("message: at most {MESSAGE_CHARS_MAX} characters")));
    }
    content_rules::check(tier, "the message", &message)?;
    Ok(Some(message))
}

/// How freely a conversation is continued.
pub(crate) fn sampling(tier: ContentRating) -> Sampling {
    Sampling {
        temperature: if tier == ContentRating::Nsfw { 0.95 } else { 0.8 },
        top_p: 0.95,
        presence_penalty: 0.6,
        frequency_penalty: 0.25,
        ..Sampling::default()
    }
}

fn participant(value: &Json) -> Option<Uuid> {
    cast::uuid(value).or_else(|| cast::uuid(&value["id"])).or_else(|| cast::uuid(&value["character_id"]))
}

/// What the turn is about: a character makes it a roleplay, some words ask for a picture's prompt.
fn context(request: &Request, character: Option<Uuid>, said: Option<&str>) -> String {
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
    call: &Call,
    request: &Request,
    context: &str,
    tier: ContentRating,
) -> Result<Template, FunctionError> {
    if let Some(text) = request.system_prompt_override.as_deref().filter(|text| !text.trim().is_empty()) {
        let row = json!({"template_name": "override", "system_prompt": text});
        return Template::read(&row, "override").ok_or_else(|| FunctionError::bad("system_prompt_override"));
    }
    if let Some(id) = request.prompt_template_id.filter(|_| context != "character_roleplay") {
        let row = call.row("prompt_templates", id).await?;
        let admitted = row.filter(|row| {
            row["is_active"] == Json::Bool(true)
                && (row["content_mode"] == "sfw" || tier == ContentRating::Nsfw)
        });
        let found = admitted.and_then(|row| Template::read(&row, "database"));
        return found.ok_or_else(|| FunctionError::not_found("prompt_template_id: no such active template"));
    }
    if context == "scene_narrative" {
        let query = templates::active().equal("use_case", Value::text("scene_narrative"));
        if let Some(template) = templates::by_tier(call, query, tier).await? {
            return Ok(template);
        }
    }
    templates::chat(call, context, tier).await
}

/// Guidance on style and length, and how a roleplay is written down.
fn style(request: &Request, is_roleplay: bool) -> Vec<String> {
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
    if is_roleplay {
        style.push(
            "Write each speaker as a block that begins with **Name:** or **Narrator:**. Never write what the user \
             says or does, and use no emojis.",
        );
    }
    style.into_iter().map(str::to_string).collect()
}

fn body(turn: &Turn, context: String, template: Template) -> Body {
    let started = std::time::Instant::now();
    let (conversation, tier) = (turn.conversation_id, turn.tier);
    let (provider, model) = (turn.chosen.provider.clone(), turn.chosen.full_name());
    let fell_back = turn.chosen.fell_back;
    Box::new(move |ended: &ReplyOutcome| {
        json!({
            "success": true,
            "response": ended.response,
            "conversation_id": conversation,
            "generation_time": started.elapsed().as_millis() as u64,
            "context_type": context,
            "content_tier": tier.name(),
            "nsfw_enforce": tier == ContentRating::Nsfw,
            "template_meta": template.describe(),
            "prompt_template_name": template.name,
            "enforcement_diagnostics": {"content_tier": tier.name(), "template_source": template.source},
            "model_provider": provider,
            "model_used": used(ended, &provider, &model),
            "usedFallback": fell_back,
        })
    })
}

/// Who answered in the end: another server may have stood in.
pub(crate) fn used(ended: &ReplyOutcome, provider: &str, model: &str) -> String {
    match &ended.engine {
        Some(engine) if provider != "local" && provider != "chat_worker" => engine.clone(),
        _ => model.to_string(),
    }
}
