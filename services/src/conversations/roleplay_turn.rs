//! A turn of a roleplay; the client stores what the person says.

use actors::content_rules;
use actors::conversation::chat::Turn;
use actors::conversation::history::MemoryTier;
use actors::conversation::setting::Setting;
use actors::language::Wanted;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::conversations::participants;
use crate::conversations::turn::{PreparedTurn, TurnFacts, checked, or_default, sampling};
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::prompts::templates;

/// Messages of the history that go into the prompt.
const HISTORY_MAX: u64 = 50;
/// Longest reply, in tokens; it ends with its sentence after about 150 words.
const TOKENS_MAX: usize = 400;
/// Starters that go into the prompt.
const STARTERS_MAX: usize = 5;

const KICKOFF: &str =
    "(Open the scene: describe where {{char}} and {{user}} are, and let {{char}} speak first.)";

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Request {
    /// The conversation.
    pub conversation_id: Option<Uuid>,
    /// Who answers; the conversation's own character otherwise.
    pub character_id: Option<Uuid>,
    /// What the person says.
    pub message: Option<String>,
    /// Which model, where `model_variant` does not say.
    pub model_provider: Option<String>,
    /// `conversation`, `character` or `profile`.
    pub memory_tier: Option<String>,
    /// `sfw` or `nsfw`.
    pub content_tier: Option<String>,
    /// Whether the character opens the scene.
    #[serde(deserialize_with = "or_default")]
    pub kickoff: bool,
    /// Whether a picture of the scene is drawn after the reply.
    #[serde(deserialize_with = "or_default")]
    pub scene_generation: bool,
    /// Where it is.
    pub scene_context: Option<String>,
    /// Rules of the scene.
    pub scene_system_prompt: Option<String>,
    /// What is worn.
    pub scene_default_clothing: Option<String>,
    /// The name of the scene.
    pub scene_name: Option<String>,
    /// What the scene is about.
    pub scene_description: Option<String>,
    /// How the scene may begin.
    pub scene_starters: Option<Vec<String>>,
    /// Who the person plays; the conversation's own persona otherwise.
    pub user_character_id: Option<Uuid>,
    /// Who is in the picture: `character_only`, `pov` or `both_characters`.
    pub scene_style: Option<String>,
    /// The model that draws.
    pub selected_image_model: Option<String>,
    /// The model that draws over another picture.
    pub selected_i2i_model: Option<String>,
    /// A picture to begin with.
    pub scene_preview_image_url: Option<String>,
    /// `denoise_strength` and `seed_value` of the picture.
    pub consistency_settings: Json,
    /// The scene before.
    pub previous_scene_id: Option<Uuid>,
    /// The picture of the scene before.
    pub previous_scene_image_url: Option<String>,
    /// Whether the picture goes on from the scene before.
    pub scene_continuity_enabled: Option<bool>,
    /// A prompt in place of one made from the reply.
    pub scene_prompt_override: Option<String>,
    /// The picture that is to be changed.
    pub current_scene_image_url: Option<String>,
    /// The seed of the reply.
    pub seed: Option<u64>,
    /// Whether the answer is a stream of events; for dialects.
    pub stream: Option<bool>,
}

/// Everything that a turn needs; refuses what may not be.
pub async fn prepare(context: &Context, request: Request) -> Result<PreparedTurn, ServiceError> {
    let missing = |field: &str| ServiceError::bad(format!("{field} is required")).with("success", false);
    let id = request.conversation_id.ok_or_else(|| missing("conversation_id"))?;
    let character = request.character_id.ok_or_else(|| missing("character_id"))?;
    let memory = request.memory_tier.as_deref().ok_or_else(|| missing("memory_tier"))?;
    let memory = MemoryTier::parse(memory)
        .ok_or_else(|| ServiceError::field("memory_tier", "conversation, character or profile"))?;
    let asked_tier = request.content_tier.as_deref().ok_or_else(|| missing("content_tier"))?;
    let blank = request.message.as_deref().is_none_or(|message| message.trim().is_empty());
    if blank && !request.kickoff {
        return Err(missing("message"));
    }
    let conversation = participants::conversation(context, id).await?;
    let user_id = participants::owner(&conversation)?;
    let tier = age_gate::rating(context, "content_tier", Some(asked_tier))?;
    let said = checked(tier, request.message.clone())?;
    let mut setting = Setting {
        user_name: participants::user_name(context, user_id).await?,
        scene: scene(&request, &conversation),
        kickoff: request.kickoff.then(|| KICKOFF.to_string()),
        style: vec![
            "Answer in at most 150 words. Write each speaker as a block that begins with **Name:** or **Narrator:**. \
             Never write what the user says or does, and use no emojis."
                .into(),
        ],
        ..Setting::default()
    };
    participants::enter(context, &mut setting, character)?;
    let persona = request.user_character_id.or_else(|| uuid(&conversation["user_character_id"]));
    setting.persona = persona.map(|id| participants::character(context, id)).transpose()?;
    setting.admit(tier, context.may_have_nsfw()?)?;
    for text in setting.scene.iter() {
        content_rules::check(tier, "the scene", text)?;
    }
    let wanted = Wanted { name: request.model_provider.as_deref(), task: "roleplay", strict: false };
    let chosen = context.services.chat.engines().choose(wanted).await?;
    let template = templates::roleplay(context, &chosen.model, tier).await?;
    setting.template = (template.name.clone(), template.system_prompt.clone());
    setting.template_source = template.describe();
    let stored_character = uuid(&conversation["character_id"]);
    let turn = Turn {
        claims: context.claims.clone(),
        user_id,
        conversation_id: id,
        said,
        stores_said: false,
        replaces: None,
        message_type: if request.kickoff { "scene_kickoff" } else { "roleplay_chat" }.into(),
        tier,
        sampling: sampling(tier),
        max_tokens: TOKENS_MAX,
        seed: request.seed,
        history_max: HISTORY_MAX,
        memory_tier: memory,
        is_short: true,
        takes_over: Some(character).filter(|id| Some(*id) != stored_character),
        chosen,
        setting,
        asked: json!({"function": "roleplay-chat", "body": request}),
    };
    Ok(PreparedTurn { turn, facts: TurnFacts::Roleplay { draws_scene: request.scene_generation } })
}

/// The scene in words, with what the client remembers of the conversation.
fn scene(request: &Request, conversation: &Json) -> Vec<String> {
    let mut scene = Vec::new();
    let mut add = |label: &str, text: Option<&str>| {
        if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
            scene.push(format!("{label}: {text}"));
        }
    };
    add("Scene", request.scene_name.as_deref());
    add("What the scene is about", request.scene_description.as_deref());
    add("Where it is", request.scene_context.as_deref().or(conversation["current_location"].as_str()));
    add("Rules of the scene", request.scene_system_prompt.as_deref());
    add("Clothing", request.scene_default_clothing.as_deref());
    add("Pronouns", conversation["memory_data"]["pronouns"].as_str());
    let starters = request.scene_starters.iter().flatten().take(STARTERS_MAX);
    let starters: Vec<&str> = starters.map(String::as_str).collect();
    add("How it may begin", Some(starters.join(" / ").as_str()));
    scene
}
