//! character-suggestions: ideas for a character's traits, voice, looks and past.

use std::time::Instant;

use actors::content_rules;
use actors::language::Wanted;
use serde_json::{Value as Json, json};

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};
use crate::request_body::Field;
use actors::conversation::sheet::each_text;
use models::value_words::Takes;
use services::age_gate;
use services::prompts::ask_model::{self, Question};
use services::prompts::templates;

const ITEMS_MAX: usize = 8;
/// Longest description of what is known, in characters.
const KNOWN_CHARS_MAX: usize = 6000;

const OTHERWISE: &str = "You help to design characters. Suggest what fits what is known, as JSON.";

/// What each type asks for: member, whether it is a list, and in words.
const MEMBERS: [(&str, &str, bool); 9] = [
    ("description", "suggestedDescription", false),
    ("traits", "suggestedTraits", true),
    ("voice", "suggestedVoiceTone", false),
    ("appearance", "suggestedAppearance", true),
    ("backstory", "suggestedBackstory", true),
    ("voice_examples", "suggestedVoiceExamples", true),
    ("description", "suggestedPersona", false),
    ("backstory", "suggestedPersona", false),
    ("voice", "suggestedForbiddenPhrases", true),
];

/// What can be asked for.
const TYPES: [&str; 7] =
    ["traits", "voice", "appearance", "backstory", "voice_examples", "description", "all"];

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let started = Instant::now();
    // What is known of the character comes under names that begin alike.
    let given = call.names()?;
    let existing = given.iter().map(String::as_str).filter(|name| name.starts_with("existing"));
    let fields: Vec<Field<'_>> = ["type", "contentRating", "modelKey", "modelId", "characterName"]
        .into_iter()
        .map(|name| (name, Takes::Text))
        .chain(existing.map(|name| (name, Takes::Anything)))
        .collect();
    let body = call.read_fields(&fields)?;
    let kind = body["type"].as_str().unwrap_or_default().to_string();
    let mut wanted: Vec<&(&str, &str, bool)> = Vec::new();
    for member in MEMBERS.iter().filter(|member| kind == "all" || kind == member.0) {
        // Some belong to more than one type.
        if !wanted.iter().any(|known| known.1 == member.1) {
            wanted.push(member);
        }
    }
    if wanted.is_empty() {
        let error = match kind.as_str() {
            "" => FunctionError::missing_choice("type", &TYPES),
            other => FunctionError::none_of("type", other, &TYPES),
        };
        return Err(error.with("success", false));
    }
    let tier = age_gate::rating(&call.context, "contentRating", body["contentRating"].as_str())?;
    let known = known(&body);
    content_rules::check(tier, "the character", &known)?;
    let name = body["modelKey"].as_str().or(body["modelId"].as_str());
    let chosen =
        call.context.services.chat.engines().choose(Wanted { name, task: "roleplay", strict: false }).await?;
    call.warnings.extend(ask_model::stand_in("modelKey", name, &chosen));
    let template = templates::of_use_case(&call.context, "character_suggestions", tier, OTHERWISE).await?;
    let properties: serde_json::Map<String, Json> = wanted
        .iter()
        .map(|(_, member, is_list)| {
            let kind = if *is_list {
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": ITEMS_MAX})
            } else {
                json!({"type": "string"})
            };
            (member.to_string(), kind)
        })
        .collect();
    let required: Vec<&str> = wanted.iter().map(|(_, member, _)| *member).collect();
    let schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let user = format!("What is known of the character:\n{known}\nSuggest: {}", required.join(", "));
    let question = Question {
        temperature: 0.9,
        ..Question::new("character-suggestions", &template.system_prompt, &user, 900)
    };
    let ask_model::Answer { said: made, model } =
        ask_model::object(&call.context, &chosen, question, schema).await?;
    let mut refused = Ok(());
    each_text(&made, &mut |text| {
        if refused.is_ok() {
            refused = content_rules::check(tier.of_own_words(), "a suggestion", text);
        }
    });
    refused?;
    let suggestions: serde_json::Map<String, Json> = wanted
        .iter()
        .map(|(_, member, is_list)| {
            let value = &made[*member];
            let value = if *is_list { json!(ask_model::texts(value, ITEMS_MAX)) } else { value.clone() };
            (member.to_string(), value)
        })
        .collect();
    ok(json!({
        "success": true,
        "suggestions": suggestions,
        "model_used": model,
        "model_display_name": chosen.display_name,
        "processing_time_ms": started.elapsed().as_millis() as u64,
    }))
}

/// What the caller says of the character, in lines.
fn known(body: &Json) -> String {
    let mut lines = Vec::new();
    if let Some(name) = body["characterName"].as_str().filter(|name| !name.trim().is_empty()) {
        lines.push(format!("Name: {name}"));
    }
    for (key, value) in body.as_object().into_iter().flatten() {
        let Some(what) = key.strip_prefix("existing") else { continue };
        let mut texts = Vec::new();
        each_text(value, &mut |text| texts.push(text.to_string()));
        if !texts.is_empty() {
            lines.push(format!("{what}: {}", texts.join(", ")));
        }
    }
    let known: String = lines.join("\n").chars().take(KNOWN_CHARS_MAX).collect();
    if known.is_empty() { "nothing yet".into() } else { known }
}
