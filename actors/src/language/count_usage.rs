//! Every call of a chat model is counted: who asked, what for, how many tokens, how long. Calls go through
//! [`Engines::submit`], so no caller has to think of it.

use std::time::Instant;

use language::{ChatEvent, ChatRequest, ChatStream, LanguageError};
use models::Claims;
use uuid::Uuid;

use super::{Chosen, Engines};
use crate::Actors;
use crate::telemetry::log_usage::{Called, LogUsage};

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
        let others = chosen.others.clone();
        tokio::spawn(async move {
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
                        if let Some(local) = outcome.engine.strip_prefix("local:") {
                            // It stood in for a server that did not answer.
                            usage.called = Called::Own { provider: "local".into() };
                            usage.model = local.to_string();
                        } else if let Some(other) = others.iter().find(|it| it.full_name == outcome.engine) {
                            let (model_id, provider_id) = other.catalogued;
                            usage.called = Called::Catalogued { provider_id, model_id };
                            usage.model = other.key.clone();
                        }
                        usage.engine = Some(outcome.engine.clone());
                        usage.tokens_input = tokens(outcome.usage.prompt_tokens);
                        usage.tokens_output = tokens(outcome.usage.completion_tokens);
                        usage.tokens_cached = tokens(outcome.usage.cached_prompt_tokens);
                    }
                    ChatEvent::Failed(error) => usage.error = Some(error.to_string()),
                }
                usage.response_time_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                count(&actors, usage).await;
                let _ = events.send(event);
                break;
            }
        });
        Ok(stream)
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
