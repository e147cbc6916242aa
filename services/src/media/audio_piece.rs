//! A clip of sound: words that are spoken, or a file of the account's that is there already.

use actors::file::NewObject;
use models::Value;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::run::{Run, Stop, internal, url};
use super::speech;
use crate::error::ServiceError;

/// Makes it: its file, the columns that it changes, and notes.
pub(super) async fn make(
    run: &Run,
    piece: &Json,
    id: Uuid,
) -> Result<(NewObject, Vec<(&'static str, Value)>, Map<String, Json>), Stop> {
    let text = |column: &str| piece[column].as_str().map(str::trim).filter(|text| !text.is_empty());
    if matches!(piece["audio_type"].as_str(), Some("sound_effects" | "background_music")) {
        let kind = piece["audio_type"].as_str().unwrap_or_default();
        let reason = format!("{kind} is not made here: upload a file and name it");
        return Err(ServiceError::field("audio_url", reason).into());
    }
    let words =
        text("text_content").ok_or_else(|| ServiceError::field("text_content", "there is nothing to say"))?;
    let spoken = speech::speak(&run.context, words, text("voice_id"), text("model_id")).await?;
    let bytes = spoken.bytes;
    let task =
        tokio::task::spawn_blocking(move || sound::decode(&bytes).map(|sound| (sound.seconds(), bytes)));
    let decoded = task.await.map_err(|_| internal("reading speech failed unexpectedly"))?;
    let (seconds, bytes) =
        decoded.map_err(|reason| ServiceError::bad(format!("the speech of {}: {reason}", spoken.model)))?;
    let name = run.place(run.video.unwrap_or(id), &format!("speech-{id}.{}", spoken.extension));
    let object = run.keep(name, bytes, spoken.mime_type).await?;
    let values = vec![
        ("audio_url", Value::text(url(&object))),
        ("duration_seconds", Value::Float(seconds)),
        ("model_id", Value::text(&*spoken.model)),
    ];
    Ok((object, values, Map::from_iter([("mime_type".to_string(), json!(spoken.mime_type))])))
}
