//! How do remote servers answer? Any that speak the OpenAI dialect, tried in order.

mod admission;
mod called_tools;
mod circuit_breaker;
mod event_stream;
mod failure;
pub(crate) mod probe;
mod refused_fields;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::runtime::Handle;

pub use circuit_breaker::{CircuitBreaker, CircuitState};

use crate::engine::{
    ChatEngine, ChatEvent, ChatOutcome, ChatRequest, ChatStream, FinishReason, QueuePlace, Usage,
};
use crate::error::LanguageError;
use crate::text_stream::TextStream;
use admission::{Admission, Ticket};
use called_tools::CalledTools;
use event_stream::EventStream;
use failure::{Failure, broken, describe, refusal};
use refused_fields::{RefusedFields, TRIES_MAX};
use wire::ReplyChunk;

/// Of a reply that comes whole.
const WHOLE_BYTES_MAX: usize = 4 << 20;
/// However long a server asks us to wait, the person waits with us.
const BACK_OFF_MAX: Duration = Duration::from_secs(20);

/// A key that no log can show.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps a key.
    pub fn new(key: impl Into<String>) -> ApiKey {
        ApiKey(key.into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

/// One server and the model to ask it for.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What to call it in messages and outcomes.
    pub name: String,
    /// Up to and including the version, as in `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// Sent as bearer token, if there is one.
    pub api_key: Option<ApiKey>,
    /// The model's name over there.
    pub model: String,
}

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteLimits {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer begins, and between any two pieces of it.
    pub read: Duration,
    /// Until the reply is complete, all attempts together; waiting for a turn does not count.
    pub total: Duration,
    /// Attempts per endpoint before the next one is tried.
    pub attempts: u32,
    /// Pause before the second attempt; doubled before each further one.
    pub back_off: Duration,
    /// Failures in a row after which an endpoint is left alone.
    pub failures_max: u32,
    /// How long it is left alone.
    pub rest: Duration,
    /// Replies at the same time; others wait, and people take turns.
    pub active_max: usize,
    /// Requests that may wait; others are refused.
    pub waiting_max: usize,
}

impl Default for RemoteLimits {
    fn default() -> RemoteLimits {
        RemoteLimits {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(60),
            total: Duration::from_secs(600),
            attempts: 3,
            back_off: Duration::from_millis(500),
            failures_max: 5,
            rest: Duration::from_secs(60),
            active_max: 64,
            waiting_max: 256,
        }
    }
}

/// Endpoints in the order in which they are tried.
pub struct RemoteEngine {
    name: String,
    shared: Arc<Shared>,
    runtime: Handle,
    admission: Arc<Admission>,
}

struct Shared {
    client: reqwest::Client,
    endpoints: Vec<Known>,
    limits: RemoteLimits,
}

/// An endpoint, and what is known of it.
struct Known {
    endpoint: Endpoint,
    breaker: CircuitBreaker,
    refused: RefusedFields,
}

impl RemoteEngine {
    /// An engine whose work runs on `runtime`.
    pub fn new(
        name: impl Into<String>,
        endpoints: Vec<Endpoint>,
        limits: RemoteLimits,
        runtime: Handle,
    ) -> Result<RemoteEngine, LanguageError> {
        let refused = |field: &'static str, reason: &str| {
            Err(LanguageError::InvalidRequest { field, reason: reason.into() })
        };
        if endpoints.is_empty() {
            return refused("endpoints", "there are none");
        }
        for endpoint in &endpoints {
            match reqwest::Url::parse(&endpoint.base_url) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
                _ => return refused("base_url", "an http or https address is needed"),
            }
        }
        let client = crate::http_client()
            .connect_timeout(limits.connect)
            .read_timeout(limits.read)
            // A redirect could carry the key to another server.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| LanguageError::Remote {
                endpoint: "client".into(),
                detail: error.to_string(),
            })?;
        let endpoints = endpoints
            .into_iter()
            .map(|endpoint| Known {
                endpoint,
                breaker: CircuitBreaker::new(limits.failures_max, limits.rest),
                refused: RefusedFields::default(),
            })
            .collect();
        let admission = Admission::new(limits.active_max, limits.waiting_max);
        let shared = Arc::new(Shared { client, endpoints, limits });
        Ok(RemoteEngine { name: name.into(), shared, runtime, admission })
    }

    /// Every endpoint's name and whether it is being tried.
    pub fn circuits(&self) -> Vec<(String, CircuitState)> {
        let state = |known: &Known| (known.endpoint.name.clone(), known.breaker.state());
        self.shared.endpoints.iter().map(state).collect()
    }
}

