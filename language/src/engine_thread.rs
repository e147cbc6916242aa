//! Who runs the model? One thread that owns it and lets several replies take turns, token by token.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use rayon::prelude::*;

use crate::causal_lm::{CausalLm, Scores, Step};
use crate::cpu::on_reply_threads;
use crate::engine::{ChatEvent, FinishReason};
use crate::engine_limits::EngineLimits;
use crate::error::LanguageError;
use crate::fair_queue::FairQueue;
use crate::generation::{Drafted, Generation, Job};
use crate::prefix_cache::PrefixCache;
use crate::priority::give_way;
use crate::tokenizer::Tokenizer;

/// Prompt tokens read between two turns; others wait that long for their next token.
const PROMPT_TOKENS_PER_TURN: usize = 128;
/// Fewer tokens are sooner read than copied from another conversation.
const SHARED_TOKENS_MIN: usize = 16;
/// Tokens that a step reads at most, drafted ones among them, for replies that are under way: each delays them all.
const REPLY_TOKENS_PER_TURN: usize = 8;

/// What an engine is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLoad {
    /// Replies being made.
    pub active: usize,
    /// Requests waiting.
    pub waiting: usize,
    /// Bytes of remembered conversations.
    pub cache_bytes: usize,
    /// Tokens that were read ahead since the engine began, because a conversation had said them before.
    pub drafted_tokens: usize,
    /// Those of them that the model then chose.
    pub accepted_tokens: usize,
}

#[derive(Default)]
struct Counters {
    active: AtomicUsize,
    waiting: AtomicUsize,
    cache_bytes: AtomicUsize,
    drafted_tokens: AtomicUsize,
    accepted_tokens: AtomicUsize,
    stopping: AtomicBool,
    /// Requests waiting of each user.
    waiting_of: Mutex<HashMap<String, usize>>,
}

impl Counters {
    /// Counts a request that waits, and tells how many waited before it; the limit where too many do. Of one user no more
    /// than half may.
    fn enter(&self, user: &str, waiting_max: usize) -> Result<usize, usize> {
        let mut waiting_of = self.waiting_of.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.waiting.load(Ordering::Acquire);
        if waiting >= waiting_max {
            return Err(waiting_max);
        }
        let (own, own_max) = (waiting_of.get(user).copied().unwrap_or(0), waiting_max.div_ceil(2));
        if own >= own_max {
            return Err(own_max);
        }
        waiting_of.insert(user.to_string(), own + 1);
        self.waiting.store(waiting + 1, Ordering::Release);
        Ok(waiting)
    }

    fn load(&self) -> EngineLoad {
        EngineLoad {
            active: self.active.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            cache_bytes: self.cache_bytes.load(Ordering::Relaxed),
            drafted_tokens: self.drafted_tokens.load(Ordering::Relaxed),
            accepted_tokens: self.accepted_tokens.load(Ordering::Relaxed),
        }
    }

