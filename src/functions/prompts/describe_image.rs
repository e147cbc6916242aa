//! describe-image: what a picture shows, in words or as fields, by a model that can look.

use std::time::Instant;

use actors::content_rules::{self, ContentRating};
use actors::conversation::sheet::each_text;
use actors::language::Chosen;
use models::value_words::Takes;
use serde_json::{Value as Json, json};
use services::age_gate;
use services::files::picture_for_model;
use services::prompts::ask_model::{self, Answer, Question};
use services::prompts::templates;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// What is answered: texts, or fields.
const MODES: [&str; 4] = ["caption", "detailed", "structured", "scoring"];

const OTHERWISE: &str = "Describe what the picture shows, exactly and without guessing names.";

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let started = Instant::now();
    let fields = ["imageUrl", "contentRating", "outputMode", "modelKey", "modelId", "originalPrompt"];
    let body = call.read_fields(&fields.map(|name| (name, Takes::Text)))?;
    let tier = age_gate::rating(&call.context, "contentRating", body["contentRating"].as_str())?;
    let mode = body["outputMode"].as_str().unwrap_or("structured").to_string();
    if !MODES.contains(&mode.as_str()) {
        return Err(FunctionError::none_of("outputMode", &mode, &MODES));
    }
    let image =
        picture_for_model::address(&call.context, body["imageUrl"].as_str().unwrap_or_default()).await?;
    let name = body["modelKey"].as_str().or(body["modelId"].as_str());
    let chosen = call.context.services.chat.engines().choose_vision(name).await?;
    let prompt = body["originalPrompt"].as_str().unwrap_or_default();
    content_rules::check(tier, "originalPrompt", prompt)?;
    let Answer { said: data, model } = match look(&call, &chosen, image, &mode, prompt, tier).await {
        Ok(answer) => answer,
        // The caller's screen shows this one beside the picture.
        Err(error) if error.body["code"] == "UNUSABLE_ANSWER" || error.body["code"] == "EMPTY_REPLY" => {
            return ok(json!({"success": false, "error": error.body["error"]}));
        }
        Err(error) => return Err(error),
    };
    ok(json!({
        "success": true,
        "data": data,
        "model_used": model,
        "model_display_name": chosen.display_name,
        "processing_time_ms": started.elapsed().as_millis() as u64,
    }))
}

/// What a model sees in a picture.
pub(crate) async fn look(
    call: &Call,
    chosen: &Chosen,
    image: String,
    mode: &str,
    prompt: &str,
    tier: ContentRating,
) -> Result<Answer<Json>, FunctionError> {
    let use_case = if mode == "scoring" { "prompt_scoring" } else { "describe_image" };
    let template = templates::of_use_case(&call.context, use_case, tier, OTHERWISE).await?;
    let user = match mode {
        "caption" => "Describe the picture in one sentence.",
        "detailed" => "Describe the picture in one detailed paragraph.",
        "scoring" => &format!("The picture was made from this prompt: {prompt}"),
        _ => "Describe the person in the picture as JSON.",
    };
    let mut question =
        Question { temperature: 0.2, ..Question::new("describe-image", &template.system_prompt, user, 700) };
    question.image = Some(image);
    let answer = match mode {
        "caption" | "detailed" => {
            let Answer { said: text, model } = ask_model::text(&call.context, chosen, question).await?;
            if text.is_empty() {
                let error = FunctionError::new(axum::http::StatusCode::BAD_GATEWAY, "the model said nothing");
                return Err(error.with("code", "EMPTY_REPLY"));
            }
            Answer { said: json!({ "text": text }), model }
        }
        _ => ask_model::object(&call.context, chosen, question, schema(mode)).await?,
    };
    let answer = Answer { said: with_traits_as_text(answer.said), ..answer };
    let mut refused = Ok(());
    each_text(&answer.said, &mut |text| {
        if refused.is_ok() {
            refused = content_rules::check(tier.of_own_words(), "the description", text);
        }
    });
    refused?;
    Ok(answer)
}

/// Screens show traits as one text; servers elsewhere answer with lists at times.
fn with_traits_as_text(mut said: Json) -> Json {
    let listed = said.get("traits").and_then(Json::as_array);
    let words: Option<Vec<String>> =
        listed.map(|traits| traits.iter().filter_map(Json::as_str).map(str::to_string).collect());
    if let Some(words) = words {
        said["traits"] = json!(words.join(", "));
    }
    said
}

fn schema(mode: &str) -> Json {
    let list = json!({"type": "array", "items": {"type": "string"}, "maxItems": 20});
    if mode == "scoring" {
        let rating = json!({"type": "number", "minimum": 1, "maximum": 5});
        return json!({
            "type": "object",
            "properties": {
                "action_match": rating, "appearance_match": rating, "overall_quality": rating,
                "matched": list, "missing": list, "issues": list,
            },
            "required": ["action_match", "appearance_match", "overall_quality"],
        });
    }
    json!({
        "type": "object",
        "properties": {
            "gender": {"type": "string"}, "description": {"type": "string"}, "traits": {"type": "string"},
            "appearance_tags": list, "physical_traits": {"type": "object"}, "suggested_names": list,
        },
        "required": ["description", "appearance_tags"],
    })
}
