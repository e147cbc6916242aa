//! Jobs that a provider elsewhere works on: no worker claims them, predictions stand for them.

use models::{Aggregate, Row, Value};
use serde_json::json;
use store::Transaction;
use uuid::Uuid;

use super::job_payload::ProviderPayload;
use super::job_rows::{by_id, entries, jobs, merged, set};
use super::jobs::is_final;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// How long a job may be without a prediction: the provider is asked right after it was queued.
const UNASKED_MICROS: i64 = 120 * 1_000_000;
/// How long a provider may take.
const PREDICTION_MICROS: i64 = 3600 * 1_000_000;

/// Notes which prediction stands for a job. It is kept where its owner cannot change it, too: reports find their job
/// by it.
#[derive(Debug)]
pub struct NotePrediction {
    /// The job.
    pub id: Uuid,
    /// The provider's id.
    pub prediction: String,
}

impl Decision for NotePrediction {
    /// The job as it is now; `None` when it has ended or is gone.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let (jobs, entries) = (jobs(), entries());
        let Some(job) = by_id(transaction, jobs, self.id)? else { return Ok(None) };
        let Some(entry) = by_id(transaction, entries, self.id)? else { return Ok(None) };
        let mut payload = payload_of(&entry);
        payload.prediction_id = Some(self.prediction.clone());
        set(transaction, entries, &entry, &[("payload", Value::json(&json!(payload)))])?;
        let mut members = serde_json::Map::new();
        members.insert("prediction_id".into(), json!(self.prediction));
        let metadata = ("metadata", merged(&job, members));
        if is_final(job[jobs.at("status")].as_str()) {
            set(transaction, jobs, &job, &[metadata])?;
            return Ok(None);
        }
        let values = [("status", Value::text("processing")), ("started_at", Value::now()), metadata];
        set(transaction, jobs, &job, &values).map(Some)
    }
}

/// Ends a job because the provider says that it was cancelled there.
#[derive(Debug)]
pub struct CancelJob {
    /// The job.
    pub id: Uuid,
    /// Why, for the job's owner.
    pub message: String,
}

impl Decision for CancelJob {
    /// The job as it is now; `None` when it had ended or is gone.
    type Answer = Option<Row>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<Row>, Refusal> {
        let jobs = jobs();
        let Some(job) = by_id(transaction, jobs, self.id)? else { return Ok(None) };
        if is_final(job[jobs.at("status")].as_str()) {
            return Ok(None);
        }
        let values = [("status", Value::text("cancelled")), ("error_message", Value::Text(self.message))];
        set(transaction, jobs, &job, &values).map(Some)
    }
}

fn payload_of(entry: &Row) -> ProviderPayload {
    ProviderPayload::read(&entry[entries().at("payload")].as_json().unwrap_or_default())
}

/// Why a job failed whose answer went to a process that is gone; asking again costs again.
pub const STOPPED_WHILE_DRAWN: &str = "the server stopped while the provider drew";
/// Why a job failed of which its provider never heard.
pub const STOPPED_BEFORE_ASKED: &str = "the server stopped before the provider was asked";

/// Why a provider's job can come to nothing any more; `None` while it can.
pub(super) fn lost(entry: &Row, at_start: bool) -> Option<&'static str> {
    let entries = entries();
    let payload = payload_of(entry);
    let asked = payload.prediction_id.is_some();
    let now = chrono::Utc::now().timestamp_micros();
    let age = entry[entries.at("created_at")].as_micros().map_or(0, |created| now - created);
    match asked {
        // The answer went to a process that is gone, and asking again would cost again.
        true if at_start && payload.is_answered_at_once => Some(STOPPED_WHILE_DRAWN),
        false if at_start => Some(STOPPED_BEFORE_ASKED),
        false if age > UNASKED_MICROS => Some("the provider was never asked"),
        true if age > PREDICTION_MICROS => Some("the provider did not answer within an hour"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_job_is_given_up_when_nothing_can_come_of_it() {
        let entries = entries();
        let entry = |seconds_ago: i64, prediction: Option<&str>| {
            let mut row = entries.default_row();
            let created = chrono::Utc::now().timestamp_micros() - seconds_ago * 1_000_000;
            row[entries.at("created_at")] = Value::Timestamp(created);
            row[entries.at("payload")] = Value::json(&json!({"prediction_id": prediction}));
            row
        };
        assert!(lost(&entry(1, None), false).is_none());
        assert!(lost(&entry(1, None), true).is_some_and(|why| why.contains("stopped")));
        assert!(lost(&entry(200, None), false).is_some());
        assert!(lost(&entry(200, Some("a")), true).is_none());
        let mut answered = entry(200, Some("a"));
        answered[entries.at("payload")] =
            Value::json(&json!({"prediction_id": "a", "is_answered_at_once": true}));
        assert!(lost(&answered, false).is_none());
        assert!(lost(&answered, true).is_some_and(|why| why.contains("stopped")));
        assert!(lost(&entry(4000, Some("a")), false).is_some_and(|why| why.contains("hour")));
    }
}
