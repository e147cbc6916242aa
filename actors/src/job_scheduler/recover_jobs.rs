//! Jobs whose worker is gone.

use models::{Aggregate, Command, Value};
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};

use super::LOCAL_WORKER;
use super::entry::{by_id, entries, jobs};
use super::fail_job::give_back;
use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Takes jobs back from workers that are gone. A job whose attempts are used up is parked as failed, with the reason,
/// rather than started again: it may be what ended the process.
#[derive(Debug)]
pub struct RecoverJobs {
    /// Also what this process was running: true once, at start.
    pub local: bool,
}

impl Decision for RecoverJobs {
    /// How many were taken back.
    type Answer = u64;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<u64, Refusal> {
        let (jobs, entries) = (jobs(), entries());
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let running = Query::all(entries.id).equal("state", Value::text("running"));
        let running = Reader::new(transaction.reads(), &service, Limits::default())
            .stored(&running, Command::Select)?;
        let now = chrono::Utc::now().timestamp_micros();
        let mut taken = 0;
        for entry in running {
            let is_local = entry[entries.at("worker")].as_str() == Some(LOCAL_WORKER);
            let lapsed = entry[entries.at("lease_until")].as_micros().is_some_and(|until| until < now);
            if !(if is_local { self.local } else { lapsed }) {
                continue;
            }
            let Some(id) = entry[entries.at("id")].as_uuid() else { continue };
            let Some(job) = by_id(transaction, jobs, id)? else { continue };
            if job[jobs.at("status")].as_str() != Some("processing") {
                continue;
            }
            let attempts = job[jobs.at("attempts")].as_i64().unwrap_or(0);
            let message = if is_local {
                format!("the server stopped during attempt {attempts} of this job")
            } else {
                format!("the worker fell silent during attempt {attempts} of this job")
            };
            give_back(transaction, id, &job, message, true)?;
            taken += 1;
        }
        Ok(taken)
    }
}
