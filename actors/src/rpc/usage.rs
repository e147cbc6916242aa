//! Totals of provider calls, recomputed from the log of single calls.

use std::collections::BTreeMap;

use models::{TableInfo, Value, schema};
use rust_decimal::Decimal;
use serde_json::Value as Json;
use store::query::{Comparison, Field, Filter, Item, Limits, Output, Query, Reader};
use store::{Caller, Transaction};

use super::service_only;
use crate::refusal::Refusal;

/// Calls in one bucket, or of one provider on one day.
const CALLS_MAX: u64 = 200_000;
/// Days of one backfill.
const DAYS_MAX: i32 = 366;
/// Providers of one backfill.
const PROVIDERS_MAX: u64 = 10_000;
const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// What is read of a call, in the order in which [`Totals::add`] takes it.
const COLUMNS: [&str; 10] = [
    "model_id",
    "created_at",
    "response_time_ms",
    "response_status",
    "error_message",
    "cost_usd",
    "cost_credits",
    "tokens_input",
    "tokens_output",
    "tokens_cached",
];

/// Recomputes one bucket: a provider's calls with a model (or none) in an hour, or on the whole day.
pub(super) fn upsert_usage_aggregate(
    transaction: &Transaction<'_>,
    arguments: &[Value],
) -> Result<Json, Refusal> {
    service_only(transaction.claims, "upsert_usage_aggregate")?;
    sum_up(transaction, arguments)
}

/// The same for the server itself, whichever account's request made it necessary.
pub(crate) fn sum_up(transaction: &Transaction<'_>, arguments: &[Value]) -> Result<Json, Refusal> {
    let (provider, model) = (&arguments[0], &arguments[1]);
    let Value::Date(day) = arguments[2] else { return Err(null_argument("p_date")) };
    if provider.is_null() {
        return Err(null_argument("p_provider_id"));
    }
    let hour = arguments[3].as_i64();
    if hour.is_some_and(|hour| !(0..24).contains(&hour)) {
        return Err(Refusal::raised("22023", "p_hour must be between 0 and 23"));
    }
    let from = i64::from(day) * DAY_MICROS + hour.unwrap_or(0) * HOUR_MICROS;
    let to = from + if hour.is_some() { HOUR_MICROS } else { DAY_MICROS };
    let logs = schema().known("api_usage_logs");
    let only_model = Filter::equal(logs.at("model_id"), model.clone());
    let mut totals = Totals::default();
    for call in calls(transaction, logs, provider, (from, to), only_model)? {
        totals.add(&call);
    }
    // Totals outlive the log they came from: without calls nothing is known, and nothing is changed.
    if totals.requests > 0 {
        write(transaction, provider, model, day, hour, totals)?;
    }
    Ok(Json::Null)
}

/// Recomputes all hourly buckets of the days from `p_start_date` to `p_end_date`; returns how many have calls.
pub(super) fn backfill_usage_aggregates(
    transaction: &Transaction<'_>,
    arguments: &[Value],
) -> Result<Json, Refusal> {
    service_only(transaction.claims, "backfill_usage_aggregates")?;
    let Value::Date(first) = arguments[0] else { return Err(null_argument("p_start_date")) };
    let Value::Date(last) = arguments[1] else { return Err(null_argument("p_end_date")) };
    if last.saturating_sub(first) >= DAYS_MAX {
        return Err(Refusal::raised("22023", format!("at most {DAYS_MAX} days can be backfilled at once")));
    }
    let logs = schema().known("api_usage_logs");
    let providers = schema().known("api_providers");
    let id = output(providers, "id");
    let all = Query { select: vec![id], ..Query::all(providers.id) }.limit(PROVIDERS_MAX);
    let providers = rows(transaction, &all, PROVIDERS_MAX)?;
    let mut buckets = 0_u64;
    for day in first..=last {
        let from = i64::from(day) * DAY_MICROS;
        for provider in &providers {
            let mut totals: BTreeMap<_, Totals> = BTreeMap::new();
            for call in calls(transaction, logs, &provider[0], (from, from + DAY_MICROS), Filter::All)? {
                let hour = (call[1].as_micros().unwrap_or(from) - from) / HOUR_MICROS;
                totals.entry((hour, call[0].as_uuid())).or_default().add(&call);
            }
            for ((hour, model), totals) in totals {
                let model = model.map_or(Value::Null, Value::Uuid);
                write(transaction, &provider[0], &model, day, Some(hour), totals)?;
                buckets += 1;
            }
        }
    }
    Ok(Json::from(buckets))
}

fn null_argument(name: &str) -> Refusal {
    Refusal::raised("22004", format!("{name} must not be null"))
}

fn output(table: &TableInfo, name: &'static str) -> Output {
    Output { key: name.into(), item: Item::Field(Field::column(table.at(name))) }
}

fn rows(transaction: &Transaction, query: &Query, max: u64) -> Result<Vec<Vec<Value>>, Refusal> {
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let limits = Limits { rows_max: max, ..Limits::default() };
    Ok(Reader::new(transaction.reads(), &service, limits).select(query, false)?.rows)
}

