//! enhance-prompt for scenes: a scene out of an idea, and lines to begin it with.

use actors::content_rules;
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::error::ServiceError;
use crate::prompts::ask_model::{self, Question};
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

/// `scene_creation`.
pub(crate) async fn create(context: &Context, request: &EnhanceRequest) -> Result<Json, ServiceError> {
    let template = templates::of_use_case(context, "scene_creation", request.tier, CREATE).await?;
    let chosen = match enhancer(context, request).await {
        // A request for the local model and nothing else is answered that it is not there.
        Err(error) if matches!(request.enhancer.as_deref(), Some("local" | "chat_worker")) => {
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
    let made = match &chosen {
        Ok(chosen) => {
            let question = Question::new(&template.system_prompt, &request.prompt, 500);
            ask_model::object(context, chosen, question, schema).await.ok()
        }
        Err(_) => None,
    };
    let text = |name: &str| {
        let text = made.as_ref().and_then(|made| made[name].as_str()).map(str::trim);
        text.filter(|text| !text.is_empty()).unwrap_or(&request.prompt).to_string()
    };
    let (description, prompt) = (text("enhanced_description"), text("scene_prompt"));
    for written in [&description, &prompt] {
        content_rules::check(request.tier, "the scene", written)?;
    }
    let empty = Json::Null;
    let made_or_null = made.as_ref().unwrap_or(&empty);
    let kind = made_or_null["suggested_scenario_type"].as_str().filter(|kind| KINDS[..5].contains(kind));
    Ok(json!({
        "success": true,
        "original_prompt": request.prompt,
        "enhanced_description": description,
        "scene_prompt": prompt,
        "suggested_tags": ask_model::texts(&made_or_null["suggested_tags"], TAGS_MAX),
        "suggested_scenario_type": kind,
        "enhancement_strategy": if made.is_some() { "scene_creation" } else { "scene_creation_fallback" },
        "enhancement_metadata": {
            "template_name": template.name, "content_mode": request.tier.name(),
            "model_used": chosen.ok().filter(|_| made.is_some()).map(|chosen| chosen.full_name()),
        },
    }))
}

/// `scene_starters`.
pub(crate) async fn starters(context: &Context, request: &EnhanceRequest) -> Result<Json, ServiceError> {
    let count =
        request.metadata["generate_count"].as_u64().unwrap_or(3).clamp(1, STARTERS_MAX as u64) as usize;
    let template = templates::of_use_case(context, "scene_starters", request.tier, BEGIN).await?;
    let schema = json!({
        "type": "object",
        "properties": {"starters": {"type": "array", "items": {"type": "string"}, "minItems": count, "maxItems": count}},
        "required": ["starters"],
        "additionalProperties": false,
    });
    let user = format!("Write {count} opening lines for this scene: {}", request.prompt);
    let made = match enhancer(context, request).await {
        Ok(chosen) => {
            let question = Question::new(&template.system_prompt, &user, 400);
            ask_model::object(context, &chosen, question, schema).await.ok()
        }
        Err(_) => None,
    };
    let mut starters = made.map(|made| ask_model::texts(&made["starters"], count)).unwrap_or_default();
    starters.retain(|line| content_rules::check(request.tier, "a starter", line).is_ok());
    let missing = count.saturating_sub(starters.len());
    starters.extend(FALLBACK.iter().cycle().take(missing).map(ToString::to_string));
    Ok(json!({"success": true, "starters": starters}))
}