    /// It waits no more.
    fn leave(&self, user: &str) {
        let mut waiting_of = self.waiting_of.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting_of.get_mut(user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(waiting_of.remove(user)),
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The handle on the thread; dropping it cancels what runs and waits for the thread to end.
pub(crate) struct EngineThread {
    inbox: Option<Sender<Box<Job>>>,
    counters: Arc<Counters>,
    waiting_max: usize,
    thread: Option<JoinHandle<()>>,
}

impl EngineThread {
    /// Gives `model` to a thread of its own.
    pub(crate) fn start<M: CausalLm>(
        name: &str,
        model: M,
        tokenizer: Arc<Tokenizer>,
        limits: EngineLimits,
    ) -> Result<EngineThread, LanguageError> {
        let (inbox, outbox) = bounded(limits.waiting_max.max(1));
        let counters = Arc::new(Counters::default());
        let context_tokens = match limits.context_tokens_max {
            0 => model.context_tokens(),
            tokens => tokens.min(model.context_tokens()),
        };
        let turns = Turns {
            name: name.to_string(),
            tokenizer,
            context_tokens,
            active_max: limits.active_max.max(1),
            drafted_max: limits.drafted_tokens_max.min(model.same_alone_max().saturating_sub(1)),
            model,
            outbox,
            queue: FairQueue::default(),
            active: Vec::new(),
            remembered: PrefixCache::new(limits.cache_bytes_max),
            counters: counters.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("language {name}"))
            .spawn(move || {
                give_way();
                turns.run();
            })
            .map_err(|source| LanguageError::Io { path: name.into(), source })?;
        let waiting_max = limits.waiting_max.max(1);
        Ok(EngineThread { inbox: Some(inbox), counters, waiting_max, thread: Some(thread) })
    }

    /// Queues a job, or refuses it at once if too many wait.
    pub(crate) fn submit(&self, job: Job) -> Result<(), LanguageError> {
        let full = |limit| LanguageError::QueueFull { limit };
        let place = self.counters.enter(&job.user, self.waiting_max).map_err(full)?;
        job.place.set(Some(place));
        let user = job.user.clone();
        let sent = self.inbox.as_ref().map(|inbox| inbox.try_send(Box::new(job)));
        if matches!(sent, Some(Ok(()))) {
            return Ok(());
        }
        self.counters.leave(&user);
        Err(match sent {
            Some(Err(error)) if error.is_full() => full(self.waiting_max),
            _ => LanguageError::Closed,
        })
    }

    pub(crate) fn load(&self) -> EngineLoad {
        self.counters.load()
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        self.counters.stopping.store(true, Ordering::Release);
        self.inbox = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a language thread panicked outside the model");
        }
    }
}

/// One reply's share of the next step: its index, and how many of its drafted tokens are read ahead.
struct Share {
    index: usize,
    drafted: usize,
}

/// What the thread holds.
struct Turns<M: CausalLm> {
    name: String,
    model: M,
    tokenizer: Arc<Tokenizer>,
    context_tokens: usize,
    active_max: usize,
    /// Tokens that a step may read ahead.
    drafted_max: usize,
    outbox: Receiver<Box<Job>>,
    queue: FairQueue<Box<Job>>,
    active: Vec<Generation<M::Cache>>,
    remembered: PrefixCache<M::Cache>,
    counters: Arc<Counters>,
}

impl<M: CausalLm> Turns<M> {
    fn run(mut self) {
        loop {
            if self.active.is_empty() && self.queue.is_empty() {
                match self.outbox.recv() {
                    Ok(job) => self.queue_up(job),
                    Err(_) => return,
                }
            }
            while let Ok(job) = self.outbox.try_recv() {
                self.queue_up(job);
            }
            self.end_cancelled();
            self.admit();
            self.turn();
            self.counters.active.store(self.active.len(), Ordering::Relaxed);
            self.counters.cache_bytes.store(self.remembered.held_bytes(), Ordering::Relaxed);
        }
    }

    fn queue_up(&mut self, job: Box<Job>) {
        self.queue.push(&job.user.clone(), job);
    }

    fn end_cancelled(&mut self) {
        let stopping = self.counters.stopping.load(Ordering::Acquire);
        for job in self.queue.take_where(|job| stopping || job.cancel.is_cancelled()) {
            self.counters.leave(&job.user);
            job.end_unstarted(&self.name);
        }
        let mut index = 0;
        while index < self.active.len() {
            if stopping || self.active[index].job.cancel.is_cancelled() {
                self.end(index, Ok(FinishReason::Cancelled));
            } else {
                index += 1;
            }
        }
    }

    fn admit(&mut self) {
        while self.active.len() < self.active_max {
            let Some(job) = self.queue.pop() else { break };
            self.counters.leave(&job.user);
            let remembered = job.cache_key.as_ref().and_then(|key| self.remembered.take(key, &job.prompt));
            let (mut cache, mut cached) = remembered.unwrap_or_else(|| (self.model.new_cache(), 0));
            self.model.truncate(&mut cache, cached);
            // Another conversation with the same character begins with the same instructions.
            if job.cache_key.is_some()
                && let Some((similar, shared)) = self.remembered.similar(&job.user, &job.prompt)
                && shared >= cached + SHARED_TOKENS_MIN
            {
                (cache, cached) = (self.model.copy(similar, shared), shared);
            }
            self.active.push(Generation::new(*job, cache, cached));
        }
        self.counters.active.store(self.active.len(), Ordering::Relaxed);
        self.queue.for_each_place(|job, place| job.place.set(Some(place)));
    }

    /// One token for every reply that is under way, and a part of one prompt.
    fn turn(&mut self) {
        let mut shares = Vec::new();
        let mut prompt_taken = false;
        let mut drafted_max = self.drafted_max.min(REPLY_TOKENS_PER_TURN.saturating_sub(self.active.len()));
        for (index, generation) in self.active.iter_mut().enumerate() {
            if generation.unread() <= 1 {
                generation.prepare(1, drafted_max, self.context_tokens);
                drafted_max -= generation.drafted_in_step();
            } else if !prompt_taken {
                prompt_taken = true;
                generation.prepare(PROMPT_TOKENS_PER_TURN, 0, self.context_tokens);
            } else {
                continue;
            }
            shares.push(Share { index, drafted: generation.drafted_in_step() });
        }
        let before: Vec<usize> = self.active.iter().map(|generation| generation.read).collect();
        let results = match self.forward(&shares) {
            Ok(scores) => scores.into_iter().map(Ok).collect(),
            Err(error) if shares.len() <= 1 => vec![Err(error)],
            // One of the steps fails: let each one try alone, so that the others go on.
            Err(_) => shares
                .iter()
                .map(|share| {
                    let generation = &mut self.active[share.index];
                    self.model.truncate(&mut generation.cache, before[share.index]);
                    self.forward(std::slice::from_ref(share))
                        .map(|mut scores| scores.pop().unwrap_or_default())
                })
                .collect::<Vec<_>>(),
        };
        let mut outcomes = self.take_scores(&shares, results);
        for share in shares.iter().filter(|share| share.drafted > 0) {
            self.forget_drafts(share);
        }
        // From the last to the first, so that ending one does not move those still to come.
        for share in shares.iter().rev() {
            if let Some(outcome) = outcomes.pop().flatten() {
                self.end(share.index, outcome);
            }
        }
        // Another prompt is first next time.
        if self.active.len() > 1 {
            self.active.rotate_left(1);
        }
    }

    /// Chooses every reply's next token, each on a thread where there are several; says for each whether it is over.
    fn take_scores(
        &mut self,
        shares: &[Share],
        results: Vec<Result<Vec<f32>, LanguageError>>,
    ) -> Vec<Option<Result<FinishReason, LanguageError>>> {
        let missing = || Err(LanguageError::malformed("scores", "the model returned too few"));
        let mut results = results.into_iter().chain(std::iter::repeat_with(missing));
        let mut wanted = shares.iter().peekable();
        let mut takers = Vec::new();
        for (index, generation) in self.active.iter_mut().enumerate() {
            if wanted.next_if(|share| share.index == index).is_some() {
                takers.push((generation, results.next().unwrap_or_else(missing)));
            }
        }
        let (tokenizer, context_tokens) = (&self.tokenizer, self.context_tokens);
        let take = |(generation, scores): (&mut Generation<M::Cache>, Result<_, _>)| match scores {
            Ok(scores) => generation.take_step(scores, tokenizer, context_tokens).transpose(),
            Err(error) => Some(Err(error)),
        };
        // What fails here ends its own reply only, whose memory is dropped.
        let take = |taker| {
            catch_unwind(AssertUnwindSafe(|| take(taker)))
                .unwrap_or_else(|panic| Some(Err(LanguageError::Panicked(panic_message(&*panic)))))
        };
        match takers.len() {
            0 | 1 => takers.into_iter().map(take).collect(),
            _ => on_reply_threads(|| takers.into_par_iter().map(take).collect()),
        }
    }

    fn forward(&mut self, shares: &[Share]) -> Result<Vec<Vec<f32>>, LanguageError> {
        let mut steps = Vec::new();
        let mut wanted = shares.iter();
        let mut next = wanted.next();
        for (index, generation) in self.active.iter_mut().enumerate() {
            let Some(share) = next.filter(|share| share.index == index) else { continue };
            next = wanted.next();
            let scores = match generation.read + generation.step.len() {
                _ if share.drafted > 0 => Scores::All,
                end if end == generation.tokens.len() => Scores::Last,
                _ => Scores::None,
            };
            steps.push(Step { tokens: &generation.step, cache: &mut generation.cache, scores });
        }
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        // The model's memories are truncated or dropped after a panic, so nothing half-written is ever used.
        catch_unwind(AssertUnwindSafe(|| self.model.forward(&mut steps)))
            .unwrap_or_else(|panic| Err(LanguageError::Panicked(panic_message(&*panic))))
    }

    /// Has a reply's memory hold only what was chosen, and counts what was.
    fn forget_drafts(&mut self, share: &Share) {
        let generation = &mut self.active[share.index];
        self.model.truncate(&mut generation.cache, generation.read);
        let Drafted { read, chosen } = std::mem::take(&mut generation.drafted);
        self.counters.drafted_tokens.fetch_add(read, Ordering::Relaxed);
        self.counters.accepted_tokens.fetch_add(chosen, Ordering::Relaxed);
    }

    fn end(&mut self, index: usize, outcome: Result<FinishReason, LanguageError>) {
        let mut generation = self.active.remove(index);
        match outcome {
            Ok(reason) => {
                generation.finish(reason, &self.name);
                let EngineLoad { drafted_tokens, accepted_tokens, .. } = self.counters.load();
                tracing::debug!(engine = self.name, drafted_tokens, accepted_tokens, "a reply ended");
                self.model.truncate(&mut generation.cache, generation.read);
                if let Some(key) = generation.job.cache_key.take() {
                    generation.tokens.truncate(generation.read);
                    let bytes = self.model.cache_bytes(&generation.cache);
                    let user = &generation.job.user;
                    self.remembered.put(&key, user, generation.tokens, generation.cache, bytes);
                }
            }
            // Its memory may be half written, so it is dropped.
            Err(error) => {
                tracing::warn!(engine = self.name, %error, "a reply failed");
                generation.job.send(ChatEvent::Failed(error));
            }
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
#[path = "engine_thread_tests.rs"]
mod tests;
