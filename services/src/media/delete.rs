//! Media are deleted: rows, and the files that the server made for them in the same commit.

use actors::job_scheduler::CancelJob;
use models::Value;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::table;
use crate::storyboards::owned;
use actors::write_rows::{Change, WriteRows};
use store::query::{Filter, Limits, Query};

/// The tables, with what rows of them are called.
const TABLES: [(&str, &str); 3] =
    [("video_generations", "Video"), ("image_generations", "Picture"), ("audio_generations", "Sound")];

/// What went.
#[derive(Debug, Default)]
pub struct Deleted {
    /// Rows that are gone, without those that went with a video.
    pub deleted: Vec<Uuid>,
    /// Ids that are nothing that the caller may delete.
    pub unknown: Vec<Uuid>,
}

/// Deletes rows of media, whichever of the tables they are of. A video's job ends before.
pub async fn delete(context: &Context, ids: &[Uuid]) -> Result<Deleted, ServiceError> {
    context.user()?;
    let mut came = Deleted::default();
    for id in ids {
        match find(context, *id)? {
            None => came.unknown.push(*id),
            Some((name, row)) => {
                if let Some(job) = uuid(&row["task_meta"]["job_id"]) {
                    cancel(context, job, &row).await?;
                }
                let table = table(name);
                let change = Change::Delete {
                    filter: Filter::equal(table.at("id"), Value::Uuid(*id)),
                    scope: Box::new(Query::all(table.id)),
                };
                let write = WriteRows {
                    table: table.id,
                    change,
                    returning: None,
                    exactly_one: false,
                    affected_max: None,
                    limits: Limits::default(),
                };
                context.ask(write).await?;
                came.deleted.push(*id);
            }
        }
    }
    Ok(came)
}

/// The row of an id that the caller may change.
fn find(context: &Context, id: Uuid) -> Result<Option<(&'static str, Json)>, ServiceError> {
    for (name, what) in TABLES {
        match owned::row(context, name, what, id) {
            Ok(row) => return Ok(Some((name, row))),
            Err(error) if error.kind() == crate::error::Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Ends a job of the video's account; a row may name any.
async fn cancel(context: &Context, job: Uuid, video: &Json) -> Result<(), ServiceError> {
    let row = context.row("jobs", job).await?;
    if row.is_some_and(|row| row["user_id"] == video["user_id"]) {
        context.ask_elevated(CancelJob { id: job, message: "the video was deleted".into() }).await?;
    }
    Ok(())
}
