//! How far has one reply come, and what does the next token make of it?

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::drafts::Drafts;
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

/// How many tokens were read ahead, and how many of them were what the model chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drafted {
    pub(crate) read: usize,
    pub(crate) chosen: usize,
}

/// A reply that is being made.
pub(crate) struct Generation<C> {
    pub(crate) job: Job,
    /// The prompt and the reply so far.
    pub(crate) tokens: Vec<u32>,
    pub(crate) cache: C,
    /// How many of `tokens` the memory holds.
    pub(crate) read: usize,
    /// What the next step reads: tokens that are unread, and after the last one those that are drafted.
    pub(crate) step: Vec<u32>,
    drafts: Drafts,
    /// Tokens of the last step that were drafted.
    pub(crate) drafted: Drafted,
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
            step: Vec::new(),
            drafts: Drafts::default(),
            drafted: Drafted::default(),
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

    /// Puts together what the next step reads: at most `tokens_max` unread tokens, and `drafted_max` after the last one.
    pub(crate) fn prepare(&mut self, tokens_max: usize, drafted_max: usize, context_tokens: usize) {
        let end = self.tokens.len().min(self.read + tokens_max);
        self.step.clear();
        self.step.extend_from_slice(&self.tokens[self.read..end]);
        // One token is chosen after those that are drafted.
        let replies = self.job.max_tokens.saturating_sub(self.completion_tokens);
        let room = replies.min(context_tokens.saturating_sub(self.tokens.len()));
        let drafted_max = drafted_max.min(room.saturating_sub(1));
        if drafted_max > 0 && self.step.len() == 1 && end == self.tokens.len() {
            self.step.extend(self.drafts.draft(&self.tokens, drafted_max));
        }
    }

    /// Tokens of the next step that are drafted.
    pub(crate) fn drafted_in_step(&self) -> usize {
        (self.read + self.step.len()).saturating_sub(self.tokens.len())
    }

    /// Takes the scores of the step that was prepared: chooses tokens as long as what is chosen was read ahead, and one
    /// more. Says why if the reply is over.
    pub(crate) fn take_step(
        &mut self,
        mut scores: Vec<f32>,
        tokenizer: &Arc<Tokenizer>,
        context_tokens: usize,
    ) -> Result<Option<FinishReason>, LanguageError> {
        let drafted = self.drafted_in_step();
        self.read += self.step.len() - drafted;
        if self.unread() > 0 {
            return Ok(None);
        }
        self.drafted = Drafted { read: drafted, chosen: 0 };
        let row = scores.len() / (drafted + 1);
        let first_drafted = self.step.len() - drafted;
        for place in first_drafted..=self.step.len() {
            let later = scores.split_off(if place < self.step.len() { row } else { scores.len() });
            let ended = self.advance(std::mem::replace(&mut scores, later), tokenizer, context_tokens)?;
            if ended.is_some() || self.step.get(place) != self.tokens.last() {
                return Ok(ended);
            }
            self.read += 1;
            self.drafted.chosen += 1;
        }
        Ok(None)
    }

    /// Chooses the next token and sends what it adds; says why if the reply is over.
    fn advance(
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
