//! What holds for a job with every writer: terminal states are final, and reaching one settles the account.

use models::{Command, Row, TableInfo, Value, schema};
use serde_json::json;
use store::{Caller, Event, StoreError, Transaction};

use super::export_payload::EXPORT_JOB;
use super::graph_jobs::{self, GRAPH_TYPES};
use super::left_files;
use super::performance;
use super::training_job::TRAINING_JOB;
use crate::adjust::balance;
use crate::telemetry::{job_usage, model_tests};

/// Whether a status is final.
pub fn is_final(status: Option<&str>) -> bool {
    matches!(status, Some("completed" | "failed" | "cancelled"))
}

/// Columns that tell how the queue stands with a job: only the server writes them, but anybody may cancel their own.
const QUEUES_OWN: [&str; 2] = ["status", "attempts"];
/// Attempts of one job at most.
const ATTEMPTS_MAX: i64 = 10;

/// Only a job that has ended may be written as a row: nothing would ever draw one that waits without the queue.
pub(crate) fn refuse_unqueued(table: &TableInfo, row: &Row) -> Result<(), StoreError> {
    let status = row[table.at("status")].as_str().unwrap_or("NULL");
    if is_final(Some(status)) {
        return Ok(());
    }
    Err(StoreError::Raised {
        sqlstate: "P0001",
        message: format!(
            "jobs.status: a row that is written here is not queued, so no worker would ever take a job that is {status}"
        ),
        details: Some("accepted for a row: completed, failed, cancelled".into()),
        hint: Some("POST /functions/v1/queue-job queues a job".into()),
    })
}

/// A job may not be tried for ever.
fn check_attempts(event: &Event, new: &Row) -> Result<(), StoreError> {
    match new[event.table.at("max_attempts")].as_i64() {
        Some(attempts) if !(1..=ATTEMPTS_MAX).contains(&attempts) => {
            let message = format!("max_attempts: {attempts} is not within 1 to {ATTEMPTS_MAX}");
            Err(StoreError::raised("23514", message))
        }
        _ => Ok(()),
    }
}

/// Types of jobs that clients may write, as the document lists them.
const TYPES: [&str; 14] = [
    "image_fast",
    "image_high",
    "video_fast",
    "video_high",
    "sdxl_image_fast",
    "sdxl_image_high",
    "image7b_fast_enhanced",
    "image7b_high_enhanced",
    "video7b_fast_enhanced",
    "video7b_high_enhanced",
    "wan_video_fast",
    "wan_video_high",
    "rv51_fast",
    "rv51_high",
];

/// A job is of a type of the document; those of graphs and exports are for the server to write.
fn check_type(event: &Event, new: &Row) -> Result<(), StoreError> {
    let column = event.table.at("job_type");
    let kind = new[column].as_str().unwrap_or_default();
    let stays = event.old.is_some_and(|old| old[column] == new[column]);
    if stays
        || new[column].is_null()
        || TYPES.contains(&kind)
        || event.claims.is_service()
            && (GRAPH_TYPES.contains(&kind) || [EXPORT_JOB, TRAINING_JOB].contains(&kind))
    {
        return Ok(());
    }
    Err(StoreError::Check {
        table: "jobs".into(),
        constraint: "jobs_job_type_check".into(),
        row: String::new(),
    })
}

pub(crate) fn before_write(event: &Event, new: &mut Row) -> Result<(), StoreError> {
    let table = event.table;
    let status = table.at("status");
    check_attempts(event, new)?;
    check_type(event, new)?;
    let (Command::Update, Some(old)) = (event.command, event.old) else {
        if !event.claims.is_service() {
            // How often a job was tried is for the queue to say.
            let defaults = table.default_row();
            let attempts = table.at("attempts");
            new[attempts] = defaults[attempts].clone();
        }
        return Ok(());
    };
    let moves = old[status] != new[status];
    if moves && is_final(old[status].as_str()) {
        let now = old[status].as_str().unwrap_or_default();
        return Err(StoreError::raised("P0001", format!("the job is {now}, which is final")));
    }
    if !event.claims.is_service() {
        let cancels = new[status].as_str() == Some("cancelled");
        let changed = |column: &&str| old[table.at(column)] != new[table.at(column)];
        if let Some(column) = QUEUES_OWN.iter().find(|it| changed(it) && !(**it == "status" && cancels)) {
            return Err(StoreError::GuardedColumn { table: "jobs".into(), column: (*column).into() });
        }
    }
    if !moves {
        return Ok(());
    }
    let completed_at = table.at("completed_at");
    if is_final(new[status].as_str()) && new[completed_at].is_null() {
        new[completed_at] = Value::now();
    }
    Ok(())
}

pub(crate) fn after_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let table = event.table;
    let status = table.at("status");
    let (Some(old), Some(new)) = (event.old, new) else { return Ok(()) };
    if is_final(old[status].as_str()) || !is_final(new[status].as_str()) {
        return Ok(());
    }
    let entries = schema().known("queue.entries");
    let Some(entry) = transaction.reads().get(entries, &[new[table.at("id")].clone()])? else {
        return Ok(());
    };
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let credits = entry[entries.at("credits")].as_i64().unwrap_or(0);
    let mut ended = entry.clone();
    ended[entries.at("state")] = Value::text("ended");
    ended[entries.at("lease_until")] = Value::Null;
    ended[entries.at("credits")] = Value::Int(0);
    transaction.update(&service, entries, &entry, ended)?;
    left_files::remove(transaction, &service, new)?;
    graph_jobs::follow(transaction, new)?;
    if graph_jobs::is_graph(table, new) {
        // It makes no picture itself; what it draws are jobs of their own.
        return Ok(());
    }
    let completed = new[status].as_str() == Some("completed");
    if completed {
        let logs = schema().known("usage_logs");
        let mut log = logs.default_row();
        let mut set = |column: &str, value: Value| log[logs.at(column)] = value;
        set("user_id", new[table.at("user_id")].clone());
        set("action", new[table.at("job_type")].clone());
        set("credits_consumed", Value::Numeric(credits.into()));
        set("format", new[table.at("format")].clone());
        set("quality", new[table.at("quality")].clone());
        let job = new[table.at("id")].as_uuid();
        set("metadata", Value::json(&json!({ "job_id": job })));
        transaction.insert(&service, logs, log)?;
    } else if credits > 0 {
        balance(transaction, &service, &new[table.at("user_id")], credits)?;
    }
    if new[table.at("job_type")].as_str().is_some_and(|kind| [EXPORT_JOB, TRAINING_JOB].contains(&kind)) {
        // No model was called, or it made no picture.
        return Ok(());
    }
    job_usage::count(transaction, &service, table, new, &entry)?;
    model_tests::ended(transaction, &service, table, new)?;
    if new[status].as_str() != Some("cancelled") {
        performance::count(transaction, &service, table, new, completed)?;
    }
    Ok(())
}

/// A job that is deleted while it waits or runs gives back what was reserved for it.
pub(crate) fn after_entry_write(
    transaction: &Transaction,
    event: &Event,
    new: Option<&Row>,
) -> Result<(), StoreError> {
    let (Some(old), None) = (event.old, new) else { return Ok(()) };
    let credits = old[event.table.at("credits")].as_i64().unwrap_or(0);
    if credits > 0 {
        let service = transaction.claims.elevated();
        balance(transaction, &Caller::new(&service), &old[event.table.at("user_id")], credits)?;
    }
    Ok(())
}
