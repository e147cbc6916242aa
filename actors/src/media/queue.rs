//! Media of scripts as jobs of the queue: rows, and the job that fills them, in one commit; a video stands as its job does.

use models::{Aggregate, Row, Value, schema};
use serde_json::{Value as Json, json};
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

use super::jobs::{FAILURE, MEDIA_JOBS, RETRIEVAL};
use crate::aggregate::Decision;
use crate::job_scheduler::{NodeWrite, QueueJob, QueuedJob, apply_write, is_final};
use crate::refusal::Refusal;

/// Writes rows and queues the job that works on them.
#[derive(Debug)]
pub struct QueueMedia {
    /// What is written first, under the caller's own rights.
    pub writes: Vec<NodeWrite>,
    /// The job.
    pub job: QueueJob,
    /// The video that the job makes. One job makes a video at a time.
    pub video: Option<Uuid>,
    /// The states that the video must have, where it is there already.
    pub from: &'static [&'static str],
}

impl Decision for QueueMedia {
    type Answer = QueuedJob;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<QueuedJob, Refusal> {
        let videos = schema().known("video_generations");
        if let (Some(id), false) = (self.video, self.from.is_empty()) {
            let missing = || Refusal::raised("PT404", "Video not found");
            let video = transaction.reads().get(videos, &[Value::Uuid(id)])?.ok_or_else(missing)?;
            let status = video[videos.at("generation_status")].as_str().unwrap_or_default();
            if !self.from.contains(&status) {
                let message = format!(
                    "the video is {status}; it can be tried again when it is {}",
                    self.from.join(" or ")
                );
                return Err(Refusal::raised("PT409", message));
            }
            if let Some(job) = running(transaction, &video[videos.at("task_meta")])? {
                return Err(Refusal::raised("PT409", format!("job {job} makes the video already")));
            }
        }
        for write in self.writes {
            apply_write(transaction, write)?;
        }
        self.job.decide(transaction)
    }
}

/// The job of a video that has not ended.
fn running(transaction: &Transaction, notes: &Value) -> Result<Option<Uuid>, Refusal> {
    let jobs = schema().known("jobs");
    let notes = notes.as_json().unwrap_or_default();
    let Some(id) = notes["job_id"].as_str().and_then(|id| Uuid::parse_str(id).ok()) else { return Ok(None) };
    let job = transaction.reads().get(jobs, &[Value::Uuid(id)])?;
    Ok(job.filter(|job| !is_final(job[jobs.at("status")].as_str())).map(|_| id))
}

/// What ends a job ends the video and the pieces that it was working on.
pub(crate) fn follow(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let jobs = event.table;
    let (Some(old), Some(new)) = (event.old, new) else { return Ok(()) };
    let status = jobs.at("status");
    let kind = new[jobs.at("job_type")].as_str().unwrap_or_default();
    let now = match new[status].as_str() {
        Some(now @ ("failed" | "cancelled")) if old[status] != new[status] && MEDIA_JOBS.contains(&kind) => {
            now
        }
        _ => return Ok(()),
    };
    let metadata = new[jobs.at("metadata")].as_json().unwrap_or_default();
    let user = &new[jobs.at("user_id")];
    let reason = match now {
        "cancelled" => "cancelled".to_string(),
        _ => new[jobs.at("error_message")].as_str().unwrap_or("failed").to_string(),
    };
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let own = |table: &'static str, id: &Json| -> Result<Option<Row>, StoreError> {
        let table = schema().known(table);
        let Some(id) = id.as_str().and_then(|id| Uuid::parse_str(id).ok()) else { return Ok(None) };
        let row = transaction.reads().get(table, &[Value::Uuid(id)])?;
        // An owner may write the metadata of a job, and only their own rows follow it.
        Ok(row.filter(|row| row[table.at("user_id")] == *user))
    };
    let videos = schema().known("video_generations");
    if let Some(video) = own("video_generations", &metadata["video_generation_id"])? {
        let notes = video[videos.at("task_meta")].as_json().unwrap_or_default();
        if notes["job_id"] == json!(new[jobs.at("id")].as_uuid()) {
            let fetched = metadata[FAILURE] == RETRIEVAL && now == "failed";
            let mut row = video.clone();
            let stands = if fetched { "retrieval_failed" } else { "failed" };
            row[videos.at("generation_status")] = Value::text(stands);
            row[videos.at("error_message")] = Value::text(&*reason);
            row[videos.at("can_resume")] = Value::Bool(true);
            transaction.update(&service, videos, &video, row)?;
        }
    }
    for (member, table) in [("images", "image_generations"), ("audio", "audio_generations")] {
        for id in metadata[member].as_array().into_iter().flatten() {
            let Some(piece) = own(table, id)? else { continue };
            let table = schema().known(table);
            if !matches!(piece[table.at("status")].as_str(), Some("pending" | "processing")) {
                continue;
            }
            let mut row = piece.clone();
            row[table.at("status")] = Value::text("failed");
            row[table.at("error_message")] = Value::text(&*reason);
            transaction.update(&service, table, &piece, row)?;
        }
    }
    Ok(())
}
