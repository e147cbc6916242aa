//! enhance-prompt: a prompt for pictures or clips, made richer by a model and a template.

use std::time::Instant;

use actors::content_rules::{self, ContentRating};
use actors::language::{Chosen, Wanted};
use models::Value;
use serde_json::{Value as Json, json};

use crate::functions::ask_model::{self, Question};
use crate::functions::call::{Call, Outcome, ok};
use crate::functions::error::FunctionError;
use crate::functions::templates::{self, Template};
use crate::functions::{cast, enhance_scene};

/// Longest prompt, in characters.
const PROMPT_CHARS_MAX: usize = 16_000;

/// What is asked for, whatever the spelling.
pub(crate) struct Request {
    pub prompt: String,
    pub job_type: String,
    pub enhancer: Option<String>,
    pub content_type: String,
    pub format: String,
    pub quality: String,
    pub model_id: Option<uuid::Uuid>,
    pub metadata: Json,
    pub tier: ContentRating,
}

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let body: Json = call.read()?;
    ok(enhance(&call, &body).await?)
}

/// The answer to a request, for this function and for those that call it.
pub(crate) async fn enhance(call: &Call, body: &Json) -> Result<Json, FunctionError> {
    let started = Instant::now();
    let request = read(call, body)?;
    match request.content_type.as_str() {
        "scene_creation" => return enhance_scene::create(call, &request).await,
        "scene_starters" => return enhance_scene::starters(call, &request).await,
        _ => {}
    }
    if request.metadata["reference_mode"] == "modify" {
        let prompt = format!("maintain the same subject; {}", request.prompt);
        return Ok(done(&request, prompt, "modify_flow", Some("modify_flow"), None, started));
    }
    let Some(template) = template(call, &request).await? else {
        let prompt = request.prompt.clone();
        return Ok(done(&request, prompt, "no_template_available", None, None, started));
    };
    let strategy = if template.source == "cache" { "template_cached" } else { "template_db" };
    let limit = template.token_limit;
    let (prompt, model) = match rewrite(call, &request, &template).await {
        Ok((prompt, model)) => (prompt, Some(model)),
        Err(error) => {
            // A prompt that is not enhanced is still a prompt.
            tracing::warn!(error = %error.body, "a prompt could not be enhanced");
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

fn read(call: &Call, body: &Json) -> Result<Request, FunctionError> {
    let text = |names: &[&str]| {
        let found = names.iter().filter_map(|name| body[*name].as_str()).map(str::trim);
        found.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_string()
    };
    let prompt = text(&["prompt", "original_prompt"]);
    if prompt.is_empty() || prompt.chars().count() > PROMPT_CHARS_MAX {
        let message = format!("Prompt is required, at most {PROMPT_CHARS_MAX} characters");
        return Err(FunctionError::bad(message).with("success", false));
    }
    let content_type = text(&["contentType", "content_type"]);
    let rating = text(&["contentRating", "content_rating"]);
    let given =
        [content_type.as_str(), rating.as_str()].into_iter().find(|it| ContentRating::parse(it).is_some());
    let detected = if content_rules::is_explicit(&prompt) { "nsfw" } else { "sfw" };
    let tier = cast::tier(call, Some(given.unwrap_or(detected)))?;
    content_rules::check(tier, "the prompt", &prompt)?;
    let or = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_string() } else { text };
    Ok(Request {
        prompt,
        job_type: or(text(&["jobType", "job_type"]), "sdxl_image_fast"),
        enhancer: Some(text(&["selectedModel", "enhancement_model", "chatModel"]))
            .filter(|it| !it.is_empty()),
        content_type,
        format: or(text(&["format"]), "image"),
        quality: or(text(&["quality"]), "fast"),
        model_id: cast::uuid(&body["model_id"]),
        metadata: body["metadata"].clone(),
        tier,
    })
}

/// `image` or `video`, and the model that the prompt is for.
fn target(request: &Request, model_key: Option<&str>) -> (&'static str, String) {
    let is_video = request.job_type.contains("video") || request.job_type.contains("wan");
    let category = if is_video { "video" } else { "image" };
    let family = if is_video { "wan" } else { "sdxl" };
    (category, model_key.unwrap_or(family).to_string())
}

async fn template(call: &Call, request: &Request) -> Result<Option<Template>, FunctionError> {
    let model = match request.model_id {
        Some(id) => call.row("api_models", id).await?,
        None => None,
    };
    let model_key = model.as_ref().and_then(|row| row["model_key"].as_str());
    let (category, wanted) = target(request, model_key);
    let (_, family) = target(request, None);
    let config = call.app.chat.engines().system_config().await?;
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
            if let Some(template) = templates::by_tier(call, own, request.tier).await? {
                return Ok(Some(template));
            }
        }
        if let Some(template) = templates::by_tier(call, query(), request.tier).await? {
            return Ok(Some(template));
        }
    }
    Ok(None)
}

/// The model that enhances.
pub(crate) async fn enhancer(call: &Call, request: &Request) -> Result<Chosen, FunctionError> {
    let wanted = Wanted { name: request.enhancer.as_deref(), task: "enhancement", strict: false };
    Ok(call.app.chat.engines().choose(wanted).await?)
}

async fn rewrite(
    call: &Call,
    request: &Request,
    template: &Template,
) -> Result<(String, String), FunctionError> {
    let chosen = enhancer(call, request).await?;
    let limit = template.token_limit.unwrap_or(2000);
    let question = Question::new(&template.system_prompt, &request.prompt, limit.min(2000));
    let text = ask_model::text(call, &chosen, question).await?;
    if text.is_empty() {
        return Err(FunctionError::new(axum::http::StatusCode::BAD_GATEWAY, "the model said nothing"));
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
    request: &Request,
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
