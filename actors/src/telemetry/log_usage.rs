//! A call of a server elsewhere is counted, and so are the hour and the day in which it happened.

use chrono::{Timelike, Utc};
use models::{Aggregate, Value, schema};
use store::{Caller, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::rpc;

/// Longest error kept, in characters.
const ERROR_CHARS_MAX: usize = 1000;

/// Counts a call.
#[derive(Debug)]
pub struct LogUsage {
    /// The provider.
    pub provider_id: Uuid,
    /// The model.
    pub model_id: Uuid,
    /// Who asked.
    pub user_id: Uuid,
    /// `chat`, `image` or `video`.
    pub request_type: &'static str,
    /// Tokens of the prompt.
    pub tokens_input: Option<i64>,
    /// Tokens of the reply.
    pub tokens_output: Option<i64>,
    /// Prompt tokens that were remembered.
    pub tokens_cached: Option<i64>,
    /// How long it took.
    pub response_time_ms: i64,
    /// What went wrong.
    pub error: Option<String>,
}

impl Decision for LogUsage {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let logs = schema().known("api_usage_logs");
        let small = |number: i64| Value::Int(number.clamp(0, i64::from(i32::MAX)));
        let maybe = |number: Option<i64>| number.map_or(Value::Null, small);
        let total = self.tokens_input.unwrap_or(0) + self.tokens_output.unwrap_or(0);
        let mut row = logs.default_row();
        let mut set = |column: &str, value: Value| row[logs.at(column)] = value;
        set("provider_id", Value::Uuid(self.provider_id));
        set("model_id", Value::Uuid(self.model_id));
        set("user_id", Value::Uuid(self.user_id));
        set("request_type", Value::text(self.request_type));
        set("tokens_input", maybe(self.tokens_input));
        set("tokens_output", maybe(self.tokens_output));
        set("tokens_cached", maybe(self.tokens_cached));
        set("tokens_total", small(total));
        set("response_time_ms", small(self.response_time_ms));
        set("response_status", Value::Int(if self.error.is_some() { 502 } else { 200 }));
        let error = self.error.map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
        set("error_message", error.map_or(Value::Null, Value::Text));
        let service = transaction.claims.elevated();
        transaction.insert(&Caller::new(&service), logs, row)?;
        let now = Utc::now();
        let day = (now.timestamp() / 86_400) as i32;
        let (provider, model) = (Value::Uuid(self.provider_id), Value::Uuid(self.model_id));
        let hour = Value::Int(i64::from(now.hour()));
        rpc::usage::upsert_usage_aggregate(transaction, &[provider, model, Value::Date(day), hour])?;
        Ok(())
    }
}
