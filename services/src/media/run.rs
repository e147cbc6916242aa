//! One job of media that runs: what it keeps, and how far it is.

use std::time::Duration;

use actors::file::NewObject;
use actors::job_scheduler::{LIBRARY_BUCKET, NodeWrite, RecordNode};
use actors::media::files::FOLDER;
use models::Value;
use serde_json::{Value as Json, json};
use store::blob::BlobHash;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::piece::Piece;
use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::rows::table;
use crate::storyboards::owned;

/// Clips of sound of a video at most: what an order can have, 400 lines, 100 effects and the music. Rows can also be
/// inserted by themselves.
const SOUNDS_MAX: usize = 501;
/// Pictures of a video at most: an order has at most 60 scenes with one each; a scene may get more.
const PICTURES_MAX: usize = 240;
/// Largest film that is read, in bytes: ten minutes of it may have more than a piece may.
const FILM_BYTES_MAX: i64 = 1 << 30;

/// Why a job does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// It ended meanwhile: it was cancelled, or another attempt runs.
    Ended,
    /// A step failed.
    Failed(ServiceError),
    /// A file is there and could not be fetched.
    Unfetched(ServiceError),
}

impl From<ServiceError> for Stop {
    fn from(error: ServiceError) -> Stop {
        Stop::Failed(error)
    }
}

/// One job that runs, under the rights of its account.
#[derive(Debug)]
pub(super) struct Run {
    pub context: Context,
    pub user: Uuid,
    /// The video that it makes; none where it makes pieces alone.
    pub video: Option<Uuid>,
    job: Uuid,
    attempt: i64,
}

impl Run {
    pub fn new(context: Context, user: Uuid, (job, attempt): (Uuid, i64), video: Option<Uuid>) -> Run {
        Run { context, user, video, job, attempt }
    }

    /// Writes what a step made, and that it is done, in one commit.
    pub async fn record(&self, node: &str, writes: Vec<NodeWrite>) -> Result<(), Stop> {
        let kind = node.split('/').next().unwrap_or(node);
        store::crash::point(&format!("media_{kind}"));
        let record = RecordNode {
            job: self.job,
            attempt: self.attempt,
            node: node.to_string(),
            result: json!(true),
            writes,
        };
        let recorded = self.context.ask(record).await.map_err(ServiceError::from)?;
        store::crash::point(&format!("media_{kind}_recorded"));
        recorded.map(|_| ()).ok_or(Stop::Ended)
    }

    /// The video, as an object.
    pub async fn video(&self, id: Uuid) -> Result<Json, Stop> {
        let row = self.context.row("video_generations", id).await?;
        Ok(row.ok_or_else(|| ServiceError::not_found("the video was deleted"))?)
    }

    /// The rows of a table that belong to the video, in order. More than a video may have are refused.
    pub async fn pieces(&self, name: &'static str, id: Uuid) -> Result<Vec<Json>, Stop> {
        let most = if name == Piece::Image.table() { PICTURES_MAX } else { SOUNDS_MAX };
        let query = store::query::Query::all(table(name).id)
            .equal("video_generation_id", Value::Uuid(id))
            .equal("user_id", Value::Uuid(self.user))
            .order("sequence_order", false)
            .limit(most as u64 + 1);
        let rows = self.context.rows(query).await?;
        if rows.len() > most {
            let message = format!("the video has more than {most} rows of {name}; at most {most} are made");
            return Err(ServiceError::new(Kind::Conflict, message).into());
        }
        Ok(rows)
    }

    /// The change of the video's row, with how far the job is: `done` of `total` in a step.
    pub fn of_video(
        &self,
        video: &Json,
        mut values: Vec<(&'static str, Value)>,
        (step, done, total): (&str, usize, usize),
    ) -> Vec<NodeWrite> {
        let Some(id) = self.video else { return Vec::new() };
        let mut notes = video["task_meta"].clone();
        if !notes.is_object() {
            notes = json!({});
        }
        notes["progress"] = json!({"step": step, "done": done, "total": total});
        values.push(("task_meta", Value::json(&notes)));
        vec![NodeWrite::Update { table: "video_generations", id, values }]
    }

    /// The place of a file that the server makes for a row.
    pub fn place(&self, of: Uuid, name: &str) -> String {
        format!("{}/{FOLDER}/{of}/{name}", self.user)
    }

    /// Makes bytes durable; the file is there once what names it is written.
    pub async fn keep(&self, name: String, bytes: Vec<u8>, mime: &'static str) -> Result<NewObject, Stop> {
        let (store, user) = (self.context.services.actors.store().clone(), self.user);
        let task = tokio::task::spawn_blocking(move || {
            NewObject::write(&store, LIBRARY_BUCKET, |_| name, user, &bytes, mime)
        });
        let kept = task.await.map_err(|_| internal("keeping a file failed unexpectedly"))?;
        Ok(kept.map_err(ServiceError::from)?)
    }

    /// The bytes of a kept film.
    pub async fn read(&self, address: &str) -> Result<Vec<u8>, Stop> {
        let user = self.user.to_string();
        let read = owned::file_up_to(&self.context, &user, address, FILM_BYTES_MAX).await;
        read.map_err(Stop::Unfetched)
    }

    /// Gives the bytes of kept pieces, one after the other, so that few of them are in memory at once. Ends early where the
    /// receiver is gone; its side says why. Answers with the hashes of what was given.
    pub async fn feed(
        &self,
        addresses: Vec<String>,
        files: mpsc::Sender<Vec<u8>>,
    ) -> Result<Vec<String>, Stop> {
        let user = self.user.to_string();
        let mut hashes = Vec::with_capacity(addresses.len());
        for address in addresses {
            let read = owned::file(&self.context, &user, &address).await.map_err(Stop::Unfetched)?;
            hashes.push(BlobHash::of(&read).hex());
            if files.send(read).await.is_err() {
                break;
            }
        }
        Ok(hashes)
    }

    /// Waits, unless the job ends meanwhile.
    pub async fn pause(&self, time: Duration) -> Result<(), Stop> {
        tokio::time::sleep(time).await;
        let job = self.context.row("jobs", self.job).await?;
        match job.is_some_and(|job| job["status"] == "processing" && job["attempts"] == self.attempt) {
            true => Ok(()),
            false => Err(Stop::Ended),
        }
    }
}

/// The address of a kept file, as rows name it.
pub(super) fn url(object: &NewObject) -> String {
    format!("{}/{}", object.bucket, object.name)
}

/// A file with the bytes of another one of the account.
pub(super) fn same_bytes(object: &Json, name: String, user: Uuid) -> Option<NewObject> {
    Some(NewObject {
        bucket: LIBRARY_BUCKET.into(),
        name,
        owner: Some(user),
        blob: object["blob_hash"].as_str().and_then(BlobHash::parse)?,
        size: object["size"].as_u64()?,
        mime_type: object["mime_type"].as_str()?.to_string(),
        cache_control: None,
        user_metadata: None,
    })
}

pub(super) fn internal(message: &str) -> ServiceError {
    ServiceError::new(Kind::Internal, message)
}
