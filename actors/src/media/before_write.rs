//! What holds for media of scripts with every writer: states, progress, whose they are, why they failed.

use models::{Row, TableInfo, Value, schema};
use serde_json::{Value as Json, json};
use store::{Event, StoreError, Transaction};

use super::failure::FailureCode;
use super::steps::RETRIES_MAX;

/// The states of a picture or a clip of sound.
const STATES: [&str; 4] = ["pending", "processing", "completed", "failed"];
/// The word of another system for `processing`; it is read and never written.
const IN_PROGRESS: &str = "in_progress";

/// Looks a row of `image_generations` or `audio_generations` over.
pub(crate) fn piece(transaction: &Transaction, event: &Event, new: &mut Row) -> Result<(), StoreError> {
    let table = event.table;
    let status = table.at("status");
    match new[status].as_str() {
        Some(IN_PROGRESS) => new[status] = Value::text("processing"),
        Some(known) if STATES.contains(&known) => {}
        other => {
            let given = other.unwrap_or("NULL");
            let message = format!("status: {given} is not one of {}", STATES.join(", "));
            return Err(StoreError::raised("23514", message));
        }
    }
    if let Some(progress) = table.column("progress") {
        match new[progress].as_i64() {
            Some(percent) if !(0..=100).contains(&percent) => {
                let message = format!("progress: {percent} is not within 0 to 100");
                return Err(StoreError::raised("23514", message));
            }
            _ => {}
        }
        if new[status].as_str() == Some("completed") {
            new[progress] = Value::Int(100);
        }
    }
    owner(transaction, table, new)?;
    explain(table, event.old, new);
    Ok(())
}

/// A piece without an account has that of the video that it is for.
fn owner(transaction: &Transaction, table: &TableInfo, new: &mut Row) -> Result<(), StoreError> {
    let user = table.at("user_id");
    let video = &new[table.at("video_generation_id")];
    if !new[user].is_null() || video.is_null() {
        return Ok(());
    }
    let videos = schema().known("video_generations");
    if let Some(video) = transaction.reads().get(videos, std::slice::from_ref(video))? {
        new[user] = video[videos.at("user_id")].clone();
    }
    Ok(())
}

/// A piece that failed says by a code why, where it says so in words.
fn explain(table: &TableInfo, old: Option<&Row>, new: &mut Row) {
    let (status, message) = (table.at("status"), table.at("error_message"));
    let fails = new[status].as_str() == Some("failed")
        && old.is_none_or(|old| old[status] != new[status] || old[message] != new[message]);
    let Some(words) = new[message].as_str().filter(|_| fails).map(str::to_string) else { return };
    let Some(notes) = table.column("meta").or_else(|| table.column("audio_metadata")) else { return };
    let mut facts = new[notes].as_json().filter(Json::is_object).unwrap_or(json!({}));
    facts["error_code"] = json!(FailureCode::of(&words).name());
    new[notes] = Value::json(&facts);
}

/// Looks a row of `video_generations` over: a retry counts, and what is done cannot be resumed.
pub(crate) fn video(event: &Event, new: &mut Row) -> Result<(), StoreError> {
    let table = event.table;
    let [status, retries, resumes] =
        ["generation_status", "retry_count", "can_resume"].map(|column| table.at(column));
    let Some(old) = event.old else { return Ok(()) };
    if old[status] == new[status] {
        return Ok(());
    }
    match new[status].as_str() {
        Some("completed") => new[resumes] = Value::Bool(false),
        Some("retrieval_failed") => new[resumes] = Value::Bool(true),
        Some("retrying") => {
            let count = old[retries].as_i64().unwrap_or(0);
            if count >= RETRIES_MAX {
                let from = old[status].as_str().unwrap_or_default();
                return Err(StoreError::Raised {
                    sqlstate: "PT409",
                    message: format!("generation_status: tried again {count} times, at most {RETRIES_MAX}"),
                    details: Some(json!({"from": from, "to": "retrying"}).to_string()),
                    hint: None,
                });
            }
            new[retries] = Value::Int(count + 1);
        }
        _ => {}
    }
    Ok(())
}
