//! A worker is still at it.

use models::{Aggregate, Row, Value};
use serde_json::{Map, Value as Json};
use store::Transaction;
use uuid::Uuid;

use super::entry::{by_id, entries, in_micros, jobs, set};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// How long a worker that reported may be silent again, in microseconds.
const LEASE_MICROS: i64 = 300 * 1_000_000;

/// Notes that a worker is running a job, and gives it more time.
#[derive(Debug)]
pub struct TouchJob {
    /// The job.
    pub id: Uuid,
    /// Members to set in the job's metadata.
    pub metadata: Map<String, Json>,
}

impl Decision for TouchJob {
    /// The job as it is now; `None` when it has ended or is gone.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let (jobs, entries) = (jobs(), entries());
        let Some(job) = by_id(transaction, jobs, self.id)? else { return Ok(None) };
        if super::jobs::is_final(job[jobs.at("status")].as_str()) {
            return Ok(None);
        }
        if let Some(entry) = by_id(transaction, entries, self.id)?
            && !entry[entries.at("lease_until")].is_null()
        {
            set(transaction, entries, &entry, &[("lease_until", in_micros(LEASE_MICROS))])?;
        }
        let mut metadata = match job[jobs.at("metadata")].as_json() {
            Some(Json::Object(metadata)) => metadata,
            _ => Map::new(),
        };
        metadata.extend(self.metadata);
        let started = match &job[jobs.at("started_at")] {
            Value::Null => Value::now(),
            started => started.clone(),
        };
        set(
            transaction,
            jobs,
            &job,
            &[
                ("status", Value::text("processing")),
                ("started_at", started),
                ("metadata", Value::json(&Json::Object(metadata))),
            ],
        )
        .map(Some)
    }
}
