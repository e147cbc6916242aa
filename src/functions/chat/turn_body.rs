//! The answer to a turn, whichever function asked for it or makes it once more.

use actors::content_rules::ContentRating;
use actors::conversation::chat::{ReplyOutcome, Turn};
use serde_json::{Value as Json, json};
use services::age_gate;
use services::conversations::opening::Greeting;
use services::conversations::turn::{PreparedTurn, TurnFacts};
use services::prompts::templates::Template;

use super::chat_answer::Body;

/// How a turn is answered.
pub(crate) fn of(prepared: &PreparedTurn) -> Body {
    let body = match &prepared.facts {
        TurnFacts::Playground { context_type, template, warnings } => {
            of_playground(&prepared.turn, context_type, template, warnings.clone())
        }
        TurnFacts::Roleplay { draws_scene, warnings } => {
            of_roleplay(&prepared.turn, *draws_scene, warnings.clone())
        }
    };
    rated(prepared.turn.tier, body)
}

/// The answer with the rating that the turn had, and with a notice where that is not the one that was asked for.
fn rated(tier: ContentRating, body: Body) -> Body {
    Box::new(move |ended: &ReplyOutcome| {
        let mut body = body(ended);
        body["content_tier"] = json!(tier.name());
        if tier == ContentRating::Lowered {
            body["notice"] = json!(age_gate::NOTICE);
        }
        body
    })
}

fn of_playground(turn: &Turn, context_type: &str, template: &Template, warnings: Vec<String>) -> Body {
    let started = std::time::Instant::now();
    let (context_type, template) = (context_type.to_string(), template.clone());
    let (conversation, tier) = (turn.conversation_id, turn.tier);
    let (provider, model) = (turn.chosen.provider.clone(), turn.chosen.full_name());
    let fell_back = turn.chosen.fell_back;
    Box::new(move |ended: &ReplyOutcome| {
        let used = used(ended, &provider, &model);
        let mut body = json!({
            "success": true,
            "response": ended.response,
            "content": ended.response,
            "conversation_id": conversation,
            // In seconds, as screens show it.
            "generation_time": started.elapsed().as_millis() as f64 / 1000.0,
            "context_type": context_type,
            "nsfw_enforce": tier == ContentRating::Nsfw,
            "template_meta": template.describe(),
            "prompt_template_name": template.name,
            "enforcement_diagnostics": {"content_tier": tier.name(), "template_source": template.source},
            "model_provider": provider,
            "usedFallback": fell_back || used != model,
            "model_used": used,
        });
        if !warnings.is_empty() {
            body["warnings"] = json!(warnings);
        }
        body
    })
}

/// Who answered in the end: another server may have stood in.
fn used(ended: &ReplyOutcome, provider: &str, model: &str) -> String {
    match &ended.engine {
        Some(engine) if provider != "local" && provider != "chat_worker" => engine.clone(),
        _ => model.to_string(),
    }
}

fn of_roleplay(turn: &Turn, draws_scene: bool, warnings: Vec<String>) -> Body {
    let started = std::time::Instant::now();
    let (provider, model) = (turn.chosen.provider.clone(), turn.chosen.full_name());
    let fell_back = turn.chosen.fell_back;
    let conversation = turn.conversation_id;
    Box::new(move |ended: &ReplyOutcome| {
        let used = used(ended, &provider, &model);
        let fell_back = fell_back || used != model;
        let mut body = json!({
            "success": true,
            "response": ended.response,
            "conversation_id": conversation,
            "model_used": used,
            "memory_updated": ended.memory_updated,
            "memory_updating": ended.memory_updating,
            "scene_generated": false,
            "scene_generating_async": false,
            "consistency_score": 0,
            "processing_time": started.elapsed().as_millis() as u64,
            "usedFallback": fell_back,
        });
        if fell_back {
            body["fallbackModel"] = json!(used);
        }
        mark_scene_pending(&mut body, draws_scene);
        if !warnings.is_empty() {
            body["warnings"] = json!(warnings);
        }
        body
    })
}

/// The answer when a greeting is all of it: no model was asked.
/// `warnings` are about the picture of the scene.
pub(crate) fn of_greeting(
    greeting: Greeting,
    tier: ContentRating,
    draws_scene: bool,
    warnings: Vec<String>,
) -> Body {
    let started = std::time::Instant::now();
    let body: Body = Box::new(move |ended: &ReplyOutcome| {
        let mut body = json!({
            "success": true,
            "response": ended.response,
            "conversation_id": greeting.reply.conversation_id,
            "greeting": greeting.number,
            "greetings": greeting.all,
            "model_used": null,
            "memory_updated": false,
            "memory_updating": false,
            "scene_generated": false,
            "scene_generating_async": false,
            "consistency_score": 0,
            "processing_time": started.elapsed().as_millis() as u64,
            "usedFallback": false,
        });
        mark_scene_pending(&mut body, draws_scene);
        if !warnings.is_empty() {
            body["warnings"] = json!(warnings);
        }
        body
    });
    rated(tier, body)
}

/// The picture of the scene comes later, with `character_scenes`.
fn mark_scene_pending(body: &mut Json, draws_scene: bool) {
    body["scene_generating_async"] = json!(draws_scene);
}
