//! Makes one reply: takes what the engine says, keeps it, shows it, and ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use language::{ChatEvent, ChatOutcome, ChatStream, FinishReason, LanguageError};
use models::Claims;
use serde_json::{Value as Json, json};

use super::chat::{Chat, ReplyHandle, ReplyOutcome, Turn};
use super::finish_reply::{FinishReply, ReplyState};
use super::store_part::StorePart;
use super::tidy_reply;
use crate::content_rules;
use crate::refusal::Refusal;

/// At most so long what was said is in memory only.
const KEEP_EVERY: Duration = Duration::from_millis(400);
/// Or so much of it, in bytes.
const KEEP_BYTES: usize = 2048;
/// So much of what came before is looked at with each new piece, in bytes.
const WINDOW_BYTES: usize = 300;

/// What makes one reply.
pub(super) struct ReplyTask {
    pub chat: Chat,
    pub running: Arc<ReplyHandle>,
    pub turn: Turn,
}

/// Why nothing more is taken from the engine.
enum End {
    Finished(ChatOutcome),
    Failed(LanguageError),
    Refused(String),
}

impl ReplyTask {
    pub async fn run(self, mut stream: ChatStream) {
        let started = Instant::now();
        let mut text = String::new();
        let mut pending = String::new();
        let mut position = 0;
        let mut long_enough = false;
        let mut ticks = tokio::time::interval(KEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let end = loop {
            tokio::select! {
                event = stream.next() => match event {
                    Some(ChatEvent::Delta(_)) if long_enough => {}
                    Some(ChatEvent::Delta(delta)) => {
                        text.push_str(&delta);
                        pending.push_str(&delta);
                        if let Err(refusal) = self.check(&text, delta.len()) {
                            self.running.cancel.cancel();
                            break End::Refused(refusal.to_string());
                        }
                        self.running.progress.send_modify(|progress| {
                            progress.position = None;
                            progress.text.push_str(&delta);
                        });
                        if self.turn.is_short && tidy_reply::is_long_enough(&text) {
                            long_enough = true;
                            self.running.cancel.cancel();
                        }
                        if pending.len() >= KEEP_BYTES {
                            self.keep(&mut pending, &mut position).await;
                        }
                    }
                    Some(ChatEvent::Finished(outcome)) => break End::Finished(outcome),
                    Some(ChatEvent::Failed(error)) => break End::Failed(error),
                    None => break End::Failed(LanguageError::Closed),
                },
                _ = ticks.tick() => {
                    let place = stream.queue_position();
                    self.running.progress.send_if_modified(|progress| {
                        let moved = progress.position != place;
                        progress.position = place;
                        moved
                    });
                    self.keep(&mut pending, &mut position).await;
                }
            }
        };
        self.end(end, text, long_enough, started.elapsed()).await;
    }

    /// Looks at what is new, with enough before it to see words that came in pieces.
    fn check(&self, text: &str, new: usize) -> Result<(), Refusal> {
        let mut from = text.len().saturating_sub(new + WINDOW_BYTES);
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        content_rules::check(self.turn.tier.of_own_words(), "the reply", &text[from..])
    }

    async fn keep(&self, pending: &mut String, position: &mut i64) {
        if pending.is_empty() {
            return;
        }
        let part =
            StorePart { reply_id: self.running.reply_id, position: *position, content: pending.clone() };
        match self.chat.inner.actors.ask(&Claims::service(), part).await {
            Ok(true) => {
                pending.clear();
                *position += 1;
            }
            // The conversation is gone.
            Ok(false) => self.running.cancel.cancel(),
            Err(error) => tracing::warn!(%error, "a piece of a reply could not be kept; it is tried again"),
        }
    }

    async fn end(&self, end: End, text: String, long_enough: bool, took: Duration) {
        let closing = self.running.closing.load(Ordering::Acquire);
        let mut finish = FinishReply {
            reply_id: self.running.reply_id,
            state: ReplyState::Complete,
            content: self.tidied(&text),
            engine: None,
            finish_reason: None,
            error: None,
            usage: json!({}),
        };
        let mut error = None;
        match end {
            End::Finished(outcome) => {
                finish.usage = usage(&outcome, took);
                finish.engine = Some(outcome.engine.clone());
                finish.finish_reason = Some(outcome.finish_reason.as_str().into());
                if outcome.finish_reason == FinishReason::Cancelled {
                    finish.state = match (long_enough, closing) {
                        (true, _) => {
                            finish.finish_reason = Some("length".into());
                            ReplyState::Complete
                        }
                        (false, true) => ReplyState::Incomplete,
                        (false, false) => ReplyState::Stopped,
                    };
                }
                if finish.state == ReplyState::Complete && finish.content.is_empty() {
                    finish.state = ReplyState::Failed;
                    error = Some(("EMPTY_REPLY", "the model said nothing".to_string()));
                }
            }
            End::Failed(failure) => {
                let some = !finish.content.is_empty();
                finish.state = if some { ReplyState::Incomplete } else { ReplyState::Failed };
                error = Some((code(&failure), failure.to_string()));
            }
            End::Refused(reason) => {
                // What was refused is not kept, not even in part.
                finish.state = ReplyState::Failed;
                finish.content = String::new();
                error = Some(("CONTENT_REFUSED", reason));
            }
        }
        finish.error = error.as_ref().map(|(_, message)| message.clone());
        let mut ended = ReplyOutcome {
            state: finish.state,
            message_id: None,
            response: finish.content.clone(),
            engine: finish.engine.clone(),
            usage: finish.usage.clone(),
            error,
            memory_updated: self.running.memory_updated,
            memory_updating: false,
        };
        match self.finish(finish).await {
            Ok(message_id) => ended.message_id = message_id,
            Err(refusal) if refusal.is_of_ended_account() => {
                tracing::info!(%refusal, reply = %self.running.reply_id, "a reply went with its account");
                ended.error = Some(("STORE", refusal.to_string()));
            }
            Err(refusal) => {
                tracing::error!(%refusal, reply = %self.running.reply_id, "a reply could not be stored");
                ended.error = Some(("STORE", refusal.to_string()));
            }
        }
        let due = match ended.state {
            ReplyState::Complete => self.chat.summary_due(&self.turn).await,
            _ => None,
        };
        ended.memory_updating = due.is_some();
        self.chat.forget(self.running.reply_id);
        self.running.progress.send_modify(|progress| progress.ended = Some(ended));
        if let Some(due) = due {
            self.chat.sum_up(&self.turn, due).await;
        }
    }

    fn tidied(&self, text: &str) -> String {
        let setting = &self.turn.setting;
        if !setting.is_roleplay() {
            return text.trim().to_string();
        }
        let others: Vec<&str> = setting.participants.iter().map(|other| other.name.as_str()).collect();
        let names = setting.names_speakers();
        tidy_reply::tidy(text, setting.character_name(), &others, setting.person(), names)
    }

    /// A full mailbox passes; the text must not be lost to it.
    async fn finish(&self, finish: FinishReply) -> Result<Option<uuid::Uuid>, Refusal> {
        // The server ends what it began, also for an account that was banned meanwhile.
        let claims = self.turn.claims.elevated();
        for _ in 0..20 {
            match self.chat.inner.actors.ask(&claims, finish.clone()).await {
                Err(Refusal::Busy { .. } | Refusal::Restarting { .. }) => {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                other => return other,
            }
        }
        self.chat.inner.actors.ask(&claims, finish).await
    }
}

fn usage(outcome: &ChatOutcome, took: Duration) -> Json {
    json!({
        "prompt_tokens": outcome.usage.prompt_tokens,
        "completion_tokens": outcome.usage.completion_tokens,
        "cached_prompt_tokens": outcome.usage.cached_prompt_tokens,
        "tokens_per_second": (outcome.tokens_per_second * 100.0).round() / 100.0,
        "ms": took.as_millis() as u64,
    })
}

fn code(error: &LanguageError) -> &'static str {
    match error {
        LanguageError::QueueFull { .. } => "BUSY",
        LanguageError::NotPaid(_) => "SPENDING_LIMIT",
        LanguageError::CircuitOpen { .. } => "PROVIDER_RESTING",
        LanguageError::Remote { .. } | LanguageError::RemoteStatus { .. } => "PROVIDER_FAILED",
        _ => "MODEL_FAILED",
    }
}
