//! A call of a model is counted, and so are the hour and the day in which it happened.

use chrono::{Timelike, Utc};
use models::{Aggregate, Value, schema};
use serde_json::json;
use store::{Caller, StoreError, Transaction};
use uuid::Uuid;

use crate::aggregate::Decision;
use crate::refusal::Refusal;
use crate::rpc;

/// Longest error kept, in characters.
const ERROR_CHARS_MAX: usize = 1000;

/// Whose model it was.
#[derive(Clone, Debug)]
pub enum Called {
    /// A model of the catalogue.
    Catalogued {
        /// The provider.
        provider_id: Uuid,
        /// The model.
        model_id: Uuid,
    },
    /// One that the catalogue does not list, of this machine or of the registered worker. Its provider becomes a row that
    /// offers nothing, so that the call can name it.
    Own {
        /// `local` or `chat_worker`.
        provider: String,
    },
}

/// Counts a call.
#[derive(Clone, Debug)]
pub struct LogUsage {
    /// Whose model it was.
    pub called: Called,
    /// What the model is called.
    pub model: String,
    /// Which server or engine answered, if any did.
    pub engine: Option<String>,
    /// The account that asked; the server itself may.
    pub user_id: Option<Uuid>,
    /// `chat`, `image` or `video`.
    pub request_type: &'static str,
    /// What the call was for: the function's name, or `summary`, `facts`.
    pub purpose: String,
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
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        let (provider, model) = match &self.called {
            Called::Catalogued { provider_id, model_id } => {
                (Value::Uuid(*provider_id), Value::Uuid(*model_id))
            }
            Called::Own { provider } => (own_provider(transaction, &service, provider)?, Value::Null),
        };
        let mut row = logs.default_row();
        let mut set = |column: &str, value: Value| row[logs.at(column)] = value;
        set("provider_id", provider.clone());
        set("model_id", model.clone());
        set("user_id", self.user_id.map_or(Value::Null, Value::Uuid));
        set("request_type", Value::text(self.request_type));
        set("endpoint_path", Value::Text(self.purpose));
        set("provider_metadata", Value::json(&json!({"model": self.model, "engine": self.engine})));
        set("tokens_input", maybe(self.tokens_input));
        set("tokens_output", maybe(self.tokens_output));
        set("tokens_cached", maybe(self.tokens_cached));
        set("tokens_total", small(total));
        set("response_time_ms", small(self.response_time_ms));
        set("response_status", Value::Int(if self.error.is_some() { 502 } else { 200 }));
        let error = self.error.map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
        set("error_message", error.map_or(Value::Null, Value::Text));
        transaction.insert(&service, logs, row)?;
        let now = Utc::now();
        let day = (now.timestamp() / 86_400) as i32;
        let hour = Value::Int(i64::from(now.hour()));
        rpc::usage::upsert_usage_aggregate(transaction, &[provider, model, Value::Date(day), hour])?;
        Ok(())
    }
}

/// The provider's row by its name; a new one, which is not active, for the first call.
fn own_provider(transaction: &Transaction, service: &Caller, name: &str) -> Result<Value, StoreError> {
    let providers = schema().known("api_providers");
    let mut row = providers.default_row();
    row[providers.at("name")] = Value::text(name);
    let known = transaction.conflicting(providers, &[providers.at("name")], &row)?;
    if let Some(known) = known {
        return Ok(known[providers.at("id")].clone());
    }
    let shown = if name == "local" { "This server" } else { name };
    row[providers.at("display_name")] = Value::text(shown);
    row[providers.at("is_active")] = Value::Bool(false);
    let row = transaction.insert(service, providers, row)?;
    Ok(row[providers.at("id")].clone())
}
