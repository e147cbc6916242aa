//! How far has one reply come, and what does the next token make of it?

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::engine::{ChatEvent, ChatOutcome, FinishReason, QueuePlace, Usage};
use crate::error::LanguageError;
use crate::grammar::Grammar;
use crate::sampling::Sampler;
use crate::text_stream::TextStream;
use crate::tokenizer::Tokenizer;

/// A request that has been checked and turned into tokens.
pub(crate) struct Job {
    pub(crate) prompt: Vec<u32>,
    pub(crate) sampler: Sampler,
    pub(crate) seed: u64,
    pub(crate) text: TextStream,
    pub(crate) max_tokens: usize,
    pub(crate) grammar: Option<Grammar>,
    pub(crate) cache_key: Option<String>,
    pub(crate) user: String,
    pub(crate) cancel: CancellationToken,
    pub(crate) events: UnboundedSender<ChatEvent>,
    pub(crate) place: QueuePlace,
}

impl Job {
    /// Tells the listener; it may have gone.
    pub(crate) fn send(&self, event: ChatEvent) {
        let _ = self.events.send(event);
    }

    /// Ends a request that never started.
    pub(crate) fn end_unstarted(self, engine: &str) {
        let usage = Usage { prompt_tokens: self.prompt.len(), ..Usage::default() };
        self.send(ChatEvent::Finished(ChatOutcome {
            tool_calls: Vec::new(),
            finish_reason: FinishReason::Cancelled,
            usage,
            tokens_per_second: 0.0,
            seed: self.seed,
            engine: engine.to_string(),
        }));
    }
}

/// A reply that is being made.
pub(crate) struct Generation<C> {
    pub(crate) job: Job,
    /// The prompt and the reply so far.
    pub(crate) tokens: Vec<u32>,
    pub(crate) cache: C,
    /// How many of `tokens` the memory holds.
    pub(crate) read: usize,
    cached: usize,
    completion_tokens: usize,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

impl<C> Generation<C> {
    /// A reply about to start, of whose prompt the memory already holds `cached` tokens.
    pub(crate) fn new(mut job: Job, cache: C, cached: usize) -> Generation<C> {
        job.place.set(None);
        Generation {
            tokens: std::mem::take(&mut job.prompt),
            job,
            cache,
            read: cached,
            cached,
            completion_tokens: 0,
            first_token: None,
            last_token: None,
        }
    }

    /// Tokens that the model has not read yet.
    pub(crate) fn unread(&self) -> usize {
        self.tokens.len() - self.read
    }

    /// Chooses the next token and sends what it adds; says why if the reply is over.
    pub(crate) fn advance(
        &mut self,
        mut scores: Vec<f32>,
        tokenizer: &Arc<Tokenizer>,
        context_tokens: usize,
    ) -> Result<Option<FinishReason>, LanguageError> {
        let token = match &mut self.job.grammar {
            Some(grammar) => {
                let mask = grammar.allowed()?;
                let token = self.job.sampler.choose(&mut scores, Some(&|token| mask.is_allowed(token)));
                if let Some(token) = token {
                    grammar.accept(token)?;
                }
                token
            }
            None => self.job.sampler.choose(&mut scores, None),
        };
        let token = token.ok_or_else(|| {
            LanguageError::malformed("scores", "no token has a finite score that is allowed")
        })?;
        if tokenizer.is_end(token) {
            return Ok(Some(FinishReason::Stop));
        }
        let now = Instant::now();
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
        self.completion_tokens += 1;
        self.tokens.push(token);
        if !tokenizer.is_special(token) {
            let delta = self.job.text.push(tokenizer.token_bytes(token));
            self.send_delta(delta);
        }
        let complete = self.job.grammar.as_ref().is_some_and(Grammar::complete);
        Ok(if self.job.text.stopped() || complete {
            Some(FinishReason::Stop)
        } else if self.completion_tokens >= self.job.max_tokens || self.tokens.len() >= context_tokens {
            Some(FinishReason::Length)
        } else {
            None
        })
    }

    /// Sends what was held back and the outcome.
    pub(crate) fn finish(&mut self, finish_reason: FinishReason, engine: &str) {
        let rest = self.job.text.finish();
        self.send_delta(rest);
        let usage = Usage {
            prompt_tokens: self.tokens.len() - self.completion_tokens,
            completion_tokens: self.completion_tokens,
            cached_prompt_tokens: self.cached,
        };
        let seconds = match (self.first_token, self.last_token) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        let intervals = self.completion_tokens.saturating_sub(1) as f64;
        let tokens_per_second = if seconds > 0.0 { intervals / seconds } else { 0.0 };
        self.job.send(ChatEvent::Finished(ChatOutcome {
            tool_calls: Vec::new(),
            finish_reason,
            usage,
            tokens_per_second,
            seed: self.job.seed,
            engine: engine.to_string(),
        }));
    }

    fn send_delta(&self, delta: String) {
        if !delta.is_empty() {
            self.job.send(ChatEvent::Delta(delta));
        }
    }
}
