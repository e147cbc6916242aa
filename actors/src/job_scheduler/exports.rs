//! Exports of scenes and episodes: a row of `exports` says what became of one, a job of the queue does the work.
//!
//! The row follows its job, by whatever moves that: a worker, a restart, its owner who cancels it.

use models::{Aggregate, Row, Value, schema};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

use super::export_payload::{EXPORT_JOB, ExportPart, ExportPayload};
use super::job_rows::{by_id, current_job, jobs, merged, set};
use super::jobs::is_final;
use super::queue_job::{QueueJob, QueuedJob};
use crate::aggregate::Decision;
use crate::file::{NewObject, put_object_rows};
use crate::moderation::pictures_of_minors;
use crate::refusal::Refusal;

/// Writes an export and queues the job that it takes, in one commit.
#[derive(Debug)]
pub struct QueueExport {
    /// The row as it is to be. One that is there is changed.
    pub export: Row,
    /// The job, where one is needed. Its metadata names the export.
    pub job: Option<QueueJob>,
}

impl Decision for QueueExport {
    /// The row as stored.
    type Answer = Row;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Row, Refusal> {
        let exports = exports();
        let caller = Caller::new(transaction.claims);
        let old = transaction.reads().get(exports, &[self.export[exports.at("id")].clone()])?;
        if self.job.is_some()
            && let Some(job) = old.as_ref().and_then(|old| running(transaction, old))
        {
            return Err(Refusal::raised(
                "PT409",
                format!("job {job} of this export is under way; let it end, or cancel it"),
            ));
        }
        let row = match &old {
            Some(old) => transaction.update(&caller, exports, old, self.export)?,
            None => transaction.insert(&caller, exports, self.export)?,
        };
        if let Some(job) = self.job {
            let QueuedJob { .. } = job.decide(transaction)?;
        }
        Ok(row)
    }
}

/// The job of an export that has not ended.
fn running(transaction: &Transaction, export: &Row) -> Option<Uuid> {
    let metadata = export[exports().at("metadata_")].as_json()?;
    [&metadata["job_id"], &metadata["video"]["job_id"]].into_iter().find_map(|id| {
        let id = Uuid::parse_str(id.as_str()?).ok()?;
        let job = by_id(transaction, jobs(), id).ok()??;
        (!is_final(job[jobs().at("status")].as_str())).then_some(id)
    })
}

fn exports() -> &'static models::TableInfo {
    schema().known("exports")
}

/// Says how far the work is.
#[derive(Debug)]
pub struct NoteExport {
    /// The job.
    pub job: Uuid,
    /// Which attempt; a report of another one changes nothing.
    pub attempt: i64,
    /// The export and its part.
    pub payload: ExportPayload,
    /// `{done, total, message}`.
    pub progress: Json,
}

impl Decision for NoteExport {
    /// Whether the work is still wanted.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        if current_job(transaction, self.job, self.attempt)?.is_none() {
            return Ok(false);
        }
        let Some(export) = by_id(transaction, exports(), self.payload.export_id)? else { return Ok(false) };
        let members = Map::from_iter([("progress".to_string(), self.progress)]);
        let metadata = with_members(&export, self.payload.part, members);
        set(transaction, exports(), &export, &[("metadata_", metadata)])?;
        Ok(true)
    }
}

/// Ends an export with its file.
#[derive(Debug)]
pub struct CompleteExport {
    /// The job.
    pub job: Uuid,
    /// Which attempt; a report of another one changes nothing.
    pub attempt: i64,
    /// The export and its part.
    pub payload: ExportPayload,
    /// The file. One of an earlier run is replaced.
    pub object: NewObject,
    /// The files that it shows, by the hashes of their bytes.
    pub made_of: Vec<String>,
    /// Members to set in the metadata of the export, or of its video.
    pub members: Map<String, Json>,
}

impl Decision for CompleteExport {
    /// Whether it counted.
    type Answer = bool;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<bool, Refusal> {
        let Some(job) = current_job(transaction, self.job, self.attempt)? else { return Ok(false) };
        let Some(export) = by_id(transaction, exports(), self.payload.export_id)? else { return Ok(false) };
        let service = transaction.claims.elevated();
        let url = format!("{}/{}", self.object.bucket, self.object.name);
        let parts = self.made_of.iter().map(String::as_str);
        pictures_of_minors::pass_on(transaction, parts, &self.object.blob.hex())?;
        put_object_rows(transaction, &Caller::new(&service), self.object, true)?;
        let mut members = self.members;
        members.insert("error".into(), Json::Null);
        let mut values = Vec::new();
        match self.payload.part {
            ExportPart::File => values.push(("output_url", Value::text(url))),
            ExportPart::Video => drop(members.insert("output_url".into(), json!(url))),
        }
        values.push(("metadata_", with_members(&export, self.payload.part, members)));
        set(transaction, exports(), &export, &values)?;
        let metadata = merged(&job, Map::new());
        let ended =
            [("status", Value::text("completed")), ("error_message", Value::Null), ("metadata", metadata)];
        set(transaction, jobs(), &job, &ended)?;
        Ok(true)
    }
}

/// An export's metadata with some members of the part set.
fn with_members(export: &Row, part: ExportPart, members: Map<String, Json>) -> Value {
    let mut metadata = export[exports().at("metadata_")].as_json().unwrap_or_default();
    if !metadata.is_object() {
        metadata = json!({});
    }
    let of_part = match part {
        ExportPart::File => &mut metadata,
        ExportPart::Video => &mut metadata["video"],
    };
    if !of_part.is_object() {
        *of_part = json!({});
    }
    members.into_iter().for_each(|(name, value)| of_part[name] = value);
    Value::json(&metadata)
}

/// An export stands as its job does.
pub(crate) fn follow(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let table = event.table;
    let (Some(old), Some(new)) = (event.old, new) else { return Ok(()) };
    let status = table.at("status");
    if old[status] == new[status] || new[table.at("job_type")].as_str() != Some(EXPORT_JOB) {
        return Ok(());
    }
    let about = new[table.at("metadata")].as_json().unwrap_or_default();
    let Ok(payload) = ExportPayload::deserialize(&about) else { return Ok(()) };
    let exports = exports();
    let Some(export) = transaction.reads().get(exports, &[Value::Uuid(payload.export_id)])? else {
        return Ok(());
    };
    let now = new[status].as_str().unwrap_or_default();
    let mut members = Map::new();
    let stands = match now {
        // The document has no word for it.
        "cancelled" => {
            members.insert("error".into(), json!("cancelled"));
            "failed"
        }
        "failed" => {
            let reason = new[table.at("error_message")].as_str().unwrap_or("failed");
            members.insert("error".into(), json!(reason));
            "failed"
        }
        other => other,
    };
    let mut row = export.clone();
    match payload.part {
        ExportPart::File => row[exports.at("status")] = Value::text(stands),
        ExportPart::Video => drop(members.insert("status".into(), json!(stands))),
    }
    row[exports.at("metadata_")] = with_members(&export, payload.part, members);
    let service = transaction.claims.elevated();
    transaction.update(&Caller::new(&service), exports, &export, row)?;
    Ok(())
}
