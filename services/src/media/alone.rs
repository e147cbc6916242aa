//! Pictures and clips of sound that belong to no video are made: rows that a client wrote, and the job that fills them.

use actors::job_scheduler::NodeWrite;
use actors::media::jobs::MEDIA_JOBS;
use actors::media::queue::QueueMedia;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::order::new_job;
use super::pieces::{Piece, reset};
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;
use crate::storyboards::owned;

/// Rows of one job at most.
pub const ROWS_MAX: usize = 200;

/// Queues the job of rows that wait or failed; answers with it.
pub async fn make(context: &Context, images: &[Uuid], audio: &[Uuid]) -> Result<Uuid, ServiceError> {
    let user = context.user()?;
    let mut writes: Vec<NodeWrite> = Vec::new();
    for (kind, ids, field, what) in
        [(Piece::Image, images, "images", "Picture"), (Piece::Audio, audio, "audio", "Sound")]
    {
        for (place, id) in ids.iter().enumerate() {
            let at = || format!("{field}[{place}]");
            let row = owned::row(context, kind.table(), what, *id).map_err(|error| error.of_field(at()))?;
            if uuid(&row["user_id"]) != Some(user) {
                return Err(ServiceError::not_found(format!("{what} not found")).of_field(at()));
            }
            let status = row["status"].as_str().unwrap_or_default();
            if !matches!(status, "pending" | "failed") {
                let message = format!("{id} is {status}; what is pending or failed is made");
                return Err(ServiceError::new(Kind::Conflict, message).of_field(at()));
            }
            if row["video_generation_id"].is_string() {
                let message = format!("{id} belongs to a video, which makes it itself: retry-video");
                return Err(ServiceError::new(Kind::Conflict, message).of_field(at()));
            }
            writes.extend(Some(()).filter(|()| status == "failed").and_then(|()| reset(kind, &row)));
        }
    }
    if images.is_empty() && audio.is_empty() {
        return Err(ServiceError::missing_one_of(&["images", "audio"]));
    }
    let job = Uuid::new_v4();
    let metadata: Json = json!({"images": images, "audio": audio, "nodes": {}});
    let job_row = new_job(context, user, job, MEDIA_JOBS[1], &metadata, json!({"pieces": true}));
    context.ask(QueueMedia { writes, job: job_row, video: None, from: &[] }).await?;
    Ok(job)
}