impl ChatEngine for RemoteEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn submit(&self, request: ChatRequest) -> Result<ChatStream, LanguageError> {
        request.check()?;
        let text = TextStream::new(&request.stop)?;
        let place = QueuePlace::default();
        let ticket = self.admission.enter(&request.user, place.clone())?;
        let (events, stream) = ChatStream::pair(place);
        let reply = Reply {
            shared: self.shared.clone(),
            seed: request.seed(),
            request,
            text,
            shown: false,
            usage: Usage::default(),
            calls: CalledTools::default(),
            first: None,
            last: None,
            ticket,
        };
        self.runtime.spawn(reply.run(events));
        Ok(stream)
    }
}

type Events = tokio::sync::mpsc::UnboundedSender<ChatEvent>;

/// One reply under way.
struct Reply {
    shared: Arc<Shared>,
    request: ChatRequest,
    seed: u64,
    text: TextStream,
    /// Once text has been shown, starting again would repeat it.
    shown: bool,
    usage: Usage,
    /// Tools that are called.
    calls: CalledTools,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Kept until the reply has ended.
    ticket: Ticket,
}

impl Reply {
    async fn run(mut self, events: Events) {
        let cancel = self.request.cancel.clone();
        let total = self.shared.limits.total;
        let called = tokio::select! {
            () = cancel.cancelled() => false,
            () = self.ticket.called() => true,
        };
        let ended = tokio::select! {
            () = cancel.cancelled() => Ok((FinishReason::Cancelled, String::new())),
            result = tokio::time::timeout(total, self.any_endpoint(&events)), if called => match result {
                Ok(ended) => ended,
                Err(_) => Err(LanguageError::Remote {
                    endpoint: "all endpoints".into(),
                    detail: format!("no complete reply within {} s", total.as_secs_f32()),
                }),
            },
        };
        let last = match ended {
            Ok((finish_reason, engine)) => {
                let rest = self.text.finish();
                if !rest.is_empty() {
                    let _ = events.send(ChatEvent::Delta(rest));
                }
                ChatEvent::Finished(ChatOutcome {
                    tool_calls: std::mem::take(&mut self.calls).finish(),
                    finish_reason,
                    usage: self.usage,
                    tokens_per_second: self.speed(),
                    seed: self.seed,
                    engine,
                })
            }
            Err(error) => ChatEvent::Failed(error),
        };
        // The listener may have gone.
        let _ = events.send(last);
    }

