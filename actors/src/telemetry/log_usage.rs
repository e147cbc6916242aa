//! A call of a chat model is counted with its cost, and so is the hour in which it happened.

use models::{Aggregate, Value, schema};
use rust_decimal::Decimal;
use serde_json::json;
use store::{Caller, Transaction};
use uuid::Uuid;

use super::pricing::{Prices, Used};
use super::reserve_spending;
use super::usage_row::{self, UsageRow};
use crate::aggregate::Decision;
use crate::catalog::local_provider::provider_row;
use crate::refusal::Refusal;

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
    /// What was reserved for it.
    pub reservation: Option<Uuid>,
}

impl Decision for LogUsage {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::Telemetry
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let service = transaction.claims.elevated();
        let service = Caller::new(&service);
        if let Some(id) = self.reservation {
            reserve_spending::settle(transaction, &service, id)?;
        }
        let models = schema().known("api_models");
        let (provider, row) = match &self.called {
            Called::Catalogued { provider_id, model_id } => {
                (Value::Uuid(*provider_id), transaction.reads().get(models, &[Value::Uuid(*model_id)])?)
            }
            Called::Own { provider } => {
                let providers = schema().known("api_providers");
                let provider = provider_row(transaction, &service, provider)?;
                let provider = provider[providers.at("id")].clone();
                let mut wanted = models.default_row();
                wanted[models.at("provider_id")] = provider.clone();
                wanted[models.at("model_key")] = Value::text(&*self.model);
                let key = ["provider_id", "model_key", "version"].map(|column| models.at(column));
                let row = transaction.conflicting(models, &key, &wanted)?;
                (provider, row)
            }
        };
        // A call that failed costs nothing, as far as is known here.
        let used = Used {
            results: 1,
            tokens_input: self.tokens_input.unwrap_or(0),
            tokens_output: self.tokens_output.unwrap_or(0),
            tokens_cached: self.tokens_cached.unwrap_or(0),
        };
        let cost = row.as_ref().and_then(|row| Prices::of_row(row).cost(used));
        let cost_usd = if self.error.is_some() { cost.map(|_| Decimal::ZERO) } else { cost };
        usage_row::write(
            transaction,
            &service,
            UsageRow {
                provider,
                model: row.map_or(Value::Null, |row| row[models.at("id")].clone()),
                user_id: self.user_id,
                request_type: self.request_type,
                purpose: self.purpose,
                about: json!({"model": self.model, "engine": self.engine}),
                tokens_input: self.tokens_input,
                tokens_output: self.tokens_output,
                tokens_cached: self.tokens_cached,
                response_time_ms: self.response_time_ms,
                status: if self.error.is_some() { 502 } else { 200 },
                error: self.error,
                cost_usd,
                cost_credits: None,
            },
        )?;
        Ok(())
    }
}
