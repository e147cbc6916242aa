//! Daily totals of what was made: `model_performance_logs`.

use models::{Row, TableInfo, Value, schema};
use store::{Caller, StoreError, Transaction};

const DAY_MICROS: i64 = 86_400_000_000;

/// Counts a job that ended into the totals of its day.
pub(super) fn count(
    transaction: &Transaction,
    service: &Caller,
    jobs: &TableInfo,
    job: &Row,
    succeeded: bool,
) -> Result<(), StoreError> {
    let logs = schema().known("model_performance_logs");
    let is_video = job[jobs.at("format")].as_str() == Some("video");
    let now = chrono::Utc::now().timestamp_micros();
    let took_ms = job[jobs.at("started_at")].as_micros().map(|started| ((now - started) / 1000).max(0));
    let key = [logs.at("model_type"), logs.at("date")];
    let mut fresh = logs.default_row();
    fresh[key[0]] = Value::text(if is_video { "WAN" } else { "SDXL" });
    fresh[key[1]] = Value::Date(i32::try_from(now.div_euclid(DAY_MICROS)).unwrap_or(0));
    let old = transaction.conflicting(logs, &key, &fresh)?;
    let mut row = old.clone().unwrap_or(fresh);
    let mut add = |column: &str, by: i64| {
        let column = logs.at(column);
        let sum = row[column].as_i64().unwrap_or(0).saturating_add(by).min(i64::from(i32::MAX));
        row[column] = Value::Int(sum);
        sum
    };
    add("total_generations", 1);
    let successes = add("successful_generations", i64::from(succeeded));
    add("failed_generations", i64::from(!succeeded));
    if let Some(took_ms) = took_ms.filter(|_| succeeded) {
        let total = add("total_processing_time_ms", took_ms);
        row[logs.at("avg_generation_time_ms")] = Value::Int(total / successes.max(1));
    }
    match old {
        Some(old) => transaction.update(service, logs, &old, row)?,
        None => transaction.insert(service, logs, row)?,
    };
    Ok(())
}
