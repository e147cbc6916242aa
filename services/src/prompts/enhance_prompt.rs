//! A prompt for pictures or clips, made richer by a model and a template.

use std::time::Instant;

use actors::content_rules;
use models::Value;
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::prompts::ask_model::{self, Question};
use crate::prompts::enhance_request::{EnhanceRequest, enhancer, read, target};
use crate::prompts::enhance_scene;
use crate::prompts::templates::{self, Template};

/// The answer to a request.
pub async fn enhance(context: &Context, body: &Json) -> Result<Json, ServiceError> {
    let started = Instant::now();
    let request = read(context, body)?;
    match request.content_type.as_str() {
        "scene_creation" => return enhance_scene::create(context, &request).await,
        "scene_starters" => return enhance_scene::starters(context, &request).await,
        _ => {}
    }
    if request.metadata["reference_mode"] == "modify" {
        let prompt = format!("maintain the same subject; {}", request.prompt);
        return Ok(done(&request, prompt, "modify_flow", Some("modify_flow"), None, started));
    }
    let Some(template) = template(context, &request).await? else {
        let prompt = request.prompt.clone();
        return Ok(done(&request, prompt, "no_template_available", None, None, started));
    };
    let strategy = if template.source == "cache" { "template_cached" } else { "template_db" };
    let limit = template.token_limit;
    let (prompt, model) = match rewrite(context, &request, &template).await {
        Ok((prompt, model)) => (prompt, Some(model)),
        Err(error) => {
            // A prompt that is not enhanced is still a prompt.
            tracing::warn!(%error, "a prompt could not be enhanced");
            (request.prompt.clone(), None)
        }
    };
    content_rules::check(request.tier, "the enhanced prompt", &prompt)?;
    let strategy = if model.is_some() { strategy } else { "enhancement_failed" };
    let (prompt, compressed) = trim(&prompt, limit.unwrap_or(512));
    let mut answer = done(&request, prompt, strategy, Some(&template.name), model, started);
    answer["enhancement_metadata"]["compression_applied"] = json!(compressed);
    answer["enhancement_metadata"]["cache_hit"] = json!(template.source == "cache");
    Ok(answer)
}

async fn template(context: &Context, request: &EnhanceRequest) -> Result<Option<Template>, ServiceError> {
    let model = match request.model_id {
        Some(id) => context.row("api_models", id).await?,
        None => None,
    };
    let model_key = model.as_ref().and_then(|row| row["model_key"].as_str());
    let (category, wanted) = target(request, model_key);
    let (_, family) = target(request, None);
    let config = context.services.chat.engines().system_config().await?;
    for key in [&wanted, &family] {
        if let Some(cache) = templates::prompt_cache(&config) {
            let entry =
                &cache["templateCache"]["enhancement"][key][category]["enhancement"][request.tier.name()];
            if let Some(template) = Template::read(entry, "cache") {
                return Ok(Some(template));
            }
        }
        let query = || {
            let query = templates::active().equal("use_case", Value::text("enhancement"));
            query.equal("job_type", Value::text(category)).equal("target_model", Value::text(key))
        };
        if let Some(enhancer) = &request.enhancer {
            let own = query().equal("enhancer_model", Value::text(enhancer));
            if let Some(template) = templates::by_tier(context, own, request.tier).await? {
                return Ok(Some(template));
            }
        }
        if let Some(template) = templates::by_tier(context, query(), request.tier).await? {
            return Ok(Some(template));
        }
    }
    Ok(None)
}

async fn rewrite(
    context: &Context,
    request: &EnhanceRequest,
    template: &Template,
) -> Result<(String, String), ServiceError> {
    let chosen = enhancer(context, request).await?;
    let limit = template.token_limit.unwrap_or(2000);
    let question = Question::new(&template.system_prompt, &request.prompt, limit.min(2000));
    let text = ask_model::text(context, &chosen, question).await?;
    if text.is_empty() {
        return Err(ServiceError::new(Kind::Upstream, "the model said nothing"));
    }
    Ok((text, chosen.full_name()))
}

/// About so many tokens a text is, for picture models.
fn token_count(text: &str) -> usize {
    (text.chars().count() as f64 / 4.2).ceil() as usize
}

/// Cuts a prompt to a limit, at a comma, a period or a space if one is near.
fn trim(prompt: &str, limit: usize) -> (String, bool) {
    if token_count(prompt) <= limit {
        return (prompt.to_string(), false);
    }
    let room = limit * 4;
    let cut: String = prompt.chars().take(room).collect();
    let at = |marks: &[char], share: usize| {
        let position = cut.rfind(marks)?;
        (cut[..position].chars().count() * 100 > room * share).then_some(position)
    };
    let end = at(&[',', '.'], 80).or_else(|| at(&[' '], 90)).unwrap_or(cut.len());
    (cut[..end].trim().to_string(), true)
}

fn done(
    request: &EnhanceRequest,
    prompt: String,
    strategy: &str,
    template: Option<&str>,
    model: Option<String>,
    started: Instant,
) -> Json {
    let (before, after) = (request.prompt.chars().count(), prompt.chars().count());
    let expansion = after as f64 * 100.0 / before.max(1) as f64;
    json!({
        "success": true,
        "original_prompt": request.prompt,
        "enhanced_prompt": prompt,
        "enhancement_strategy": strategy,
        "enhancement_metadata": {
            "original_length": before,
            "enhanced_length": after,
            "expansion_percentage": format!("{expansion:.1}"),
            "job_type": request.job_type,
            "format": request.format,
            "quality": request.quality,
            "content_mode": request.tier.name(),
            "template_name": template,
            "model_used": model,
            "token_count": token_count(&prompt),
            "compression_applied": false,
            "execution_time_ms": started.elapsed().as_millis() as u64,
            "cache_hit": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_cut_at_a_mark_that_is_near() {
        let long = "a lighthouse in the mist, ".repeat(20);
        let (short, was_cut) = trim(&long, 20);
        assert!(was_cut && short.chars().count() <= 80 && short.ends_with("mist"), "{short}");
        assert_eq!(trim("short", 25), ("short".to_string(), false));
        let (word, _) = trim(&"é".repeat(300), 10);
        assert_eq!(word.chars().count(), 40);
    }
}
