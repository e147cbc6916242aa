//! How often an enhancement preset is used, and how well its jobs are rated.

use models::{Row, Value, schema};
use rust_decimal::Decimal;
use store::{Caller, Event, StoreError, Transaction};
use uuid::Uuid;

/// Where the metadata of a job names its preset.
pub const MEMBER: &str = "enhancement_preset_id";

/// Counts a use.
pub(crate) fn count(transaction: &Transaction, service: &Caller, preset: Uuid) -> Result<(), StoreError> {
    let presets = schema().known("enhancement_presets");
    let Some(old) = transaction.reads().get(presets, &[Value::Uuid(preset)])? else { return Ok(()) };
    let mut row = old.clone();
    let column = presets.at("usage_count");
    let count = row[column].as_i64().unwrap_or(0).saturating_add(1).min(i64::from(i32::MAX));
    row[column] = Value::Int(count);
    transaction.update(service, presets, &old, row).map(|_| ())
}

/// A job was rated, or rated anew: the average of its preset follows.
pub(crate) fn rate(transaction: &Transaction, event: &Event, new: Option<&Row>) -> Result<(), StoreError> {
    let table = event.table;
    let rating = |row: Option<&Row>| match row.map(|row| &row[table.at("quality_rating")]) {
        Some(Value::Numeric(rating)) => Some(*rating),
        _ => None,
    };
    let (Some(new), before) = (new, rating(event.old)) else { return Ok(()) };
    let after = rating(Some(new));
    if before == after {
        return Ok(());
    }
    let metadata = new[table.at("metadata")].as_json().unwrap_or_default();
    let Some(preset) = metadata[MEMBER].as_str().and_then(|id| Uuid::parse_str(id).ok()) else {
        return Ok(());
    };
    let (presets, ratings) =
        (schema().known("enhancement_presets"), schema().known("catalog.preset_ratings"));
    let Some(old_preset) = transaction.reads().get(presets, &[Value::Uuid(preset)])? else { return Ok(()) };
    let service = event.claims.elevated();
    let service = Caller::new(&service);
    let old = transaction.reads().get(ratings, &[Value::Uuid(preset)])?;
    let mut row = old.clone().unwrap_or_else(|| ratings.default_row());
    row[ratings.at("id")] = Value::Uuid(preset);
    let (count, total) = (ratings.at("ratings"), ratings.at("total"));
    let sum = match &row[total] {
        Value::Numeric(sum) => *sum,
        _ => Decimal::ZERO,
    };
    let sum = sum.saturating_sub(before.unwrap_or_default()).saturating_add(after.unwrap_or_default());
    let number = row[count].as_i64().unwrap_or(0) + i64::from(after.is_some()) - i64::from(before.is_some());
    let number = number.clamp(0, i64::from(i32::MAX));
    row[count] = Value::Int(number);
    row[total] = Value::Numeric(sum);
    match old {
        Some(old) => transaction.update(&service, ratings, &old, row)?,
        None => transaction.insert(&service, ratings, row)?,
    };
    let mut preset = old_preset.clone();
    let average = sum.checked_div(Decimal::from(number));
    preset[presets.at("avg_quality_with_preset")] =
        average.map_or(Value::Null, |average| Value::Numeric(average.round_dp(2).normalize()));
    transaction.update(&service, presets, &old_preset, preset).map(|_| ())
}
