//! Jobs that run a graph of nodes: what a node makes and that it is done land in one commit, so that a graph goes on
//! where it stopped, and nothing is made twice.
//!
//! ```text
//! QueueGraph ─▶ ClaimJob ─▶ for each node: NoteProgress, work, RecordNode ─▶ EndGraph
//! ```
//!
//! `jobs.metadata` has the results of nodes under `nodes`. How a story stands follows its job (`graph_jobs.rs`).

use models::{Aggregate, Row, Value, schema};
use serde_json::{Map, Value as Json, json};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::job_rows::{by_id, current_job, jobs, merged, set};
use super::queue_job::{QueueJob, QueuedJob};
use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
use crate::moderation::{self, Flagged, pictures_of_minors};
use crate::refusal::Refusal;

/// The member of a job's metadata that has what its nodes came to.
pub const NODES: &str = "nodes";

/// Queues a graph. Of a story one at a time is made.
#[derive(Debug)]
pub struct QueueGraph {
    /// The job.
    pub job: QueueJob,
    /// The story that is made, and what its progress says meanwhile.
    pub story: Option<(Uuid, Json)>,
}

impl Decision for QueueGraph {
    type Answer = QueuedJob;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<QueuedJob, Refusal> {
        if let Some((id, progress)) = &self.story {
            let stories = schema().known("stories");
            let story = by_id(transaction, stories, *id)?
                .ok_or_else(|| Refusal::raised("PT404", "story not found"))?;
            if matches!(story[stories.at("generation_status")].as_str(), Some("queued" | "processing")) {
                return Err(Refusal::raised("PT409", "the story is being made already"));
            }
            write_progress(transaction, *id, "queued", progress)?;
        }
        self.job.decide(transaction)
    }
}

/// Says how far a graph has come, while its job is current.
#[derive(Debug)]
pub struct NoteProgress {
    /// The job.
    pub job: Uuid,
    /// Which attempt.
    pub attempt: i64,
    /// The story that is made.
    pub story: Uuid,
    /// `{current_node, message, step, total_steps}`
    pub progress: Json,
}

impl Decision for NoteProgress {
    /// Whether the job still runs.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        if current_job(transaction, self.job, self.attempt)?.is_none() {
            return Ok(false);
        }
        write_progress(transaction, self.story, "processing", &self.progress)?;
        Ok(true)
    }
}

