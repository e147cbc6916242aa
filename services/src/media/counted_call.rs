//! A call of a model for media: within its account's spending limit, and written down with what it cost.

use std::time::Instant;

use actors::telemetry::log_usage::{Called, LogUsage};
use actors::telemetry::pricing::{Prices, Used};
use actors::telemetry::reserve_spending::ReserveSpending;
use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::ids::uuid;

/// What is called, and what for.
pub(super) struct MediaCall<'a> {
    /// Its row of `api_models`.
    pub model: &'a Json,
    /// The row of `api_providers`.
    pub provider: &'a Json,
    /// `chat`, `image` or `video`: the table knows no other.
    pub request_type: &'static str,
    /// `speech` or `lip_sync`.
    pub purpose: &'static str,
    /// What is counted as tokens of the prompt, where the price is by that: characters of speech.
    pub units: i64,
}

impl MediaCall<'_> {
    /// Reserves what it may cost, makes it and counts it. Nothing is called where the limit leaves less.
    pub async fn counted<T>(
        &self,
        context: &Context,
        call: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        let used = Used { results: 1, tokens_input: self.units, ..Used::default() };
        let usd = Prices::of_json(self.model).cost(used).unwrap_or(Decimal::ZERO);
        let reservation = match context.claims.user_id {
            Some(user_id) => match context.ask_elevated(ReserveSpending { user_id, usd }).await? {
                Ok(reservation) => reservation,
                Err(over) => return Err(ServiceError::new(Kind::PaymentRequired, over.to_string())),
            },
            None => None,
        };
        let begun = Instant::now();
        let called = call.await;
        let (Some(provider_id), Some(model_id)) = (uuid(&self.provider["id"]), uuid(&self.model["id"]))
        else {
            return called;
        };
        let log = LogUsage {
            called: Called::Catalogued { provider_id, model_id },
            model: self.model["model_key"].as_str().unwrap_or_default().to_string(),
            engine: None,
            user_id: context.claims.user_id,
            request_type: self.request_type,
            purpose: self.purpose.into(),
            tokens_input: (self.units > 0).then_some(self.units),
            tokens_output: None,
            tokens_cached: None,
            response_time_ms: i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX),
            error: called.as_ref().err().map(ToString::to_string),
            reservation,
        };
        if let Err(error) = context.ask_elevated(log).await {
            tracing::warn!(%error, purpose = self.purpose, "a call of a model is not counted");
        }
        called
    }
}
