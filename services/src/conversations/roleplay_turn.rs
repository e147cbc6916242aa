//! A turn of a roleplay, and its beginning with a greeting.

use actors::character::consistency::ConsistencySettings;
use actors::content_rules;
use actors::conversation::chat::{StoresSaid, Turn};
use actors::conversation::history::MemoryTier;
use actors::conversation::setting::Setting;
use actors::conversation::sheet::Sheet;
use actors::language::Wanted;
use language::Sampling;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::age_gate;
use crate::context::Context;
use crate::conversations::opening::{self, Chosen, Opening};
use crate::conversations::turn::{PreparedTurn, TurnFacts, checked, memory_tier, or_default, sampling};
use crate::conversations::{participants, shown_pictures};
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::jobs::character_steering::foresee;
use crate::prompts::templates;

/// Messages of the history that go into the prompt.
const HISTORY_MAX: u64 = 50;
/// Longest reply, in tokens; it ends with its sentence after about 150 words.
const TOKENS_MAX: usize = 400;
/// Starters that go into the prompt.
const STARTERS_MAX: usize = 5;

const KICKOFF: &str =
    "(Open the scene: describe where {{char}} and {{user}} are, and let {{char}} speak first.)";
/// The freest choice of words that may be asked for.
const TEMPERATURE_MAX: f32 = 2.0;
const GO_ON: &str =
    "(Go on from where {{char}} stopped, without repeating anything and without answering for {{user}}.)";

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Request {
    /// The conversation; a new one with the character otherwise.
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
    /// The number of the greeting that opens the conversation: 0 is the first message, the alternates follow.
    pub greeting: Option<usize>,
    /// Whether the client has stored the message itself.
    #[serde(deserialize_with = "or_default")]
    pub message_stored: bool,
    /// Whether the character opens the scene.
    #[serde(deserialize_with = "or_default")]
    pub kickoff: bool,
    /// Whether the character goes on after its own last words, without anything said in between.
    #[serde(deserialize_with = "or_default")]
    pub go_on: bool,
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
    /// How the character is kept recognisable in the picture; wins over what its row says.
    #[serde(deserialize_with = "or_default")]
    pub consistency_settings: ConsistencySettings,
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
    #[serde(deserialize_with = "crate::seed::or_random")]
    pub seed: Option<u64>,
    /// How freely the reply is chosen, 0 to 2; wins over the model's row.
    pub temperature: Option<f32>,
    /// Whether the answer is a stream of events; for dialects.
    pub stream: Option<bool>,
}

/// How a turn begins: where it is, and what opens it.
pub struct Beginning {
    /// The conversation; not stored yet if it is a new one.
    pub conversation: Json,
    /// The greeting that opens it, if one does.
    pub opening: Chosen,
}

/// Finds the conversation, or makes the row of a new one, and what opens it. The opening of a scene is the model's; without
/// one, the character opens the conversation with a greeting if it can.
pub async fn begin(context: &Context, request: &mut Request) -> Result<Beginning, ServiceError> {
    request.check_numbers()?;
    let is_new = request.conversation_id.is_none();
    let conversation = match request.conversation_id {
        Some(id) => participants::conversation(context, id).await?,
        None => new_conversation(context, request)?,
    };
    request.conversation_id = uuid(&conversation["id"]);
    let character = participants::character(context, character_id(request, &conversation)?)?;
    let opening = Opening {
        conversation: &conversation,
        is_new,
        character: &character,
        persona: persona(context, request, &conversation)?,
        tier: age_gate::rating_in(context, request.content_tier.as_deref(), &conversation, &character)
            .await?,
        greeting: request.greeting,
        seed: request.seed.unwrap_or_else(opening::any_seed),
    };
    let mut opening = opening.choose(context).await?;
    // A scene template begins a conversation although nothing is said: it is what there is to open with.
    request.kickoff |= is_new && has_scene(request) && !request.says_something();
    request.kickoff &= request.greeting.is_none() && (has_scene(request) || !opening.greets());
    if request.kickoff {
        opening = opening.without_greeting();
    }
    Ok(Beginning { conversation, opening })
}

impl Request {
    /// Refuses numbers that cannot be followed.
    fn check_numbers(&self) -> Result<(), ServiceError> {
        if let Some(given) = self.temperature.filter(|given| !(0.0..=TEMPERATURE_MAX).contains(given)) {
            return Err(ServiceError::not_within("temperature", given, 0.0, TEMPERATURE_MAX));
        }
        let checked = self.consistency_settings.check();
        checked
            .map_err(|(field, reason)| ServiceError::field(format!("consistency_settings.{field}"), reason))
    }

    /// Whether the person says something.
    pub fn says_something(&self) -> bool {
        self.message.as_deref().is_some_and(|message| !message.trim().is_empty())
    }
}

/// A field that has to be there.
pub fn missing(field: &str) -> ServiceError {
    ServiceError::missing(&[field]).with("success", false)
}

/// Whether the client sets a scene, which no greeting knows of.
fn has_scene(request: &Request) -> bool {
    let texts = [
        &request.scene_name,
        &request.scene_description,
        &request.scene_context,
        &request.scene_system_prompt,
    ];
    let starters = request.scene_starters.iter().flatten();
    texts.into_iter().flatten().chain(starters).any(|text| !text.trim().is_empty())
}

