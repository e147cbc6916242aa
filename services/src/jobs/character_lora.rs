//! A LoRA that was trained on a character's pictures bears on pictures of it: by default, or as a request chooses.

use models::Value;
use models::value_words::shown_text;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::jobs::job_request::JobRequest;
use crate::rows::position;

/// The member of a job's metadata that names one, and what it says for none.
const MEMBER: &str = "character_lora";
const NONE: &str = "none";
/// LoRAs of one character that are looked at.
const LORAS_MAX: u64 = 100;

/// The LoRA of a drawing.
pub(crate) struct ChosenLora {
    /// What the prompt must say.
    pub trigger_word: String,
    /// As the job's metadata says it.
    pub about: Json,
}

/// Adds the LoRA of a character to a request: the one that `metadata.character_lora` names, or the default one of the
/// model that draws, unless `is_steered` says that nothing of the character is to bear on it.
pub(crate) async fn choose(
    context: &Context,
    user: Uuid,
    character: Uuid,
    is_steered: bool,
    request: &mut JobRequest,
) -> Result<Option<ChosenLora>, ServiceError> {
    let wanted = request.member(MEMBER).map(str::to_string);
    if wanted.as_deref() == Some(NONE) || (wanted.is_none() && !is_steered) {
        return Ok(None);
    }
    let query = Query::all(position("character_loras"))
        .equal("user_id", Value::Uuid(user))
        .equal("character_id", Value::Uuid(character))
        .order("created_at", true)
        .limit(LORAS_MAX);
    let known = context.rows(query).await?;
    let short = |row: &Json| {
        row["name"].as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default().to_string()
    };
    let chosen = match &wanted {
        Some(wanted) => {
            let named = |row: &&Json| row["name"] == *wanted || short(row) == *wanted;
            Some(known.iter().find(named).ok_or_else(|| {
                let names: Vec<String> = known.iter().map(short).chain([NONE.to_string()]).collect();
                let field = format!("metadata.{MEMBER}");
                let reason = format!("the character has no LoRA {}", shown_text(wanted));
                ServiceError::field(field, reason).with("accepted", names)
            })?)
        }
        None => {
            let own = context.services.settings.image_model.as_deref();
            let model = request.model.as_deref().or(own).unwrap_or(actors::render::STARTER);
            known.iter().find(|row| row["is_default"] == true && row["base_model"] == model)
        }
    };
    let Some(row) = chosen else { return Ok(None) };
    let name = row["name"].as_str().unwrap_or_default();
    let scale = row["scale"].as_f64().or_else(|| row["scale"].as_str()?.parse().ok()).unwrap_or(1.0);
    let mut loras = request.loras.as_array().cloned().unwrap_or_default();
    let names_it = |lora: &Json| {
        let given = lora.as_str().or_else(|| lora["name"].as_str()).unwrap_or_default();
        given == name || given == short(row)
    };
    if !loras.iter().any(names_it) {
        loras.push(json!({"name": name, "scale": scale}));
        request.loras = Json::Array(loras);
    }
    Ok(Some(ChosenLora {
        trigger_word: row["trigger_word"].as_str().unwrap_or_default().to_string(),
        about: json!({"name": name, "scale": scale}),
    }))
}