    fn speed(&self) -> f64 {
        match (self.first, self.last) {
            (Some(first), Some(last)) if last > first => {
                self.usage.completion_tokens.saturating_sub(1) as f64
                    / last.duration_since(first).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    async fn any_endpoint(&mut self, events: &Events) -> Result<(FinishReason, String), LanguageError> {
        let shared = self.shared.clone();
        let mut failure = LanguageError::Closed;
        for known in &shared.endpoints {
            let Known { endpoint, breaker, .. } = known;
            for attempt in 0..shared.limits.attempts.max(1) {
                if let Err(seconds) = breaker.allow() {
                    failure = LanguageError::CircuitOpen { endpoint: endpoint.name.clone(), seconds };
                    break;
                }
                match self.attempt(known, events).await {
                    Ok(finish_reason) => {
                        breaker.succeeded();
                        return Ok((finish_reason, endpoint.name.clone()));
                    }
                    Err(failed) => {
                        tracing::warn!(endpoint = endpoint.name, attempt, error = %failed.error, "remote reply failed");
                        if failed.endpoint_fault {
                            breaker.failed();
                        } else {
                            breaker.succeeded();
                        }
                        failure = failed.error;
                        if self.shown {
                            return Err(failure);
                        }
                        if !failed.retry {
                            break;
                        }
                        let back_off = shared.limits.back_off * 2u32.saturating_pow(attempt);
                        let pause = failed.retry_after.unwrap_or(back_off).min(BACK_OFF_MAX);
                        if attempt + 1 < shared.limits.attempts {
                            tokio::time::sleep(pause).await;
                        }
                    }
                }
            }
        }
        Err(failure)
    }

    /// Asks until the server takes the request: a field that it refuses by name stays out of the next try.
    async fn send(&self, known: &Known) -> Result<reqwest::Response, Failure> {
        let Known { endpoint, refused, .. } = known;
        let url = format!("{}/chat/completions", endpoint.base_url.trim_end_matches('/'));
        let mut tries = 0;
        loop {
            let mut body = wire::request_body(&self.request, &endpoint.model, self.seed);
            refused.leave_out(&mut body);
            let body = Value::Object(body);
            let mut post = self.shared.client.post(&url).json(&body);
            if let Some(key) = &endpoint.api_key {
                post = post.bearer_auth(&key.0);
            }
            let response = post.send().await.map_err(|error| broken(endpoint, describe(&error)))?;
            if response.status().is_success() {
                return Ok(response);
            }
            let failure = refusal(endpoint, response).await;
            tries += 1;
            let learnt = match &failure.error {
                LanguageError::RemoteStatus { status, body: answer, .. } if tries < TRIES_MAX => {
                    refused.learn(*status, answer, &body)
                }
                _ => None,
            };
            let Some(field) = learnt else { return Err(failure) };
            tracing::warn!(
                endpoint = endpoint.name,
                model = endpoint.model,
                field,
                "the server does not take a field; it is left out, or sent by its newer name, from now on"
            );
        }
    }

    async fn attempt(&mut self, known: &Known, events: &Events) -> Result<FinishReason, Failure> {
        let broken = |detail: String| broken(&known.endpoint, detail);
        let response = self.send(known).await?;
        let is_whole = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| kind.trim_start().starts_with("application/json"))
        });
        if is_whole {
            return self.take_whole(known, response, events).await;
        }
        let mut bytes = response.bytes_stream();
        let mut lines = EventStream::default();
        let mut finish_reason = None;
        while let Some(chunk) = bytes.next().await {
            let read = chunk.map_err(|error| describe(&error)).and_then(|chunk| lines.push(&chunk));
            let events_data = match (read, finish_reason) {
                (Ok(data), _) => data,
                // The reply was whole; what came after it is not missed.
                (Err(error), Some(reason)) => return Ok(self.whole_in_spite_of(known, &error, reason)),
                (Err(error), None) => return Err(broken(error)),
            };
            for data in events_data {
                if data == "[DONE]" {
                    return Ok(finish_reason.unwrap_or(FinishReason::Stop));
                }
                let chunk = match (wire::parse_chunk(&data), finish_reason) {
                    (Ok(chunk), _) => chunk,
                    (Err(error), Some(reason)) => return Ok(self.whole_in_spite_of(known, &error, reason)),
                    (Err(error), None) => return Err(broken(error)),
                };
                finish_reason = chunk.finish_reason.or(finish_reason);
                self.take(chunk, events);
                if self.text.stopped() {
                    return Ok(FinishReason::Stop);
                }
            }
        }
        // Some servers end without [DONE]; without a reason either, the connection broke.
        finish_reason.ok_or_else(|| broken("the reply broke off".into()))
    }

    fn whole_in_spite_of(&self, known: &Known, error: &str, reason: FinishReason) -> FinishReason {
        tracing::warn!(
            endpoint = known.endpoint.name,
            error,
            "unreadable after a whole reply; the reply counts"
        );
        reason
    }

    /// Takes the reply of a server that does not stream.
    async fn take_whole(
        &mut self,
        known: &Known,
        response: reqwest::Response,
        events: &Events,
    ) -> Result<FinishReason, Failure> {
        let broken = |detail: String| broken(&known.endpoint, detail);
        let mut body = Vec::new();
        let mut bytes = response.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            body.extend_from_slice(&chunk.map_err(|error| broken(describe(&error)))?);
            if body.len() > WHOLE_BYTES_MAX {
                return Err(broken(format!("a reply of more than {WHOLE_BYTES_MAX} bytes")));
            }
        }
        let chunk = wire::parse_chunk(&String::from_utf8_lossy(&body)).map_err(broken)?;
        let reason = chunk.finish_reason.unwrap_or(FinishReason::Stop);
        self.take(chunk, events);
        Ok(reason)
    }

    fn take(&mut self, chunk: ReplyChunk, events: &Events) {
        if let Some(usage) = chunk.usage {
            self.usage = usage;
        }
        if !chunk.tool_calls.is_empty() {
            self.shown = true;
            self.calls.add(chunk.tool_calls);
        }
        if chunk.text.is_empty() {
            return;
        }
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        if chunk.usage.is_none() {
            // An estimate until the server tells: most send one token at a time.
            self.usage.completion_tokens += 1;
        }
        let delta = self.text.push(chunk.text.as_bytes());
        if !delta.is_empty() {
            self.shown = true;
            let _ = events.send(ChatEvent::Delta(delta));
        }
    }
}
