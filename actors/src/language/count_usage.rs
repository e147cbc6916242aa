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
        if let Some(user) = call.user_id.filter(|_| !chosen.says.prices.is_free()) {
            self.check_spending(user).await?;
        }
        let mut request = request;
        if let Some(most) = chosen.says.output_tokens_max {
            request.max_tokens = request.max_tokens.min(most);
        }
        let engine = chosen.engine.clone();
        let started = Instant::now();
        let place = self.prepare(call.user_id).await?;
        let submitted = tokio::task::spawn_blocking(move || {
            let _place = place;
            engine.submit(request)
        });
        let submitted = submitted.await;
        let mut inner = submitted.map_err(|error| LanguageError::Panicked(error.to_string()))??;
        let (events, stream) = ChatStream::pair(inner.queue_place());
        let (actors, mut usage) = (self.actors.clone(), usage(chosen, call));
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
    /// Refuses a call that costs something when the account has nothing left to spend today.
    async fn check_spending(&self, user: Uuid) -> Result<(), LanguageError> {
        let store = self.store.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let limits = spending::limits_of(&store.reads(), user)?;
            if limits.usd.is_none() {
                return Ok(Ok(()));
            }
            let spent = spending::spent_today(store.reads(), user)?;
            // What a reply costs is known when it has been made.
            Ok::<_, store::StoreError>(spending::check(limits, spent, None, Some(Decimal::ZERO)))
        });
        match checked.await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(over))) => Err(LanguageError::NotPaid(over.to_string())),
            // A limit that cannot be read is kept.
            Ok(Err(error)) => {
                Err(LanguageError::NotPaid(format!("the spending limits cannot be read: {error}")))
            }
            Err(error) => Err(LanguageError::Panicked(error.to_string())),
        }
    }
}

fn usage(chosen: &Chosen, call: CallOf) -> LogUsage {
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
    }
}

/// That a call could not be counted fails no reply; the log says so.
async fn count(actors: &Actors, usage: LogUsage) {
    if let Err(error) = actors.ask(&Claims::service(), usage).await {
        tracing::warn!(%error, "a call of a model could not be counted");
    }
}
