//! One call of a model, written down: its row, the totals of its hour, and what its provider has left.

use chrono::{Timelike, Utc};
use models::{Value, schema};
use rust_decimal::Decimal;
use serde_json::Value as Json;
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use crate::rpc;

/// Longest error kept, in characters.
const ERROR_CHARS_MAX: usize = 1000;

/// A call that has ended.
pub(super) struct UsageRow {
    pub provider: Value,
    pub model: Value,
    pub user_id: Option<Uuid>,
    /// `chat`, `image` or `video`.
    pub request_type: &'static str,
    pub purpose: String,
    pub about: Json,
    pub tokens_input: Option<i64>,
    pub tokens_output: Option<i64>,
    pub tokens_cached: Option<i64>,
    pub response_time_ms: i64,
    pub status: i64,
    pub error: Option<String>,
    pub cost_usd: Option<Decimal>,
    pub cost_credits: Option<i64>,
}

/// Writes a call down.
pub(super) fn write(transaction: &Transaction, service: &Caller, call: UsageRow) -> Result<(), StoreError> {
    let logs = schema().known("api_usage_logs");
    let small = |number: i64| Value::Int(number.clamp(0, i64::from(i32::MAX)));
    let maybe = |number: Option<i64>| number.map_or(Value::Null, small);
    let total = match (call.tokens_input, call.tokens_output) {
        (None, None) => None,
        (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
    };
    let mut row = logs.default_row();
    let mut set = |column: &str, value: Value| row[logs.at(column)] = value;
    set("provider_id", call.provider.clone());
    set("model_id", call.model.clone());
    set("user_id", call.user_id.map_or(Value::Null, Value::Uuid));
    set("request_type", Value::text(call.request_type));
    set("endpoint_path", Value::Text(call.purpose));
    set("provider_metadata", Value::json(&call.about));
    set("tokens_input", maybe(call.tokens_input));
    set("tokens_output", maybe(call.tokens_output));
    set("tokens_cached", maybe(call.tokens_cached));
    set("tokens_total", maybe(total));
    set("response_time_ms", small(call.response_time_ms));
    set("response_status", Value::Int(call.status));
    let error = call.error.map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
    set("error_message", error.map_or(Value::Null, Value::Text));
    set("cost_usd", call.cost_usd.map_or(Value::Null, Value::Numeric));
    set("cost_credits", call.cost_credits.map_or(Value::Null, |credits| Value::Numeric(credits.into())));
    transaction.insert(service, logs, row)?;
    if let Some(cost) = call.cost_usd.filter(|cost| !cost.is_zero()) {
        spend(transaction, service, &call.provider, cost)?;
    }
    let now = Utc::now();
    let day = Value::Date((now.timestamp() / 86_400) as i32);
    let hour = Value::Int(i64::from(now.hour()));
    let totals = rpc::usage::sum_up(transaction, &[call.provider, call.model, day, hour]);
    if let Err(error) = totals {
        // The call itself is kept; its hour can be summed up again with `backfill_usage_aggregates`.
        tracing::warn!(%error, "the totals of an hour could not be written");
    }
    Ok(())
}

/// Takes a cost off what a provider was known to have left, until the provider is asked again.
fn spend(
    transaction: &Transaction,
    service: &Caller,
    provider: &Value,
    cost: Decimal,
) -> Result<(), StoreError> {
    let balances = schema().known("api_provider_balances");
    let mut wanted = balances.empty_row();
    wanted[balances.at("provider_id")] = provider.clone();
    let Some(old) = transaction.conflicting(balances, &[balances.at("provider_id")], &wanted)? else {
        return Ok(());
    };
    let column = balances.at("balance_usd");
    let Value::Numeric(left) = old[column] else { return Ok(()) };
    let mut row = old.clone();
    row[column] = Value::Numeric(left.saturating_sub(cost).normalize());
    transaction.update(service, balances, &old, row).map(|_| ())
}
