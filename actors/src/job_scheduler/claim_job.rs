//! Whose turn it is.

use std::collections::HashMap;

use models::{Aggregate, Command, Row, Value, schema};
use serde_json::Value as Json;
use store::query::{Limits, Query, Reader};
use store::{Caller, Transaction};
use uuid::Uuid;

use super::fail_job::give_back;
use super::job_payload::{BatchKey, JobPayload};
use super::job_rows::{by_id, entries, first, has_come, in_micros, jobs, set};
use crate::aggregate::Decision;
use crate::file::object_row;
use crate::moderation::pictures_of_minors;
use crate::refusal::Refusal;

/// Waiting entries looked at by one claim.
const WAITING_MAX: usize = 100_000;

/// Takes the next job: accounts in turn, the one served longest ago first; within an account by priority,
/// then age. The attempt is counted before it starts.
#[derive(Debug)]
pub struct ClaimJob {
    /// Which queues; accounts take turns over all of them.
    pub queues: Vec<String>,
    /// Who runs it.
    pub worker: String,
    /// How long the worker may be silent, in seconds; `None` for as long as this process lives.
    pub lease_s: Option<i64>,
    /// What the next in turn must be like to be claimed beside others that are under way.
    pub beside: Option<ClaimBeside>,
    /// Accounts that wait although it is their turn, since they have their share already.
    pub except: Vec<Uuid>,
}

/// What a job must be like to be claimed beside others. It never failed, whichever it is.
#[derive(Clone, Debug)]
pub enum ClaimBeside {
    /// Any that never failed.
    Fresh,
    /// It can be drawn in the same batch.
    SameBatch(Box<BatchKey>),
}

/// A job to run.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// The row, now `processing`.
    pub job: Row,
    /// What the worker needs, as it is stored; see [`ClaimedJob::read`].
    pub payload: Json,
    /// Which attempt this is, from 1. A report of another attempt changes nothing.
    pub attempt: i64,
}

impl Decision for ClaimJob {
    type Answer = Option<ClaimedJob>;

    fn owner(&self) -> Aggregate {
        Aggregate::JobScheduler
    }

    fn decide(self, transaction: &Transaction) -> Result<Option<ClaimedJob>, Refusal> {
        // One that ends here makes room for another of the same account.
        loop {
            match self.next(transaction)? {
                Next::Claimed(claimed) => return Ok(Some(*claimed)),
                Next::Nothing => return Ok(None),
                Next::Ended => {}
            }
        }
    }
}

/// What came of a look at those that wait.
enum Next {
    Claimed(Box<ClaimedJob>),
    /// There is none to claim.
    Nothing,
    /// None could be claimed, and some wait no more.
    Ended,
}

impl ClaimJob {
    fn next(&self, transaction: &Transaction) -> Result<Next, Refusal> {
        let (jobs, entries) = (jobs(), entries());
        let mut ended = false;
        for entry in self.in_turn(transaction)? {
            let Some(id) = entry[entries.at("id")].as_uuid() else { continue };
            let Some(job) = by_id(transaction, jobs, id)? else { continue };
            if job[jobs.at("status")].as_str() != Some("queued") {
                set(transaction, entries, &entry, &[("state", Value::text("ended"))])?;
                ended = true;
                continue;
            }
            let attempt = job[jobs.at("attempts")].as_i64().unwrap_or(0) + 1;
            let payload = entry[entries.at("payload")].as_json().unwrap_or_default();
            if let Some(beside) = &self.beside
                && (attempt > 1 || !beside.admits(&payload))
            {
                return Ok(Next::Nothing);
            }
            let Some(owner) = entry[entries.at("user_id")].as_uuid() else { continue };
            if let Err(reason) = check_judged(transaction, owner, &payload)? {
                give_back(transaction, id, &job, reason, false, None)?;
                ended = true;
                continue;
            }
            let job = set(
                transaction,
                jobs,
                &job,
                &[
                    ("status", Value::text("processing")),
                    ("attempts", Value::Int(attempt)),
                    ("started_at", Value::now()),
                    ("error_message", Value::Null),
                ],
            )?;
            let lease = self.lease_s.map_or(Value::Null, |seconds| in_micros(seconds * 1_000_000));
            let entry = set(
                transaction,
                entries,
                &entry,
                &[
                    ("state", Value::text("running")),
                    ("worker", Value::text(&*self.worker)),
                    ("claimed_at", Value::now()),
                    ("lease_until", lease),
                ],
            )?;
            let Some(user_id) = entry[entries.at("user_id")].as_uuid() else { continue };
            return Ok(Next::Claimed(Box::new(ClaimedJob { id, user_id, job, payload, attempt })));
        }
        Ok(if ended { Next::Ended } else { Next::Nothing })
    }
}

