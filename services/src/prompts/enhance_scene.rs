//! enhance-prompt for scenes: a scene out of an idea, and lines to begin it with.

use actors::content_rules::{self, ContentRating};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::error::ServiceError;
use crate::prompts::ask_model::{self, Answer, Question};
use crate::prompts::enhance_request::{EnhanceRequest, enhancer};
use crate::prompts::templates;

const KINDS: [&str; 6] = ["stranger", "relationship", "power_dynamic", "fantasy", "slow_burn", "none"];
const TAGS_MAX: usize = 8;
const STARTERS_MAX: usize = 10;

const CREATE: &str = "Turn an idea into a scene for a roleplay, as JSON.";
const BEGIN: &str = "Write opening lines for a scene, each one or two sentences.";

/// When no model writes them.
const FALLBACK: [&str; 3] = [
    "I did not expect to meet you here. What brings you?",
    "Before we begin, tell me one thing I should know.",
    "Listen. Did you hear that, too?",
];

/// A scene out of an idea.
#[derive(Debug)]
pub struct EnhancedScene {
    /// The idea.
    pub idea: String,
    /// What the scene is about.
    pub description: String,
    /// The prompt of the scene.
    pub prompt: String,
    /// Words for it.
    pub tags: Vec<String>,
    /// What kind of scenario it is.
    pub kind: Option<String>,
    /// The template.
    pub template: String,
    /// The model that wrote it; without one the idea stands for all texts.
    pub model: Option<String>,
    /// Its rating.
    pub rating: ContentRating,
    /// Why no model wrote it, where none did.
    pub problem: Option<String>,
}

/// Lines to begin a scene with.
#[derive(Debug)]
pub struct EnhancedStarters {
    /// The lines.
    pub lines: Vec<String>,
    /// Why some of them are not the model's.
    pub problem: Option<String>,
}

/// `scene_creation`.
pub(crate) async fn create(
    context: &Context,
    request: &EnhanceRequest,
    rating: ContentRating,
) -> Result<EnhancedScene, ServiceError> {
    let template = templates::of_use_case(context, "scene_creation", rating, CREATE).await?;
    let chosen = match enhancer(context, request).await {
        // A request for the local model and nothing else is answered that it is not there.
        Err(error) if matches!(request.enhancer(), Some("local" | "chat_worker")) => {
            return Err(error);
        }
        chosen => chosen,
    };
    let schema = json!({
        "type": "object",
        "properties": {
            "enhanced_description": {"type": "string"},
            "scene_prompt": {"type": "string"},
            "suggested_tags": {"type": "array", "items": {"type": "string"}, "maxItems": TAGS_MAX},
            "suggested_scenario_type": {"enum": KINDS},
        },
        "required": ["enhanced_description", "scene_prompt", "suggested_tags", "suggested_scenario_type"],
        "additionalProperties": false,
    });
    let made = match chosen {
        Ok(chosen) => {
            let question = Question::new("enhance-prompt", &template.system_prompt, &request.prompt, 500);
            ask_model::object(context, &chosen, question, schema).await
        }
        Err(error) => Err(error),
    };
    let (made, model, problem) = match made {
        Ok(Answer { said, model }) => (Some(said), Some(model), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    let text = |name: &str| {
        let text = made.as_ref().and_then(|made| made[name].as_str()).map(str::trim);
        text.filter(|text| !text.is_empty()).unwrap_or(&request.prompt).to_string()
    };
    let (description, prompt) = (text("enhanced_description"), text("scene_prompt"));
    for written in [&description, &prompt] {
        content_rules::check(rating.of_own_words(), "the scene", written)?;
    }
    let empty = Json::Null;
    let made_or_null = made.as_ref().unwrap_or(&empty);
    let kind = made_or_null["suggested_scenario_type"].as_str().filter(|kind| KINDS[..5].contains(kind));
    Ok(EnhancedScene {
        idea: request.prompt.clone(),
        description,
        prompt,
        tags: ask_model::texts(&made_or_null["suggested_tags"], TAGS_MAX),
        kind: kind.map(str::to_string),
        template: template.name,
        model,
        rating,
        problem,
    })
}

/// `scene_starters`.
pub(crate) async fn starters(
    context: &Context,
    request: &EnhanceRequest,
    rating: ContentRating,
) -> Result<EnhancedStarters, ServiceError> {
    let count =
        request.metadata["generate_count"].as_u64().unwrap_or(3).clamp(1, STARTERS_MAX as u64) as usize;
    let template = templates::of_use_case(context, "scene_starters", rating, BEGIN).await?;
    let schema = json!({
        "type": "object",
        "properties": {"starters": {"type": "array", "items": {"type": "string"}, "minItems": count, "maxItems": count}},
        "required": ["starters"],
        "additionalProperties": false,
    });
    let user = format!("Write {count} opening lines for this scene: {}", request.prompt);
    let made = match enhancer(context, request).await {
        Ok(chosen) => {
            let question = Question::new("enhance-prompt", &template.system_prompt, &user, 400);
            ask_model::object(context, &chosen, question, schema).await
        }
        Err(error) => Err(error),
    };
    let (mut starters, mut problem) = match made {
        Ok(made) => (ask_model::texts(&made.said["starters"], count), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    starters.retain(|line| content_rules::check(rating.of_own_words(), "a starter", line).is_ok());
    let missing = count.saturating_sub(starters.len());
    if missing > 0 && problem.is_none() {
        problem = Some(format!("the model wrote only {} lines that can be used", starters.len()));
    }
    starters.extend(FALLBACK.iter().cycle().take(missing).map(ToString::to_string));
    Ok(EnhancedStarters { lines: starters, problem })
}
