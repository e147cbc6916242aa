//! Jobs whose worker is gone.

use std::time::Duration;

use models::{Aggregate, Claims, Command, Row, Value};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::fail_job::give_back;
use super::job_rows::{by_id, entries, has_come, jobs, set};
use super::provider_jobs::lost;
use super::{LOCAL_WORKER, PROVIDER_QUEUE};
use crate::Actors;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// How often silent workers are looked for.
const EVERY: Duration = Duration::from_secs(10);
/// Jobs without a place in the queue that are ended at one start.
const UNQUEUED_MAX: usize = 50_000;

/// Looks for silent workers and providers for as long as the process runs, whether it draws or not.
pub async fn run_recovery_loop(actors: Actors) {
    loop {
        tokio::time::sleep(EVERY).await;
        match actors.ask(&Claims::service(), RecoverJobs { local: false }).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "took back jobs of silent workers"),
            Err(error) => tracing::error!(%error, "could not look for silent workers"),
        }
    }
}

/// Takes jobs back from workers that are gone: each waits for its next attempt. A job whose attempts are used up is
/// parked as failed, with the reason, rather than started again: it may be what ended the process. So is what a
/// provider elsewhere can bring no more.
#[derive(Debug)]
pub struct RecoverJobs {
    /// Also what this process was running before it stopped: true once, at start.
    pub local: bool,
}

impl Decision for RecoverJobs {
    /// How many were taken back or given up.
    type Answer = u64;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<u64, Refusal> {
        let (jobs, entries) = (jobs(), entries());
        let now = chrono::Utc::now().timestamp_micros();
        let mut taken = 0;
        let is_gone = |entry: &Row| {
            let claimed = entry[entries.at("claimed_at")].as_micros();
            let until = entry[entries.at("lease_until")].as_micros();
            let lapsed = until.is_some_and(|until| has_come(until, claimed, now));
            if is_local(entry) { self.local } else { lapsed }
        };
        for (entry, id, job) in running(transaction, is_gone)? {
            let attempts = job[jobs.at("attempts")].as_i64().unwrap_or(0);
            let message = if is_local(&entry) {
                format!("the server stopped during attempt {attempts} of this job")
            } else {
                format!("the worker fell silent during attempt {attempts} of this job")
            };
            give_back(transaction, id, &job, message, true, None)?;
            taken += 1;
        }
        for entry in in_state(transaction, "waiting")? {
            if entry[entries.at("queue")].as_str() != Some(PROVIDER_QUEUE) {
                continue;
            }
            let (Some(reason), Some(id)) = (lost(&entry, self.local), entry[entries.at("id")].as_uuid())
            else {
                continue;
            };
            let Some(job) = by_id(transaction, jobs, id)? else { continue };
            if !super::jobs::is_final(job[jobs.at("status")].as_str()) {
                give_back(transaction, id, &job, reason.to_string(), false, None)?;
                taken += 1;
            }
        }
        if self.local {
            taken += give_up_unqueued(transaction)?;
        }
        Ok(taken)
    }
}

/// Puts back what this process runs, as if it had never been claimed: it stops in an orderly way, and that is no
/// fault of any job.
#[derive(Debug)]
pub struct ReturnJobs;

impl Decision for ReturnJobs {
    /// How many went back.
    type Answer = u64;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<u64, Refusal> {
        let (jobs, entries) = (jobs(), entries());
        let mut returned = 0;
        for (entry, _, job) in running(transaction, is_local)? {
            let attempts = job[jobs.at("attempts")].as_i64().unwrap_or(0);
            let waits =
                [("state", Value::text("waiting")), ("worker", Value::Null), ("lease_until", Value::Null)];
            set(transaction, entries, &entry, &waits)?;
            let queued = [("status", Value::text("queued")), ("attempts", Value::Int((attempts - 1).max(0)))];
            set(transaction, jobs, &job, &queued)?;
            returned += 1;
        }
        Ok(returned)
    }
}

/// Whether this process runs it.
fn is_local(entry: &Row) -> bool {
    entry[entries().at("worker")].as_str() == Some(LOCAL_WORKER)
}

/// Entries that are being worked on, as far as `wanted` says, with their jobs and these jobs' ids.
fn running(
    transaction: &Transaction,
    wanted: impl Fn(&Row) -> bool,
) -> Result<Vec<(Row, Uuid, Row)>, Refusal> {
    let (jobs, mut found) = (jobs(), Vec::new());
    for entry in in_state(transaction, "running")?.into_iter().filter(wanted) {
        let Some(id) = entry[entries().at("id")].as_uuid() else { continue };
        let Some(job) = by_id(transaction, jobs, id)? else { continue };
        if job[jobs.at("status")].as_str() == Some("processing") {
            found.push((entry, id, job));
        }
    }
    Ok(found)
}

/// Ends jobs that say they wait and have no place in the queue, as clients could once write them: no worker
/// would ever take one.
fn give_up_unqueued(transaction: &Transaction) -> Result<u64, Refusal> {
    let (jobs, entries) = (jobs(), entries());
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let waiting = Query::all(jobs.id).equal("status", Value::text("queued"));
    let mut unqueued = Vec::new();
    let reader = Reader::new(transaction.reads(), &service, Limits::default());
    reader.each_stored(&waiting, Command::Select, &mut |job| {
        if transaction.reads().get(entries, std::slice::from_ref(&job[jobs.at("id")]))?.is_none() {
            unqueued.push(job);
        }
        Ok(unqueued.len() < UNQUEUED_MAX)
    })?;
    for job in &unqueued {
        let message = "the job was written as a row and never queued; queue-job queues one";
        let ended = [("status", Value::text("failed")), ("error_message", Value::text(message))];
        set(transaction, jobs, job, &ended)?;
    }
    Ok(unqueued.len() as u64)
}

/// All entries in a state.
fn in_state(transaction: &Transaction, state: &str) -> Result<Vec<Row>, Refusal> {
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let entries = Query::all(entries().id).equal("state", Value::text(state));
    let reader = Reader::new(transaction.reads(), &service, Limits::default());
    Ok(reader.stored(&entries, Command::Select)?)
}
