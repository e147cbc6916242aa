//! scene-narrative: a scene in the words of a narrator.

use actors::content_rules;
use actors::conversation::sheet::each_text;
use actors::language::Wanted;
use models::value_words::Takes;
use serde_json::{Value as Json, json};
use services::age_gate;
use services::conversations::participants;
use services::ids::uuid;
use services::prompts::ask_model::{self, Question};
use services::prompts::templates;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;

/// Turns of the conversation that go into the prompt.
const TURNS: usize = 3;
/// Longest description, in characters.
const CHARS_MAX: usize = 8000;

const OTHERWISE: &str = "Write the scene as a narrator, in the third person and the present tense.";

/// The fields of a request.
const FIELDS: [Field<'_>; 7] = [
    ("sceneContext", Takes::Object),
    ("characterId", Takes::Uuid),
    ("characterName", Takes::Text),
    ("characterDescription", Takes::Text),
    ("characterPersonality", Takes::Anything),
    ("conversationHistory", Takes::List),
    ("modelKey", Takes::Text),
];
/// What a scene is made of.
const SCENE: [Field<'_>; 7] = [
    ("characters", Takes::Anything),
    ("setting", Takes::Anything),
    ("mood", Takes::Anything),
    ("actions", Takes::Anything),
    ("isNSFW", Takes::Flag),
    ("visualElements", Takes::Anything),
    ("positioning", Takes::Anything),
];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let body = call.read_fields(&FIELDS)?;
    if body["sceneContext"].is_null() {
        return Err(FunctionError::missing(&["sceneContext"]).with("success", false));
    }
    let scene = &call.read_fields_at("sceneContext", &body["sceneContext"], &SCENE)?;
    let asked = if scene["isNSFW"] == Json::Bool(true) { "nsfw" } else { "sfw" };
    let tier = age_gate::rating(&call.context, "content_tier", Some(asked))?;
    if let Some(id) = uuid(&body["characterId"]) {
        participants::character(&call.context, id)?.admit(tier, call.context.may_have_nsfw()?)?;
    }
    let mut lines = Vec::new();
    for (label, key) in [
        ("Who is there", "characters"),
        ("Where", "setting"),
        ("Mood", "mood"),
        ("What happens", "actions"),
        ("What is seen", "visualElements"),
        ("Positions", "positioning"),
    ] {
        add(&mut lines, label, &scene[key]);
    }
    for (key, label) in [
        ("characterName", "Character"),
        ("characterDescription", "Description"),
        ("characterPersonality", "Personality"),
    ] {
        add(&mut lines, label, &body[key]);
    }
    let history = body["conversationHistory"].as_array().cloned().unwrap_or_default();
    for turn in &history[history.len().saturating_sub(TURNS)..] {
        let text = turn.as_str().or(turn["content"].as_str()).unwrap_or_default();
        lines.push(format!("Said before: {text}"));
    }
    let user: String = lines.join("\n").chars().take(CHARS_MAX).collect();
    content_rules::check(tier, "the scene", &user)?;
    let named = body["modelKey"].as_str();
    let wanted = Wanted { name: named, task: "roleplay", strict: false };
    let chosen = call.context.services.chat.engines().choose(wanted).await?;
    call.warnings.extend(ask_model::stand_in("modelKey", named, &chosen));
    let template = templates::of_use_case(&call.context, "scene_narrative", tier, OTHERWISE).await?;
    let question = Question {
        temperature: 0.8,
        ..Question::new("scene-narrative", &template.system_prompt, &user, 400)
    };
    let ask_model::Answer { said: narrative, model } =
        ask_model::text(&call.context, &chosen, question).await?;
    content_rules::check(tier.of_own_words(), "the narrative", &narrative)?;
    ok(
        json!({"success": true, "narrative": narrative, "sceneContext": body["sceneContext"], "model_used": model}),
    )
}

fn add(lines: &mut Vec<String>, label: &str, value: &Json) {
    let mut texts = Vec::new();
    each_text(value, &mut |text| texts.push(text.trim().to_string()));
    texts.retain(|text| !text.is_empty());
    if !texts.is_empty() {
        lines.push(format!("{label}: {}", texts.join(", ")));
    }
}
