//! roleplay-chat: one turn of a roleplay; what the person says is stored by the client.

use actors::content_rules;
use actors::conversation::chat::{ReplyOutcome, Turn};
use actors::conversation::history::MemoryTier;
use actors::conversation::setting::Setting;
use actors::language::Wanted;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::chat_answer::{self, Body};
use super::playground_chat::{self, Prepared};
use crate::functions::call::{Call, Outcome};
use crate::functions::error::FunctionError;
use crate::functions::scene_picture::{self, Wish};
use crate::functions::{cast, templates};

/// The messages told again.
const HISTORY_MAX: u64 = 50;
/// Longest reply, in tokens; it ends with its sentence after about 150 words.
const TOKENS_MAX: usize = 400;
/// Starters told to the model.
const STARTERS_MAX: usize = 5;

const KICKOFF: &str =
    "(Open the scene: describe where {{char}} and {{user}} are, and let {{char}} speak first.)";

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Request {
    pub conversation_id: Option<Uuid>,
    pub character_id: Option<Uuid>,
    pub message: Option<String>,
    pub model_provider: Option<String>,
    pub memory_tier: Option<String>,
    pub content_tier: Option<String>,
    #[serde(deserialize_with = "playground_chat::or_default")]
    pub kickoff: bool,
    #[serde(deserialize_with = "playground_chat::or_default")]
    pub scene_generation: bool,
    pub scene_context: Option<String>,
    pub scene_system_prompt: Option<String>,
    pub scene_default_clothing: Option<String>,
    pub scene_name: Option<String>,
    pub scene_description: Option<String>,
    pub scene_starters: Option<Vec<String>>,
    pub user_character_id: Option<Uuid>,
    pub scene_style: Option<String>,
    pub selected_image_model: Option<String>,
    pub selected_i2i_model: Option<String>,
    pub scene_preview_image_url: Option<String>,
    pub consistency_settings: Json,
    pub previous_scene_id: Option<Uuid>,
    pub previous_scene_image_url: Option<String>,
    pub scene_continuity_enabled: Option<bool>,
    pub scene_prompt_override: Option<String>,
    pub current_scene_image_url: Option<String>,
    pub seed: Option<u64>,
    pub stream: Option<bool>,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let request: Request = call.read()?;
    let events = chat_answer::wants_events(&call, request.stream);
    let wanted = request.scene_generation.then(|| request.clone());
    let prepared = prepare(&call, request).await?;
    let scene = wanted.zip(prepared.turn.setting.character.clone()).map(|(request, character)| Wish {
        user: prepared.turn.user_id,
        conversation: prepared.turn.conversation_id,
        persona: prepared.turn.setting.persona.clone(),
        tier: prepared.turn.tier,
        character,
        request,
    });
    let running = call.app.chat.turn(prepared.turn).await?;
    if let Some(scene) = scene {
        scene_picture::after(&call, running.clone(), scene);
    }
    chat_answer::answer(running, events, prepared.body).await
}

/// Everything that a turn needs; refuses what may not be.
pub(crate) async fn prepare(call: &Call, request: Request) -> Result<Prepared, FunctionError> {
    let missing = |field: &str| FunctionError::bad(format!("{field} is required")).with("success", false);
    let id = request.conversation_id.ok_or_else(|| missing("conversation_id"))?;
    let character = request.character_id.ok_or_else(|| missing("character_id"))?;
    let memory = request.memory_tier.as_deref().ok_or_else(|| missing("memory_tier"))?;
    let memory = MemoryTier::parse(memory)
        .ok_or_else(|| FunctionError::bad("memory_tier: conversation, character or profile"))?;
    let asked_tier = request.content_tier.as_deref().ok_or_else(|| missing("content_tier"))?;
    let blank = request.message.as_deref().is_none_or(|message| message.trim().is_empty());
    if blank && !request.kickoff {
        return Err(missing("message"));
    }
    let conversation = cast::conversation(call, id).await?;
    let user_id = cast::owner(&conversation)?;
    let tier = cast::tier(call, Some(asked_tier))?;
    let said = playground_chat::checked(tier, request.message.clone())?;
    let mut setting = Setting {
        user_name: cast::user_name(call, user_id).await?,
        scene: scene(&request, &conversation),
        kickoff: request.kickoff.then(|| KICKOFF.to_string()),
        style: vec![
            "Answer in at most 150 words. Write each speaker as a block that begins with **Name:** or **Narrator:**. \
             Never write what the user says or does, and use no emojis."
                .into(),
        ],
        ..Setting::default()
    };
    cast::enter(call, &mut setting, character)?;
    let persona = request.user_character_id.or_else(|| cast::uuid(&conversation["user_character_id"]));
    setting.persona = persona.map(|id| cast::character(call, id)).transpose()?;
    setting.admit(tier, call.may_have_nsfw()?)?;
    for text in setting.scene.iter() {
        content_rules::check(tier, "the scene", text)?;
    }
    let wanted = Wanted { name: request.model_provider.as_deref(), task: "roleplay", strict: false };
    let chosen = call.app.chat.engines().choose(wanted).await?;
    let template = templates::roleplay(call, &chosen.model, tier).await?;
    setting.template = (template.name.clone(), template.system_prompt.clone());
    setting.template_source = template.describe();
    let stored_character = cast::uuid(&conversation["character_id"]);
    let turn = Turn {
        claims: call.claims.clone(),
        user_id,
        conversation_id: id,
        said,
        stores_said: false,
        replaces: None,
        message_type: if request.kickoff { "scene_kickoff" } else { "roleplay_chat" }.into(),
        tier,
        sampling: playground_chat::sampling(tier),
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
    let body = body(&turn, request.scene_generation);
    Ok(Prepared { turn, body })
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

fn body(turn: &Turn, scene_wanted: bool) -> Body {
    let started = std::time::Instant::now();
    let (provider, model) = (turn.chosen.provider.clone(), turn.chosen.full_name());
    let fell_back = turn.chosen.fell_back;
    let conversation = turn.conversation_id;
    Box::new(move |ended: &ReplyOutcome| {
        let mut body = json!({
            "success": true,
            "response": ended.response,
            "conversation_id": conversation,
            "model_used": playground_chat::used(ended, &provider, &model),
            "memory_updated": false,
            "scene_generated": false,
            "scene_generating_async": false,
            "consistency_score": 0,
            "processing_time": started.elapsed().as_millis() as u64,
            "usedFallback": fell_back,
        });
        if fell_back {
            body["fallbackModel"] = json!(model);
        }
        scene_picture::promise(&mut body, scene_wanted);
        body
    })
}
