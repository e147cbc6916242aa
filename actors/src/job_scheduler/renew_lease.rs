//! A worker is still at it.

use models::{Aggregate, Row, Value};
use serde_json::{Map, Value as Json};
use store::Transaction;
use uuid::Uuid;

use super::PROVIDER_QUEUE;
use super::job_rows::{by_id, entries, in_micros, is_current, jobs, merged, set};
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// How long a worker that reported may be silent again at least unless it says so, in seconds.
const LEASE_S: i64 = 300;

/// Notes that a worker is running a job, and gives it more time. One that comes back to a job that was taken from it
/// and still waits has it again.
#[derive(Debug)]
pub struct RenewLease {
    /// The job.
    pub id: Uuid,
    /// Which attempt; a report of another one changes nothing. `None` where the reporter does not know.
    pub attempt: Option<i64>,
    /// How long the worker may be silent again at least, in seconds; `None` for five minutes.
    pub lease_s: Option<i64>,
    /// Members to set in the job's metadata.
    pub metadata: Map<String, Json>,
}

impl Decision for RenewLease {
    /// The job as it is now; `None` when it has ended or is gone, or when another attempt runs.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let (jobs, entries) = (jobs(), entries());
        let Some(job) = by_id(transaction, jobs, self.id)? else { return Ok(None) };
        let waits = job[jobs.at("status")].as_str() == Some("queued");
        let attempts = job[jobs.at("attempts")].as_i64().unwrap_or(0);
        let resumes = waits && self.attempt.is_some_and(|attempt| attempt == attempts);
        if !resumes && !is_current(&job, self.attempt) {
            return Ok(None);
        }
        // A worker that was sent the job without asking for it begins its first attempt.
        let mut attempts = attempts;
        if let Some(entry) = by_id(transaction, entries, self.id)?
            && entry[entries.at("queue")].as_str() != Some(PROVIDER_QUEUE)
        {
            let lease = in_micros(self.lease_s.unwrap_or(LEASE_S) * 1_000_000);
            match entry[entries.at("state")].as_str() {
                Some("running") => {
                    let old = entry[entries.at("lease_until")].as_micros();
                    // Without a lease it is this process that runs it; a longer lease stays.
                    if old.is_some_and(|old| Some(old) < lease.as_micros()) {
                        set(transaction, entries, &entry, &[("lease_until", lease)])?;
                    }
                }
                _ => {
                    attempts = attempts.max(1);
                    let values = [
                        ("state", Value::text("running")),
                        ("worker", Value::text("remote")),
                        ("claimed_at", Value::now()),
                        ("lease_until", lease),
                    ];
                    set(transaction, entries, &entry, &values)?;
                }
            }
        }
        let started = match &job[jobs.at("started_at")] {
            Value::Null => Value::now(),
            started => started.clone(),
        };
        let values = [
            ("status", Value::text("processing")),
            ("attempts", Value::Int(attempts)),
            ("started_at", started),
            ("metadata", merged(&job, self.metadata)),
        ];
        set(transaction, jobs, &job, &values).map(Some)
    }
}