/// A provider's calls in a span of time.
fn calls(
    transaction: &Transaction,
    logs: &TableInfo,
    provider: &Value,
    (from, to): (i64, i64),
    filter: Filter,
) -> Result<Vec<Vec<Value>>, Refusal> {
    let time = logs.at("created_at");
    let select = COLUMNS.map(|name| output(logs, name)).to_vec();
    let query = Query { select, ..Query::all(logs.id) }
        .equal("provider_id", provider.clone())
        .filter(Filter::compare(time, Comparison::GreaterOrEqual, Value::Timestamp(from)))
        .filter(Filter::compare(time, Comparison::Less, Value::Timestamp(to)))
        .filter(filter);
    let found = rows(transaction, &query, CALLS_MAX)?;
    // A total of some of the calls would be wrong without anybody noticing.
    if found.len() as u64 >= CALLS_MAX {
        return Err(Refusal::raised("54000", format!("more than {CALLS_MAX} calls in one bucket")));
    }
    Ok(found)
}

/// Totals of a bucket in the making.
#[derive(Debug, Default)]
struct Totals {
    requests: i64,
    errors: i64,
    times_ms: Vec<i64>,
    cost_usd: Decimal,
    cost_credits: Decimal,
    tokens: [i64; 3],
}

impl Totals {
    /// Adds a call: the values of [`COLUMNS`].
    fn add(&mut self, call: &[Value]) {
        self.requests += 1;
        let status_is_good = call[3].as_i64().is_none_or(|status| (200..400).contains(&status));
        self.errors += i64::from(!(status_is_good && call[4].is_null()));
        self.times_ms.extend(call[2].as_i64());
        for (total, cost) in [(&mut self.cost_usd, &call[5]), (&mut self.cost_credits, &call[6])] {
            if let Value::Numeric(cost) = cost {
                *total = total.saturating_add(*cost);
            }
        }
        for (total, tokens) in self.tokens.iter_mut().zip(&call[7..]) {
            *total = total.saturating_add(tokens.as_i64().unwrap_or(0));
        }
    }

    fn mean_ms(&self) -> Value {
        let count = Decimal::from(self.times_ms.len());
        let sum: Decimal = self.times_ms.iter().map(|time| Decimal::from(*time)).sum();
        sum.checked_div(count).map_or(Value::Null, |mean| Value::Numeric(mean.round_dp(2)))
    }
}

/// The value below which `percent` of the sorted values lie, between neighbours if need be (`percentile_cont`).
fn percentile(sorted: &[i64], percent: u32) -> Value {
    let Some(last) = sorted.len().checked_sub(1) else { return Value::Null };
    let rank = last * percent as usize;
    let (below, part) = (rank / 100, rank % 100);
    let (low, high) = (Decimal::from(sorted[below]), Decimal::from(sorted[(below + 1).min(last)]));
    Value::Numeric((low + (high - low) * Decimal::from(part) / Decimal::ONE_HUNDRED).normalize())
}

fn write(
    transaction: &Transaction,
    provider: &Value,
    model: &Value,
    day: i32,
    hour: Option<i64>,
    mut totals: Totals,
) -> Result<(), Refusal> {
    let service = transaction.claims.elevated();
    let service = Caller::new(&service);
    let table = schema().known("api_usage_aggregates");
    totals.times_ms.sort_unstable();
    let mut row = table.default_row();
    let [input, output, cached] = totals.tokens;
    for (column, value) in [
        ("provider_id", provider.clone()),
        ("model_id", model.clone()),
        ("date_bucket", Value::Date(day)),
        ("hour_bucket", hour.map_or(Value::Null, Value::Int)),
        ("request_count", Value::Int(totals.requests)),
        ("success_count", Value::Int(totals.requests - totals.errors)),
        ("error_count", Value::Int(totals.errors)),
        ("avg_response_time_ms", totals.mean_ms()),
        ("p95_response_time_ms", percentile(&totals.times_ms, 95)),
        ("p99_response_time_ms", percentile(&totals.times_ms, 99)),
        ("cost_usd_total", Value::Numeric(totals.cost_usd)),
        ("cost_credits_total", Value::Numeric(totals.cost_credits)),
        ("tokens_input_total", Value::Int(input)),
        ("tokens_output_total", Value::Int(output)),
        ("tokens_cached_total", Value::Int(cached)),
    ] {
        row[table.at(column)] = value;
    }
    let key = ["provider_id", "model_id", "date_bucket", "hour_bucket"].map(|name| table.at(name));
    match transaction.conflicting(table, &key, &row)? {
        None => transaction.insert(&service, table, row)?,
        Some(old) => {
            row[table.at("id")] = old[table.at("id")].clone();
            transaction.update(&service, table, &old, row)?
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        let number = |text: &str| Value::Numeric(text.parse().expect("a number"));
        assert_eq!(percentile(&[], 95), Value::Null);
        assert_eq!(percentile(&[7], 99), number("7"));
        assert_eq!(percentile(&[0, 100], 95), number("95"));
        assert_eq!(percentile(&[10, 20, 30], 50), number("20"));
    }

    #[test]
    fn a_message_or_a_bad_status_makes_a_call_an_error() {
        let call = |status: i64, message: Value| {
            let mut call = vec![Value::Null; COLUMNS.len()];
            (call[2], call[3], call[4], call[7]) =
                (Value::Int(30), Value::Int(status), message, Value::Int(5));
            call
        };
        let mut totals = Totals::default();
        totals.add(&call(200, Value::Null));
        totals.add(&call(200, Value::text("cut off")));
        totals.add(&call(500, Value::Null));
        assert_eq!((totals.requests, totals.errors, totals.tokens), (3, 2, [15, 0, 0]));
        assert_eq!(totals.mean_ms(), Value::Numeric(30.into()));
    }
}
