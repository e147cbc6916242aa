//! Words to speech: by a server of OpenAI's dialect that the catalogue lists (`modality` `audio`, `task` `tts`), else by
//! `espeak-ng`, where that is installed.

mod espeak;
mod server;
mod spoken;

use models::Value;
use serde_json::Value as Json;
use store::query::Query;

pub use spoken::Spoken;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::position;

/// Longest text that is spoken at once, in characters: what OpenAI's dialect takes.
pub const CHARS_MAX: usize = 4096;

/// Speaks a text. Without a voice it is the model's own (`input_defaults.voice`), or English.
pub async fn speak(
    context: &Context,
    text: &str,
    voice: Option<&str>,
    model: Option<&str>,
) -> Result<Spoken, ServiceError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ServiceError::field("text_content", "there is nothing to say"));
    }
    if text.chars().count() > CHARS_MAX {
        return Err(ServiceError::field("text_content", format!("longer than {CHARS_MAX} characters")));
    }
    if let Some((model, provider)) = speaker(context, model).await? {
        return server::speak(context, &model, &provider, text, voice).await;
    }
    let (text, voice) = (text.to_string(), voice.map(str::to_string));
    let spoken = tokio::task::spawn_blocking(move || espeak::speak(&text, voice.as_deref())).await;
    spoken.unwrap_or_else(|_| Err(ServiceError::new(Kind::Internal, "speaking failed unexpectedly")))
}

/// The model of the catalogue that speaks, with its provider: the one that is named, else the default, else the one of the
/// lowest priority number.
async fn speaker(context: &Context, named: Option<&str>) -> Result<Option<(Json, Json)>, ServiceError> {
    let query = Query::all(position("api_models"))
        .equal("modality", Value::text("audio"))
        .equal("task", Value::text("tts"))
        .equal("is_active", Value::Bool(true))
        .order("is_default", true)
        .order("priority", false);
    for model in context.rows(query).await? {
        let is_named = named.is_none_or(|name| model["model_key"] == name || model["id"] == name);
        let Some(provider) = uuid(&model["provider_id"]).filter(|_| is_named) else { continue };
        let provider = context.row("api_providers", provider).await?;
        if let Some(provider) = provider.filter(|provider| provider["is_active"] == true) {
            return Ok(Some((model, provider)));
        }
    }
    match named {
        None | Some(espeak::PROGRAM) => Ok(None),
        Some(name) => Err(ServiceError::field(
            "model_id",
            format!("{name}: no active model of the catalogue with modality audio and task tts has this key"),
        )),
    }
}
