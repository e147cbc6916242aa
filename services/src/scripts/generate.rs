//! A model writes a script from a chapter; it is kept as a new version in draft.

use actors::character::card_rating::check_long;
use actors::content_rules::ContentRating;
use actors::language::Wanted;
use actors::write_rows::{Change, WriteRows};
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Limits;
use uuid::Uuid;

use super::evaluate::cut;
use super::{find, text};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::prompts::ask_model::{self, Question};
use crate::prompts::templates;
use crate::rows::table;

const WRITE: &str = "You turn a chapter of a book into the script of a short film. Divide it into scenes in order. Of each \
     scene describe what is to be seen, what a narrator says, and what the characters say. Answer as JSON.";
/// Scenes of one script at most.
const SCENES_MAX: usize = 12;
/// Longest answer, in tokens.
const ANSWER_TOKENS: usize = 2400;

/// What is asked for.
#[derive(Debug)]
pub struct Order<'w> {
    /// The chapter.
    pub chapter_id: Uuid,
    /// The style of the script, by which versions are counted.
    pub style: &'w str,
    /// How the film is to look.
    pub video_style: Option<&'w str>,
    /// What it is called; by style and version when absent.
    pub name: Option<&'w str>,
    /// What to mind.
    pub instructions: Option<&'w str>,
    /// Who appears.
    pub character_ids: Vec<Uuid>,
    /// The model that writes.
    pub model: Option<&'w str>,
    /// The rating.
    pub tier: ContentRating,
}

/// What came of it.
#[derive(Debug)]
pub struct Written {
    /// The script as stored.
    pub script: Json,
    /// Who wrote.
    pub model: String,
    /// What the caller is to learn.
    pub warnings: Vec<String>,
}

/// Writes a script.
pub async fn generate(context: &Context, asked: Order<'_>) -> Result<Written, ServiceError> {
    let user_id = context.user()?;
    let chapter = find::chapter(context, asked.chapter_id)?;
    let content = chapter["content"].as_str().unwrap_or_default().trim();
    if content.is_empty() {
        return Err(ServiceError::field("chapter_id", "the chapter has no content to make a script of"));
    }
    let names = names(context, &asked.character_ids)?;
    let mut known = vec![format!("Style: {}", asked.style)];
    known.extend(asked.video_style.map(|style| format!("Look of the film: {style}")));
    known.extend((!names.is_empty()).then(|| format!("Characters: {}", names.join(", "))));
    known.extend(asked.instructions.map(|words| format!("Mind: {words}")));
    known.push(format!("Title: {}\n\n{content}", chapter["title"].as_str().unwrap_or_default()));
    let known = known.join("\n");
    check_long(asked.tier, "the chapter", &known)?;
    let wanted = Wanted { name: asked.model, task: "reasoning", strict: false };
    let chosen = context.services.chat.engines().choose(wanted).await?;
    let mut warnings: Vec<String> = ask_model::stand_in("model", asked.model, &chosen).into_iter().collect();
    warnings.extend(cut(&chosen, &known, "chapter"));
    let template = templates::of_use_case(context, "script_generation", asked.tier, WRITE).await?;
    let tokens = ANSWER_TOKENS.min(chosen.context_tokens / 2);
    let question = Question::new("generate-script", &template.system_prompt, &known, tokens);
    let made = ask_model::object(context, &chosen, question, text::schema(SCENES_MAX)).await?;
    let scenes = text::from_model(&made.said);
    if scenes.is_empty() {
        let error = ServiceError::new(Kind::Upstream, "the model wrote no scene that can be used");
        return Err(error.with("code", "UNUSABLE_ANSWER"));
    }
    let script = text::write(&scenes);
    check_long(asked.tier.of_own_words(), "the script", &script)?;
    let descriptions: Vec<&str> = scenes.iter().map(|scene| scene.description.as_str()).collect();
    let scripts = table("scripts");
    let (mut row, id) = (scripts.default_row(), Uuid::new_v4());
    let mut set = |column: &str, value: Value| row[scripts.at(column)] = value;
    let or_null = |text: Option<&str>| text.map_or(Value::Null, Value::text);
    set("id", Value::Uuid(id));
    set("chapter_id", Value::Uuid(asked.chapter_id));
    set("user_id", Value::Uuid(user_id));
    set("script_style", Value::text(asked.style));
    set("script_name", or_null(asked.name));
    set("video_style", or_null(asked.video_style));
    set("script", Value::Text(script));
    set("character_ids", Value::UuidArray(asked.character_ids.iter().copied().map(Some).collect()));
    set("characters", Value::json(&json!(text::speakers(&scenes))));
    set("scene_descriptions", Value::json(&json!(descriptions)));
    // Under the rights of the caller, as if they had written it themselves.
    let write = WriteRows {
        table: scripts.id,
        change: Change::Insert { rows: vec![row], conflict: None },
        returning: None,
        exactly_one: false,
        affected_max: None,
        limits: Limits::default(),
    };
    context.ask(write).await?;
    Ok(Written { script: find::script(context, id)?, model: made.model, warnings })
}

/// The names of characters that the caller may see.
fn names(context: &Context, ids: &[Uuid]) -> Result<Vec<String>, ServiceError> {
    let mut names = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        let character = find::character(context, *id)?;
        let missing = || {
            let reason = "there is no such character that the script's owner may see";
            ServiceError::field(format!("character_ids[{place}]"), format!("{id}: {reason}"))
        };
        let character = character.ok_or_else(missing)?;
        names.extend(character["name"].as_str().map(str::to_string));
    }
    Ok(names)
}
