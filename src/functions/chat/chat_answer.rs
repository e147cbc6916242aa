//! How a reply under way is answered: as one JSON object when it has ended, or as a stream of events.
//!
//! Events: `start {reply_id, conversation_id, position}`, `queue {position}`, `delta {text}`, and at the end `done` with
//! the whole JSON answer, or `error {error, code}`. Closing the stream does not end the reply.

use std::convert::Infallible;
use std::sync::Arc;

use actors::conversation::chat::{Progress, ReplyHandle, ReplyOutcome};
use actors::conversation::finish_reply::ReplyState;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome, ok};

/// Makes the JSON answer of a reply that has ended well.
pub(crate) type Body = Box<dyn Fn(&ReplyOutcome) -> Json + Send + Sync>;

/// Whether the caller wants events.
pub(crate) fn wants_events(call: &Call, stream: Option<bool>) -> bool {
    let accepts = call.header(header::ACCEPT.as_str()).unwrap_or_default();
    stream.unwrap_or_else(|| accepts.contains("text/event-stream"))
}

/// Answers a reply under way.
pub(crate) async fn answer(running: Arc<ReplyHandle>, events: bool, body: Body) -> Outcome {
    if events {
        let stream = follow(running, body);
        return Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response().into());
    }
    match running.ended().await {
        Some(ended) => match failure(&running, &ended) {
            None => ok(whole(&running, &ended, &body)),
            Some(error) => Err(error),
        },
        None => Err(FunctionError::new(StatusCode::INTERNAL_SERVER_ERROR, "the reply was lost")),
    }
}

/// What every answer says beside the function's own fields.
fn whole(running: &ReplyHandle, ended: &ReplyOutcome, body: &Body) -> Json {
    let mut whole = body(ended);
    whole["state"] = json!(ended.state.name());
    whole["reply_id"] = json!(running.reply_id);
    whole["message_id"] = json!(ended.message_id);
    whole["user_message_id"] = json!(running.said);
    whole["seed"] = json!(running.seed);
    whole["usage"] = ended.usage.clone();
    whole
}

fn failure(running: &ReplyHandle, ended: &ReplyOutcome) -> Option<FunctionError> {
    let (code, message) = ended.error.as_ref()?;
    let status = match *code {
        "CONTENT_REFUSED" => StatusCode::UNPROCESSABLE_ENTITY,
        "BUSY" => StatusCode::TOO_MANY_REQUESTS,
        "PROVIDER_RESTING" => StatusCode::SERVICE_UNAVAILABLE,
        "PROVIDER_FAILED" | "EMPTY_REPLY" => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut error = FunctionError::new(status, message).with("success", false).with("code", *code);
    error = error.with("reply_id", running.reply_id.to_string());
    error = error.with("conversation_id", running.conversation_id.to_string());
    if ended.state == ReplyState::Incomplete {
        // What was said before the failure is kept.
        error = error.with("state", "incomplete").with("response", ended.response.clone());
        error = error.with("message_id", json!(ended.message_id));
    }
    Some(error)
}

struct Following {
    running: Arc<ReplyHandle>,
    progress: watch::Receiver<Progress>,
    body: Body,
    started: bool,
    ended: bool,
    sent: usize,
    position: Option<usize>,
}

fn follow(running: Arc<ReplyHandle>, body: Body) -> impl Stream<Item = Result<Event, Infallible>> {
    let progress = running.follow();
    let state = Following { running, progress, body, started: false, ended: false, sent: 0, position: None };
    futures_util::stream::unfold(state, |mut state| async move {
        let (name, data) = state.next().await?;
        Some((Ok(Event::default().event(name).data(data.to_string())), state))
    })
}

impl Following {
    async fn next(&mut self) -> Option<(&'static str, Json)> {
        while !self.ended {
            if let Some(event) = self.look() {
                return Some(event);
            }
            self.progress.changed().await.ok()?;
        }
        None
    }

    /// What there is to tell right now.
    fn look(&mut self) -> Option<(&'static str, Json)> {
        let now = self.progress.borrow_and_update();
        if !self.started {
            self.started = true;
            self.position = now.position;
            let running = &self.running;
            let start = json!({
                "reply_id": running.reply_id, "conversation_id": running.conversation_id,
                "user_message_id": running.said, "seed": running.seed, "position": now.position,
            });
            return Some(("start", start));
        }
        if now.text.len() > self.sent {
            let text = now.text.get(self.sent..).unwrap_or_default().to_string();
            self.sent = now.text.len();
            return Some(("delta", json!({ "text": text })));
        }
        if let Some(ended) = &now.ended {
            self.ended = true;
            return Some(match failure(&self.running, ended) {
                None => ("done", whole(&self.running, ended, &self.body)),
                Some(error) => ("error", *error.body),
            });
        }
        if now.position == self.position {
            return None;
        }
        self.position = now.position;
        self.position.map(|position| ("queue", json!({ "position": position })))
    }
}