/// A conversation of the caller with the character that is named, not stored yet.
fn new_conversation(context: &Context, request: &Request) -> Result<Json, ServiceError> {
    let character = request.character_id.ok_or_else(|| {
        ServiceError::missing_one_of(&["conversation_id", "character_id"]).with("success", false)
    })?;
    let character = participants::character(context, character)?;
    let mut row = opening::new_conversation(context.user()?, &character);
    if let Some(tier) = asked_memory_tier(request)? {
        row["memory_tier"] = json!(tier.name());
    }
    row["user_character_id"] = json!(request.user_character_id);
    Ok(row)
}

/// How far memory reaches, if the client says so.
fn asked_memory_tier(request: &Request) -> Result<Option<MemoryTier>, ServiceError> {
    let Some(name) = request.memory_tier.as_deref() else { return Ok(None) };
    let known = ["conversation", "character", "profile"];
    let unknown = || ServiceError::none_of("memory_tier", name, &known);
    MemoryTier::parse(name).map(Some).ok_or_else(unknown)
}

/// The character that is named, else the conversation's.
fn character_id(request: &Request, conversation: &Json) -> Result<Uuid, ServiceError> {
    let own = || uuid(&conversation["character_id"]);
    request.character_id.or_else(own).ok_or_else(|| missing("character_id"))
}

/// Who the person plays: as named, else the conversation's own.
fn persona(context: &Context, request: &Request, conversation: &Json) -> Result<Option<Sheet>, ServiceError> {
    let id = request.user_character_id.or_else(|| uuid(&conversation["user_character_id"]));
    id.map(|id| participants::character(context, id)).transpose()
}

/// Everything that a turn needs; refuses what may not be.
pub async fn prepare(context: &Context, request: Request) -> Result<PreparedTurn, ServiceError> {
    let id = request.conversation_id.ok_or_else(|| missing("conversation_id"))?;
    let conversation = participants::conversation(context, id).await?;
    prepare_in(context, request, &conversation).await
}

/// The same in a conversation that was found, or is to be stored.
pub async fn prepare_in(
    context: &Context,
    request: Request,
    conversation: &Json,
) -> Result<PreparedTurn, ServiceError> {
    let id = uuid(&conversation["id"]).ok_or_else(|| missing("conversation_id"))?;
    let character = character_id(&request, conversation)?;
    let memory = asked_memory_tier(&request)?.unwrap_or_else(|| memory_tier(conversation));
    if !request.says_something() && !request.kickoff && !request.go_on {
        return Err(missing("message"));
    }
    if request.go_on && request.says_something() && !request.message_stored {
        return Err(ServiceError::field("go_on", "given with message: one of both is asked for"));
    }
    request.check_numbers()?;
    let user_id = participants::owner(conversation)?;
    let sheet = participants::character(context, character)?;
    let tier = age_gate::rating_in(context, request.content_tier.as_deref(), conversation, &sheet).await?;
    let said = checked(tier, request.message.clone())?;
    let mut setting = Setting {
        user_name: participants::user_name(context, user_id)?,
        scene: scene(&request, conversation),
        kickoff: match (request.go_on, request.kickoff) {
            (true, _) => Some(GO_ON.to_string()),
            (_, opens) => opens.then(|| KICKOFF.to_string()),
        },
        ..Setting::default()
    };
    participants::enter(context, &mut setting, character)?;
    setting.persona = persona(context, &request, conversation)?;
    setting.admit(tier, context.may_have_nsfw()?)?;
    for text in setting.scene.iter() {
        content_rules::check(tier, "the scene", text)?;
    }
    let wanted = Wanted { name: request.model_provider.as_deref(), task: "roleplay", strict: false };
    let chosen = context.services.chat.engines().choose(wanted).await?;
    let template = templates::roleplay(context, &chosen.model, tier).await?;
    setting.template = (template.name.clone(), template.system_prompt.clone());
    setting.template_source = template.describe();
    setting.style = vec![format!("Answer in at most 150 words. {}", setting.speaker_style())];
    let stored_character = uuid(&conversation["character_id"]);
    let shown = shown_pictures::read(context, id, said.as_deref(), &chosen, tier).await?;
    let mut warnings = shown.warnings;
    if let Some(character) = setting.character.as_ref().filter(|_| request.scene_generation) {
        warnings.extend(foresee(context, user_id, character, &request.consistency_settings).warnings);
    }
    let of_model = chosen.says.over(sampling(tier));
    let turn = Turn {
        claims: context.claims.clone(),
        user_id,
        conversation_id: id,
        said,
        stores_said: if request.message_stored { StoresSaid::Never } else { StoresSaid::Once },
        replaces: None,
        message_type: if request.kickoff { "scene_kickoff" } else { "roleplay_chat" }.into(),
        tier,
        sampling: Sampling { temperature: request.temperature.unwrap_or(of_model.temperature), ..of_model },
        max_tokens: chosen.says.max_tokens.map_or(TOKENS_MAX, |own| own.min(TOKENS_MAX)),
        seed: request.seed,
        history_max: HISTORY_MAX,
        memory_tier: memory,
        is_short: true,
        takes_over: Some(character).filter(|id| Some(*id) != stored_character),
        pictures: shown.pictures,
        chosen,
        setting,
        asked: json!({"function": "roleplay-chat", "body": request}),
    };
    Ok(PreparedTurn { turn, facts: TurnFacts::Roleplay { draws_scene: request.scene_generation, warnings } })
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
