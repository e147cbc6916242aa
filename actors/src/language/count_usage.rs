//! Every call of a chat model is counted: who asked, what for, how many tokens, how long. Calls go through
//! [`Engines::submit`], so no caller has to think of it.

use std::time::Instant;

use language::{ChatEvent, ChatRequest, ChatStream, LanguageError};
use models::Claims;
use rust_decimal::Decimal;
use tracing::Instrument;
use uuid::Uuid;

use super::{Chosen, Engines};
use crate::Actors;
use crate::catalog::local_provider::LOCAL;
use crate::telemetry::log_usage::{Called, LogUsage};
use crate::telemetry::pricing::Used;
use crate::telemetry::reserve_spending::{ReleaseSpending, ReserveSpending};
use crate::telemetry::spending;

/// Who calls a model, and what for.
#[derive(Clone, Debug)]
pub struct CallOf {
    /// The account; the server itself may ask.
    pub user_id: Option<Uuid>,
    /// The function's name, or what the server does on its own.
    pub purpose: String,
}

impl CallOf {
    /// A call for an account.
    pub fn new(user_id: Option<Uuid>, purpose: impl Into<String>) -> CallOf {
        CallOf { user_id, purpose: purpose.into() }
    }
}

impl Engines {
    /// Hands a request to an engine, and counts the call when it has ended: before its end is seen, and also when its
    /// caller has gone.
    pub async fn submit(
        &self,
        chosen: &Chosen,
        request: ChatRequest,
        call: CallOf,
    ) -> Result<ChatStream, LanguageError> {
        let mut request = request;
        if let Some(most) = chosen.says.output_tokens_max {
            request.max_tokens = request.max_tokens.min(most);
        }
        let reservation = match call.user_id.filter(|_| !chosen.says.prices.is_free()) {
            Some(user) => self.reserve(user, most_of(chosen, &request)).await?,
            None => None,
        };
        let started = Instant::now();
        let mut inner = match self.begin(chosen, request, call.user_id).await {
            Ok(inner) => inner,
            Err(error) => {
                self.release(reservation).await;
                return Err(error);
            }
        };
        let (events, stream) = ChatStream::pair(inner.queue_place());
        let (actors, mut usage) = (self.actors.clone(), usage(chosen, call, reservation));
        let (others, calls) = (chosen.others.clone(), self.calls.clone());
        let was_local = chosen.provider == LOCAL;
        let span = tracing::debug_span!("chat_model", model = chosen.full_name());
        let counted = async move {
            loop {
                let event = inner.next().await.unwrap_or(ChatEvent::Failed(LanguageError::Closed));
                match &event {
                    ChatEvent::Delta(_) => {
                        // A caller that left has cancelled the request; it is counted all the same.
                        let _ = events.send(event);
                        continue;
                    }
                    ChatEvent::Finished(outcome) => {
                        let tokens = |count: usize| i64::try_from(count).ok();
                        // Another one may have stood in for a server that did not answer.
                        if let Some(other) = others.iter().find(|it| it.full_name == outcome.engine) {
                            let (model_id, provider_id) = other.catalogued;
                            usage.called = Called::Catalogued { provider_id, model_id };
                            usage.model = other.key.clone();
                        } else if let Some(local) = outcome.engine.strip_prefix("local:") {
                            usage.called = Called::Own { provider: LOCAL.into() };
                            usage.model = local.to_string();
                        }
                        usage.engine = Some(outcome.engine.clone());
                        usage.tokens_input = tokens(outcome.usage.prompt_tokens);
                        usage.tokens_output = tokens(outcome.usage.completion_tokens);
                        usage.tokens_cached = tokens(outcome.usage.cached_prompt_tokens);
                    }
                    ChatEvent::Failed(error) => usage.error = Some(error.to_string()),
                }
                usage.response_time_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                let is_local = usage.engine.as_ref().map_or(was_local, |engine| engine.starts_with("local:"));
                calls.add(is_local, &usage);
                count(&actors, usage).await;
                let _ = events.send(event);
                break;
            }
        };
        tokio::spawn(counted.instrument(span));
        Ok(stream)
    }
}

impl Engines {
    /// Hands a request to its engine.
    async fn begin(
        &self,
        chosen: &Chosen,
        request: ChatRequest,
        user: Option<Uuid>,
    ) -> Result<ChatStream, LanguageError> {
        let engine = chosen.engine.clone();
        let place = self.prepare(user).await?;
        let submitted = tokio::task::spawn_blocking(move || {
            let _place = place;
            engine.submit(request)
        });
        submitted.await.map_err(|error| LanguageError::Panicked(error.to_string()))?
    }

    /// Reserves what a call may cost, where its account has a limit; refuses it where that leaves less.
    async fn reserve(&self, user: Uuid, usd: Decimal) -> Result<Option<Uuid>, LanguageError> {
        // Most accounts have none, and then nothing is written.
        let limits = spending::limits_of(&self.store.reads(), user);
        if limits.is_ok_and(|limits| limits.usd.is_none()) {
            return Ok(None);
        }
        match self.actors.ask(&Claims::service(), ReserveSpending { user_id: user, usd }).await {
            Ok(Ok(reservation)) => Ok(reservation),
            Ok(Err(over)) => Err(LanguageError::NotPaid(over.to_string())),
            // A limit that cannot be read is kept.
            Err(error) => Err(LanguageError::NotPaid(format!("the spending limits cannot be kept: {error}"))),
        }
    }

    async fn release(&self, reservation: Option<Uuid>) {
        let Some(id) = reservation else { return };
        if let Err(error) = self.actors.ask(&Claims::service(), ReleaseSpending { id: Some(id) }).await {
            tracing::warn!(%error, "what was reserved for a call stays reserved until the next start");
        }
    }
}

/// The most that a call is expected to cost in dollars: its prompt, as it is counted here, and the longest reply.
fn most_of(chosen: &Chosen, request: &ChatRequest) -> Decimal {
    /// What a message or a picture takes beside its words, in tokens.
    const AROUND: (usize, usize) = (8, 1500);
    let tokens = |message: &language::ChatMessage| {
        chosen.count_tokens(&message.content) + AROUND.0 + message.images.len() * AROUND.1
    };
    let prompt: usize = request.messages.iter().map(tokens).sum();
    let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let used = Used {
        results: 1,
        tokens_input: whole(prompt),
        tokens_output: whole(request.max_tokens),
        tokens_cached: 0,
    };
    chosen.says.prices.cost(used).unwrap_or_default()
}

fn usage(chosen: &Chosen, call: CallOf, reservation: Option<Uuid>) -> LogUsage {
    let called = match chosen.catalogued {
        Some((model_id, provider_id)) => Called::Catalogued { provider_id, model_id },
        None => Called::Own { provider: chosen.provider.clone() },
    };
    LogUsage {
        called,
        model: chosen.model.clone(),
        engine: None,
        user_id: call.user_id,
        request_type: "chat",
        purpose: call.purpose,
        tokens_input: None,
        tokens_output: None,
        tokens_cached: None,
        response_time_ms: 0,
        error: None,
        reservation,
    }
}

/// That a call could not be counted fails no reply; the log says so.
async fn count(actors: &Actors, usage: LogUsage) {
    if let Err(error) = actors.ask(&Claims::service(), usage).await {
        tracing::warn!(%error, "a call of a model could not be counted");
    }
}
