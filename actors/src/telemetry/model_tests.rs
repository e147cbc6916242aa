//! Tests of models: a row of `model_test_results` follows its job, and what is said of the job's picture.

use models::{Aggregate, Row, TableInfo, Value, schema};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::json;
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;

/// Scores are given from 1 to 5, and kept from 0 to 10.
const SCALE: i64 = 2;

/// Keeps a test of a model, whose job is queued, or has ended already.
#[derive(Debug)]
pub struct NoteModelTest {
    /// The row; `job_id` says which job.
    pub row: Row,
}

impl Decision for NoteModelTest {
    /// Its id.
    type Answer = Uuid;

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<Uuid, Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (tests, jobs) = (schema().known("model_test_results"), schema().known("jobs"));
        let row = transaction.insert(&service, tests, self.row)?;
        let job = transaction.reads().get(jobs, std::slice::from_ref(&row[tests.at("job_id")]))?;
        if let Some(job) = job.filter(|job| !job[jobs.at("completed_at")].is_null()) {
            ended(transaction, &service, jobs, &job)?;
        }
        Ok(row[tests.at("id")].as_uuid().unwrap_or_default())
    }
}

/// The tests of a job that has ended say how.
pub(crate) fn ended(
    transaction: &Transaction,
    service: &Caller,
    jobs: &TableInfo,
    job: &Row,
) -> Result<(), StoreError> {
    let (tests, assets) = (schema().known("model_test_results"), schema().known("workspace_assets"));
    let id = &job[jobs.at("id")];
    let found = transaction.reads().referring(tests, tests.at("job_id"), id)?;
    if found.is_empty() {
        return Ok(());
    }
    let status = job[jobs.at("status")].as_str().unwrap_or_default();
    let bytes: i64 = transaction
        .reads()
        .referring(assets, assets.at("job_id"), id)?
        .iter()
        .filter_map(|asset| asset[assets.at("file_size_bytes")].as_i64())
        .sum();
    let metadata = job[jobs.at("metadata")].as_json().unwrap_or_default();
    let small = |number: i64| Value::Int(number.clamp(0, i64::from(i32::MAX)));
    let took = metadata["generation_time_ms"].as_i64().or_else(|| {
        let [started, ended] = ["started_at", "completed_at"].map(|column| job[jobs.at(column)].as_micros());
        Some((ended? - started?) / 1000)
    });
    for old in found {
        let mut row = old.clone();
        for column in [
            "image_id",
            "video_id",
            "enhanced_prompt",
            "enhancement_strategy",
            "enhancement_time_ms",
            "qwen_expansion_percentage",
            "compel_weights",
        ] {
            row[tests.at(column)] = job[jobs.at(column)].clone();
        }
        row[tests.at("success")] = Value::Bool(status == "completed");
        row[tests.at("generation_time_ms")] = took.map_or(Value::Null, small);
        row[tests.at("file_size_bytes")] = if bytes > 0 { small(bytes) } else { Value::Null };
        if row[tests.at("notes")].is_null() {
            row[tests.at("notes")] = job[jobs.at("error_message")].clone();
        }
        let mut about = row[tests.at("test_metadata")].as_json().unwrap_or_else(|| json!({}));
        if about.is_object() {
            about["status"] = json!(status);
        }
        row[tests.at("test_metadata")] = Value::json(&about);
        transaction.update(service, tests, &old, row)?;
    }
    Ok(())
}

/// The tests of a job whose picture is scored get the score: that of a person before that of a model.
pub(crate) fn scored(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let (scores, tests) = (event.table, schema().known("model_test_results"));
    let Some(score) = new else { return Ok(()) };
    let number = |column: &str| match &score[scores.at(column)] {
        Value::Numeric(number) => Some(*number),
        Value::Int(number) => Some(Decimal::from(*number)),
        _ => None,
    };
    let first = |columns: [&str; 3]| columns.into_iter().find_map(number);
    let overall = first(["admin_quality_rating", "user_quality_rating", "composite_score"]);
    let content = first(["admin_action_rating", "user_action_rating", "action_match"]);
    let likeness = first(["admin_appearance_rating", "user_appearance_rating", "appearance_match"]);
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    for old in transaction.reads().referring(tests, tests.at("job_id"), &score[scores.at("job_id")])? {
        let mut row = old.clone();
        for (column, given) in [
            ("overall_quality", overall),
            ("content_quality", content),
            ("consistency", likeness),
            ("technical_quality", number("overall_quality")),
        ] {
            if let Some(given) = given {
                row[tests.at(column)] = kept(given);
            }
        }
        let (after, before) = (row[tests.at("overall_quality")].as_i64(), &row[tests.at("baseline_quality")]);
        if let (Some(after), Value::Numeric(before)) = (after, before) {
            row[tests.at("quality_improvement")] =
                Value::Numeric(Decimal::from(after).saturating_sub(*before));
        }
        if row != old {
            transaction.update(&service, tests, &old, row)?;
        }
    }
    Ok(())
}

/// A score as tests keep it.
fn kept(score: Decimal) -> Value {
    let doubled = score.saturating_mul(Decimal::from(SCALE)).round();
    Value::Int(doubled.to_i64().unwrap_or(0).clamp(0, 10))
}
