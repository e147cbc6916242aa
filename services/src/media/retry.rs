//! A video that failed is tried again, from the first step that made nothing, or from one that is named.

use actors::job_scheduler::NodeWrite;
use actors::media::jobs::MEDIA_JOBS;
use actors::media::queue::QueueMedia;
use actors::media::steps::{Step, first_incomplete};
use models::Value;
use serde_json::{Value as Json, json};
use store::query::Query;
use uuid::Uuid;

use super::order::new_job;
use super::pieces::{Piece, reset};
use super::steps::name;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::rows::table;
use crate::storyboards::owned;

/// States from which a video is tried again.
const FROM: [&str; 2] = ["failed", "retrieval_failed"];

/// Tries again; answers with the video, its job and the step that it begins with.
pub async fn retry(
    context: &Context,
    id: Uuid,
    step: Option<&str>,
) -> Result<(Json, Uuid, &'static str), ServiceError> {
    let user = context.user()?;
    let video = owned::row(context, "video_generations", "Video", id)?;
    if uuid(&video["user_id"]) != Some(user) {
        return Err(ServiceError::not_found("Video not found"));
    }
    let first = first_incomplete(&video).unwrap_or(Step::LipSync);
    let begins = match step {
        None => first,
        Some(word) => Step::parse(word).ok_or_else(|| ServiceError::none_of("step", word, &Step::NAMES))?,
    };
    if begins > first {
        let message = format!("step {} has made nothing yet, so {} cannot begin", name(first), name(begins));
        return Err(ServiceError::new(Kind::Conflict, message).of_field("step"));
    }
    let job = Uuid::new_v4();
    let mut notes = video["task_meta"].clone();
    if !notes.is_object() {
        notes = json!({});
    }
    notes["job_id"] = json!(job);
    let mut values = vec![
        ("generation_status", Value::text("retrying")),
        ("error_message", Value::Null),
        ("task_meta", Value::json(&notes)),
    ];
    // What a step made is made anew from there on.
    let anew = Step::ALL.into_iter().filter(|known| *known >= begins);
    values.extend(anew.map(|known| (known.column(), Value::json(&json!({})))));
    let mut writes = vec![NodeWrite::Update { table: "video_generations", id, values }];
    let mut metadata = json!({"video_generation_id": id, "nodes": {}});
    for (kind, of, member) in [(Piece::Audio, Step::Audio, "audio"), (Piece::Image, Step::Images, "images")] {
        let query = Query::all(table(kind.table()).id)
            .equal("video_generation_id", Value::Uuid(id))
            .equal("user_id", Value::Uuid(user));
        let rows = context.rows(query).await?;
        metadata[member] = rows.iter().map(|row| row["id"].clone()).collect();
        for row in &rows {
            let again = step.is_some() && begins == of && is_made(kind, row);
            if row["status"] == "completed" && !again {
                continue;
            }
            writes.extend(reset(kind, row));
        }
    }
    let job_row = new_job(context, user, job, MEDIA_JOBS[0], &metadata, json!({"video_generation_id": id}));
    context.ask(QueueMedia { writes, job: job_row, video: Some(id), from: &FROM }).await?;
    Ok((context.row("video_generations", id).await?.unwrap_or_default(), job, name(begins)))
}

/// Whether the server makes it: a file that was uploaded stays.
fn is_made(kind: Piece, row: &Json) -> bool {
    kind == Piece::Image || super::picture_video::is_spoken(row)
}
