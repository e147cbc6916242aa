//! Taking a job in.

use models::{Aggregate, Row, Value};
use rust_decimal::Decimal;
use serde_json::json;
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::job_payload::StoredPayload;
use super::job_rows::{by_id, entries, jobs};
use crate::adjust::balance;
use crate::aggregate::Decision;
use crate::catalog::preset_use;
use crate::refusal::Refusal;
use crate::telemetry::ab_tests::{self, Part};
use crate::telemetry::spending::{self, DayLimits};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Jobs in the whole queue.
    pub waiting_max: u64,
    /// Jobs of one account.
    pub waiting_per_user_max: u64,
}

impl Default for QueueLimits {
    fn default() -> QueueLimits {
        QueueLimits { waiting_max: 2000, waiting_per_user_max: 200 }
    }
}

/// Queues a job: its row, its place in the queue and its reserved credits land together.
#[derive(Debug)]
pub struct QueueJob {
    /// The row, whole; `user_id` says whose it is.
    pub job: Row,
    /// `sdxl_queue`, `wan_queue`, or `replicate` for what a provider elsewhere draws.
    pub queue: &'static str,
    /// What a worker is sent.
    pub payload: StoredPayload,
    /// Among the jobs of the same account, greatest first.
    pub priority: i32,
    /// A second job with the same key is the first one.
    pub idempotency_key: Option<String>,
    /// Credits to reserve.
    pub credits: i64,
    /// What the model takes for it in dollars, where the catalogue says so.
    pub cost_usd: Option<Decimal>,
    /// The enhancement preset that was chosen for it.
    pub preset: Option<Uuid>,
    /// The test of two configurations that it is a part of.
    pub ab_test: Option<Part>,
    /// How much may wait.
    pub limits: QueueLimits,
}

/// What became of the request.
#[derive(Debug)]
pub struct QueuedJob {
    /// The job as stored.
    pub job: Row,
    /// Whether the key was known, so that nothing new was queued.
    pub existed: bool,
}

impl Decision for QueueJob {
    type Answer = QueuedJob;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<QueuedJob, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (jobs, entries) = (jobs(), entries());
        let user = self.job[jobs.at("user_id")].clone();
        if let Some(key) = &self.idempotency_key {
            let columns = [entries.at("user_id"), entries.at("idempotency_key")];
            let mut probe = entries.empty_row();
            probe[columns[0]] = user.clone();
            probe[columns[1]] = Value::text(key);
            let known = transaction.conflicting(entries, &columns, &probe)?;
            let id = known.and_then(|entry| entry[entries.at("id")].as_uuid());
            if let Some(job) = id.map(|id| by_id(transaction, jobs, id)).transpose()?.flatten() {
                return Ok(QueuedJob { job, existed: true });
            }
        }
        self.check_room(transaction, &service, &user)?;
        self.check_spending(transaction, &user)?;
        if self.credits > 0 {
            let left = balance(transaction, &service, &user, -self.credits)?;
            if left < 0 {
                let message = format!(
                    "the job costs {} credits and the account has {}; an administrator can add to profiles.token_balance, \
                     or the operator set charge_credits to false",
                    self.credits,
                    left + self.credits
                );
                return Err(Refusal::raised("PT402", message));
            }
        }
        let job = transaction.insert(&service, jobs, self.job)?;
        let mut entry = entries.default_row();
        let mut set = |column: &str, value: Value| entry[entries.at(column)] = value;
        set("id", job[jobs.at("id")].clone());
        set("user_id", user);
        set("queue", Value::text(self.queue));
        set("priority", Value::Int(i64::from(self.priority)));
        set("idempotency_key", self.idempotency_key.map_or(Value::Null, Value::Text));
        set("payload", Value::json(&json!(self.payload)));
        set("credits", Value::Int(self.credits));
        set("cost_usd", self.cost_usd.map_or(Value::Null, Value::Numeric));
        transaction.insert(&service, entries, entry)?;
        if let Some(preset) = self.preset {
            preset_use::count(transaction, &service, preset)?;
        }
        if let Some(part) = self.ab_test {
            ab_tests::take_part(transaction, &service, part, &job[jobs.at("user_id")])?;
        }
        Ok(QueuedJob { job, existed: false })
    }
}

impl QueueJob {
    /// What the account may spend today covers this job as well, and all that wait.
    fn check_spending(&self, transaction: &Transaction, user: &Value) -> Result<(), Refusal> {
        let Some(user) = user.as_uuid() else { return Ok(()) };
        let limits = spending::limits_of(&transaction.reads(), user)?;
        if limits == DayLimits::default() {
            return Ok(());
        }
        let spent = spending::spent_today(transaction.reads(), user)?;
        let usd = Some(self.cost_usd.unwrap_or_default());
        spending::check(limits, spent, usd, Some(self.credits.into()))
            .map_err(|over| Refusal::raised("PT402", over.to_string()))
    }

    fn check_room(&self, transaction: &Transaction, service: &Caller, user: &Value) -> Result<(), Refusal> {
        let entries = entries();
        let waiting = Query::all(entries.id).equal("state", Value::text("waiting"));
        let rows = Reader::new(transaction.reads(), service, Limits::default())
            .stored(&waiting, models::Command::Select)?;
        let of_user = rows.iter().filter(|row| row[entries.at("user_id")] == *user).count() as u64;
        if of_user >= self.limits.waiting_per_user_max {
            let message = format!("{of_user} of your jobs wait already; let some finish first");
            return Err(Refusal::raised("PT429", message));
        }
        if rows.len() as u64 >= self.limits.waiting_max {
            return Err(Refusal::raised("PT429", "the queue is full; try again later"));
        }
        Ok(())
    }
}