/// A row that a node writes, in the name of the account whose job it is.
#[derive(Clone, Debug)]
pub enum NodeWrite {
    /// A new row.
    Insert {
        /// Of this table.
        table: &'static str,
        /// Its columns; the others have their defaults.
        values: Vec<(&'static str, Value)>,
    },
    /// Columns of a row; one that is gone stays gone.
    Update {
        /// Of this table.
        table: &'static str,
        /// Its id.
        id: Uuid,
        /// Its columns.
        values: Vec<(&'static str, Value)>,
    },
    /// A file whose bytes are durable; one of that name is replaced.
    File {
        /// The file.
        file: Box<NewObject>,
        /// Hashes of the bytes of the files that it shows, hexadecimal.
        made_of: Vec<String>,
    },
    /// A row goes, with what belongs to it.
    Delete {
        /// Of this table.
        table: &'static str,
        /// Its id.
        id: Uuid,
    },
    /// A picture whose bytes are durable, in the place of one of the same path. Where a picture that it was composed of
    /// is held back from public places, it waits for a review as well.
    Picture {
        /// The file.
        file: NewObject,
        /// Hashes of the bytes of the pictures that it shows, hexadecimal.
        composed_of: Vec<String>,
    },
}

/// Writes what a node made, and that it is done.
#[derive(Debug)]
pub struct RecordNode {
    /// The job.
    pub job: Uuid,
    /// Which attempt.
    pub attempt: i64,
    /// The node; each name is recorded once.
    pub node: String,
    /// What later nodes and a later attempt need of it.
    pub result: Json,
    /// What it writes.
    pub writes: Vec<NodeWrite>,
}

impl Decision for RecordNode {
    /// The node's result as it is recorded; `None` when the job does not run any more, and nothing was written.
    type Answer = Option<Json>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Json>, Refusal> {
        let Some(job) = current_job(transaction, self.job, self.attempt)? else { return Ok(None) };
        let mut nodes = nodes_of(&job);
        if let Some(known) = nodes.get(&self.node) {
            return Ok(Some(known.clone()));
        }
        for write in self.writes {
            apply_write(transaction, write)?;
        }
        nodes.insert(self.node, self.result.clone());
        let metadata = merged(&job, Map::from_iter([(NODES.to_string(), Json::Object(nodes))]));
        set(transaction, jobs(), &job, &[("metadata", metadata)])?;
        Ok(Some(self.result))
    }
}

/// Ends a graph that came to its end.
#[derive(Debug)]
pub struct EndGraph {
    /// The job.
    pub job: Uuid,
    /// Which attempt.
    pub attempt: i64,
    /// What it came to, for the job's metadata.
    pub result: Json,
}

impl Decision for EndGraph {
    /// Whether it still ran.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let Some(job) = current_job(transaction, self.job, self.attempt)? else { return Ok(false) };
        let metadata = merged(&job, Map::from_iter([("result".to_string(), self.result)]));
        let ended = [
            ("status", Value::text("completed")),
            ("completed_at", Value::now()),
            ("error_message", Value::Null),
            ("metadata", metadata),
        ];
        set(transaction, jobs(), &job, &ended)?;
        Ok(true)
    }
}

/// What the nodes of a job came to.
pub fn nodes_of(job: &Row) -> Map<String, Json> {
    let metadata = job[jobs().at("metadata")].as_json().unwrap_or_default();
    metadata[NODES].as_object().cloned().unwrap_or_default()
}

fn write_progress(
    transaction: &Transaction,
    story: Uuid,
    status: &'static str,
    progress: &Json,
) -> Result<(), Refusal> {
    let stories = schema().known("stories");
    let Some(old) = by_id(transaction, stories, story)? else { return Ok(()) };
    let values = [
        ("generation_status", Value::text(status)),
        ("generation_error", Value::Null),
        ("progress", Value::json(progress)),
        ("progress_updated_at", Value::now()),
    ];
    set(transaction, stories, &old, &values)?;
    Ok(())
}

/// Writes under the account's own rights.
pub(crate) fn apply_write(transaction: &Transaction, write: NodeWrite) -> Result<(), Refusal> {
    let caller = Caller::new(transaction.claims);
    match write {
        NodeWrite::Insert { table, values } => {
            let table = schema().known(table);
            let mut row = table.default_row();
            values.into_iter().for_each(|(column, value)| row[table.at(column)] = value);
            transaction.insert(&caller, table, row)?;
        }
        NodeWrite::Update { table, id, values } => {
            let table = schema().known(table);
            if let Some(old) = by_id(transaction, table, id)? {
                let mut row = old.clone();
                values.into_iter().for_each(|(column, value)| row[table.at(column)] = value);
                transaction.update(&caller, table, &old, row)?;
            }
        }
        NodeWrite::File { file, made_of } => {
            let parts = made_of.iter().map(String::as_str);
            pictures_of_minors::pass_on(transaction, parts, &file.blob.hex())?;
            let service = transaction.claims.elevated();
            put_object_rows(transaction, &Caller::new(&service), *file, true)?;
        }
        NodeWrite::Delete { table, id } => {
            let table = schema().known(table);
            if let Some(old) = by_id(transaction, table, id)? {
                transaction.delete(&caller, table, &old)?;
            }
        }
        NodeWrite::Picture { file, composed_of } => {
            hold_back(transaction, &file, &composed_of)?;
            let parts = composed_of.iter().map(String::as_str);
            pictures_of_minors::pass_on(transaction, parts, &file.blob.hex())?;
            put_object_rows(transaction, &caller, file, true)?;
        }
    }
    Ok(())
}

/// A composed picture is known by bytes of its own, so it joins the review of the first part that is held back.
fn hold_back(transaction: &Transaction, file: &NewObject, composed_of: &[String]) -> Result<(), Refusal> {
    let reviewed = schema().known("storage.reviewed_pictures");
    let service = transaction.claims.elevated();
    for part in composed_of {
        if !moderation::is_held(&transaction.reads(), part, false)? {
            continue;
        }
        let known = moderation::find(&transaction.reads(), part)?;
        let is_reported = known.is_some_and(|row| {
            row[reviewed.at("reason")].as_str() == Some(moderation::Reason::Reported.name())
        });
        let flagged = Flagged {
            path: format!("{}/{}", file.bucket, file.name),
            blob_hash: file.blob.hex(),
            user_id: file.owner,
            job_id: None,
            image_id: None,
            shown_as: None,
            reason: if is_reported { moderation::Reason::Reported } else { moderation::Reason::Nsfw },
        };
        moderation::flag(transaction, &Caller::new(&service), flagged)?;
        break;
    }
    Ok(())
}

/// The progress of a story whose job waits.
pub fn queued_progress(total_steps: u32) -> Json {
    json!({"current_node": "Queued", "message": "waiting for its turn", "step": 0, "total_steps": total_steps})
}