/// Refuses a job that was judged by other files than there are now, and an nsfw one that would show a minor by what has
/// become known since; the message begins with the field.
fn check_judged(
    transaction: &Transaction,
    user: Uuid,
    payload: &Json,
) -> Result<Result<(), String>, Refusal> {
    let Ok(payload) = JobPayload::read(payload) else { return Ok(Ok(())) };
    let is_nsfw = payload.content_type == "nsfw";
    let objects = schema().known("storage.objects");
    for (field, object) in payload.named_objects() {
        let Some((bucket, name)) = object.split_once('/') else { continue };
        // One that is gone cannot be read.
        let Some(row) = object_row(transaction, bucket, name)? else { continue };
        let hash = row[objects.at("blob_hash")].as_str().unwrap_or_default();
        if let Err(reason) = payload.check_judged(&object, hash) {
            return Ok(Err(format!("{field}: {reason}")));
        }
        if is_nsfw && pictures_of_minors::is_known(&transaction.reads(), hash)? {
            return Ok(Err(format!("{field}: the picture comes from one of a minor")));
        }
    }
    let loras = payload.config.loras.as_array().filter(|_| is_nsfw).into_iter().flatten();
    let table = schema().known("character_loras");
    for lora in loras.filter_map(|lora| lora.as_str().or(lora["name"].as_str())) {
        let mut probe = table.empty_row();
        for name in [lora.to_string(), format!("accounts/{user}/{lora}")] {
            probe[table.at("name")] = Value::text(&*name);
            let row = transaction.conflicting(table, &[table.at("name")], &probe)?;
            if row.is_some_and(|row| row[table.at("shows_minor")].as_bool() == Some(true)) {
                return Ok(Err(format!("loras: {name} was trained on a minor")));
            }
        }
    }
    Ok(Ok(()))
}

impl ClaimedJob {
    /// What the worker needs. The message says why it cannot be read.
    pub fn read(&self) -> Result<JobPayload, String> {
        JobPayload::read(&self.payload)
    }
}

impl ClaimBeside {
    fn admits(&self, payload: &Json) -> bool {
        match self {
            ClaimBeside::Fresh => true,
            ClaimBeside::SameBatch(key) => {
                JobPayload::read(payload).is_ok_and(|payload| payload.batch_key() == **key)
            }
        }
    }
}

impl ClaimJob {
    /// The best entry of each account that waits, in the order of their turns.
    fn in_turn(&self, transaction: &Transaction) -> Result<Vec<Row>, Refusal> {
        let entries = entries();
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let limits = Limits { sorted_max: WAITING_MAX, ..Limits::default() };
        let reader = Reader::new(transaction.reads(), &service, limits);
        let waiting = Query::all(entries.id).equal("state", Value::text("waiting"));
        let now = chrono::Utc::now().timestamp_micros();
        let priority = |row: &Row| row[entries.at("priority")].as_i64().unwrap_or(0);
        let mut best: HashMap<Uuid, (usize, Row)> = HashMap::new();
        let mut found = reader.stored(&waiting, Command::Select)?;
        found.sort_by_key(|row| row[entries.at("created_at")].as_micros());
        for (place, entry) in found.into_iter().enumerate() {
            let created = entry[entries.at("created_at")].as_micros();
            let not_before = entry[entries.at("not_before")].as_micros();
            let due = not_before.is_none_or(|time| has_come(time, created, now));
            let here = entry[entries.at("queue")]
                .as_str()
                .is_some_and(|queue| self.queues.iter().any(|it| it == queue));
            let Some(user) = entry[entries.at("user_id")].as_uuid().filter(|_| due && here) else { continue };
            if self.except.contains(&user) {
                continue;
            }
            match best.get(&user) {
                Some((_, chosen)) if priority(chosen) >= priority(&entry) => {}
                // The account keeps the place of its oldest job.
                Some((oldest, _)) => {
                    let oldest = *oldest;
                    best.insert(user, (oldest, entry));
                }
                None => {
                    best.insert(user, (place, entry));
                }
            }
        }
        let mut turns = Vec::with_capacity(best.len());
        for (user, (place, entry)) in best {
            let last = Query::all(entries.id)
                .equal("user_id", Value::Uuid(user))
                .filter(store::query::Filter::compare(
                    entries.at("claimed_at"),
                    store::query::Comparison::Greater,
                    Value::Timestamp(0),
                ))
                .order("claimed_at", true);
            let served = first(transaction, last)?;
            let served = served.and_then(|row| row[entries.at("claimed_at")].as_micros());
            turns.push((served.unwrap_or(0), place, entry));
        }
        turns.sort_by_key(|(served, place, _)| (*served, *place));
        Ok(turns.into_iter().map(|(_, _, entry)| entry).collect())
    }
}
