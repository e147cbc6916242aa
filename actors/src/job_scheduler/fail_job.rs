//! An attempt that came to nothing.

use models::{Aggregate, Row, Value};
use serde_json::{Map, Value as Json};
use store::Transaction;
use uuid::Uuid;

use super::job_rows::{by_id, entries, in_micros, is_current, jobs, merged, set};
use crate::aggregate::Decision;
use crate::media::jobs::AUTO_RETRIES;
use crate::media::steps::delay_s;
use crate::refusal::Refusal;

/// The second attempt waits so long, each later one four times as long, in microseconds.
const BACK_OFF_MICROS: i64 = 1_000_000;
/// Longest message that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 2000;

/// Reports an attempt that failed: the job waits for its next attempt, or fails for good.
#[derive(Debug)]
pub struct FailJob {
    /// The job.
    pub id: Uuid,
    /// Which attempt; a report of another one changes nothing. `None` where the reporter does not know; then a job
    /// that only waits fails too.
    pub attempt: Option<i64>,
    /// Why, for the job's owner.
    pub message: String,
    /// Whether trying again could help.
    pub retry: bool,
    /// Members to set in the job's metadata.
    pub metadata: Map<String, Json>,
}

impl Decision for FailJob {
    /// The job as it is now; `None` when the report came too late.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let jobs = jobs();
        let Some(job) = by_id(transaction, jobs, self.id)? else { return Ok(None) };
        if !is_current(&job, self.attempt) {
            return Ok(None);
        }
        let job = match self.metadata.is_empty() {
            true => job,
            false => {
                let metadata = merged(&job, self.metadata.clone());
                set(transaction, jobs, &job, &[("metadata", metadata)])?
            }
        };
        let message: String = self.message.chars().take(MESSAGE_CHARS_MAX).collect();
        // What is made of a script waits as long as its contract says.
        let waits = match self.metadata.get(AUTO_RETRIES).and_then(Json::as_u64) {
            Some(tries) => {
                let tries = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX);
                Some(i64::try_from(delay_s(tries)).unwrap_or(i64::MAX).saturating_mul(1_000_000))
            }
            None => None,
        };
        give_back(transaction, self.id, &job, message, self.retry, waits).map(Some)
    }
}

/// Puts a job back into the queue while attempts are left, else fails it. `waits` says for how many microseconds it waits,
/// where that is not for its attempts to say.
pub(super) fn give_back(
    transaction: &Transaction,
    id: Uuid,
    job: &Row,
    message: String,
    retry: bool,
    waits: Option<i64>,
) -> Result<Row, Refusal> {
    let (jobs, entries) = (jobs(), entries());
    let attempts = job[jobs.at("attempts")].as_i64().unwrap_or(0);
    let attempts_max = job[jobs.at("max_attempts")].as_i64().unwrap_or(3);
    let entry = by_id(transaction, entries, id)?;
    match entry {
        Some(entry) if retry && attempts < attempts_max => {
            let wait = waits.unwrap_or(BACK_OFF_MICROS << (2 * (attempts - 1).clamp(0, 8)));
            set(
                transaction,
                entries,
                &entry,
                &[
                    ("state", Value::text("waiting")),
                    ("worker", Value::Null),
                    ("lease_until", Value::Null),
                    ("not_before", in_micros(wait)),
                ],
            )?;
            set(
                transaction,
                jobs,
                job,
                &[("status", Value::text("queued")), ("error_message", Value::Text(message))],
            )
        }
        _ => set(
            transaction,
            jobs,
            job,
            &[("status", Value::text("failed")), ("error_message", Value::Text(message))],
        ),
    }
}
