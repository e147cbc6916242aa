//! Do replies take turns, end when stopped, and survive each other's accidents?

use std::path::Path;
use std::sync::mpsc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::{ChatEvent, ChatOutcome, ChatStream, QueuePlace};
use crate::grammar::GrammarFactory;
use crate::sampling::{Sampler, Sampling};
use crate::text_stream::TextStream;

const VOCAB: usize = 512;
const POISON: u32 = 400;
const LONG: u32 = 401;

/// A model whose next token is always the last one plus one; it panics when it reads [`POISON`], and scores more tokens
/// than there are after [`LONG`].
struct Counting {
    /// Every step's tokens, so that tests see who had a turn.
    log: mpsc::Sender<Vec<Vec<u32>>>,
    /// Each step waits for one message, so that tests decide when it happens.
    gate: Option<mpsc::Receiver<()>>,
}

impl CausalLm for Counting {
    type Cache = Vec<u32>;

    fn new_cache(&self) -> Vec<u32> {
        Vec::new()
    }

    fn cache_len(&self, cache: &Vec<u32>) -> usize {
        cache.len()
    }

    fn cache_bytes(&self, cache: &Vec<u32>) -> usize {
        cache.len() * 4
    }

    fn truncate(&self, cache: &mut Vec<u32>, len: usize) {
        cache.truncate(len);
    }

    fn copy(&self, cache: &Vec<u32>, len: usize) -> Vec<u32> {
        cache[..len].to_vec()
    }

    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn context_tokens(&self) -> usize {
        1000
    }

    fn forward(&mut self, steps: &mut [Step<'_, Vec<u32>>]) -> Result<Vec<Vec<f32>>, LanguageError> {
        if let Some(gate) = &self.gate {
            gate.recv().unwrap_or_default();
        }
        let _ = self.log.send(steps.iter().map(|step| step.tokens.to_vec()).collect());
        let mut all = Vec::new();
        for step in steps {
            step.cache.extend_from_slice(step.tokens);
            assert!(!step.tokens.contains(&POISON), "poison was read");
            let last = step.tokens[step.tokens.len() - 1];
            let mut scores = vec![0.0; if last == LONG { 4 * VOCAB } else { VOCAB }];
            scores[last as usize + 1] = 9.0;
            all.push(if step.scores == Scores::None { Vec::new() } else { scores });
        }
        Ok(all)
    }
}

struct Bench {
    thread: EngineThread,
    log: mpsc::Receiver<Vec<Vec<u32>>>,
    gate: mpsc::Sender<()>,
}

fn tokenizer() -> Arc<Tokenizer> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/language/llama-tiny");
    Arc::new(Tokenizer::from_hugging_face(&folder).unwrap())
}

fn bench(gated: bool, limits: EngineLimits) -> Bench {
    let (log, seen) = mpsc::channel();
    let (gate, waits) = mpsc::channel();
    let model = Counting { log, gate: gated.then_some(waits) };
    let thread = EngineThread::start("counting", model, tokenizer(), limits).unwrap();
    Bench { thread, log: seen, gate }
}

fn job(prompt: &[u32], max_tokens: usize) -> (Job, ChatStream) {
    let place = QueuePlace::default();
    let (events, stream) = ChatStream::pair(place.clone());
    let job = Job {
        prompt: prompt.to_vec(),
        sampler: Sampler::new(Sampling::greedy(), 1, prompt),
        seed: 1,
        text: TextStream::new(&[]).unwrap(),
        max_tokens,
        grammar: None,
        cache_key: None,
        user: "someone".into(),
        cancel: CancellationToken::new(),
        events,
        place,
    };
    (job, stream)
}

fn outcome(stream: ChatStream) -> ChatOutcome {
    stream.blocking_collect().unwrap().1
}

#[test]
fn replies_take_turns_token_by_token() {
    let bench = bench(true, EngineLimits::default());
    let (first, first_reply) = job(&[10], 3);
    let (second, second_reply) = job(&[50], 3);
    bench.thread.submit(first).unwrap();
    bench.thread.submit(second).unwrap();
    for _ in 0..8 {
        bench.gate.send(()).unwrap();
    }
    assert_eq!(outcome(first_reply).usage.completion_tokens, 3);
    assert_eq!(outcome(second_reply).finish_reason, FinishReason::Length);
    let together = bench.log.try_iter().filter(|step| step.len() == 2).count();
    assert!(together >= 2, "both replies must advance in the same steps");
}

#[test]
fn a_long_prompt_is_read_in_parts_while_others_go_on() {
    let bench = bench(true, EngineLimits::default());
    let (short, short_reply) = job(&[10], 4);
    let (long, long_reply) = job(&[7; 300], 2);
    bench.thread.submit(short).unwrap();
    bench.thread.submit(long).unwrap();
    for _ in 0..12 {
        bench.gate.send(()).unwrap();
    }
    assert_eq!(outcome(short_reply).usage.completion_tokens, 4);
    assert_eq!(outcome(long_reply).usage.prompt_tokens, 300);
    let steps: Vec<_> = bench.log.try_iter().collect();
    assert!(steps.iter().all(|step| step.iter().map(Vec::len).sum::<usize>() <= PROMPT_TOKENS_PER_TURN + 1));
    assert!(steps.iter().any(|step| step.len() == 2 && step.iter().any(|tokens| tokens.len() > 1)));
}

#[test]
fn a_panic_fails_only_its_own_reply() {
    let bench = bench(false, EngineLimits::default());
    for _ in 0..3 {
        let (good, good_reply) = job(&[10], 40);
        let (bad, bad_reply) = job(&[POISON - 5], 40);
        bench.thread.submit(good).unwrap();
        bench.thread.submit(bad).unwrap();
        assert!(
            matches!(bad_reply.blocking_collect(), Err(LanguageError::Panicked(why)) if why.contains("poison"))
        );
        assert_eq!(outcome(good_reply).usage.completion_tokens, 40);
    }
}

#[test]
fn a_panic_while_a_token_is_chosen_fails_only_its_own_reply() {
    let bench = bench(false, EngineLimits::default());
    let grammars = GrammarFactory::new(&tokenizer(), VOCAB).unwrap();
    let (good, good_reply) = job(&[10], 40);
    let (mut bad, bad_reply) = job(&[LONG], 40);
    // It knows nothing of the tokens beyond the vocabulary.
    bad.grammar = Some(grammars.compile(&json!({"type": "string"})).unwrap());
    bench.thread.submit(good).unwrap();
    bench.thread.submit(bad).unwrap();
    assert!(matches!(bad_reply.blocking_collect(), Err(LanguageError::Panicked(_))));
    assert_eq!(outcome(good_reply).usage.completion_tokens, 40);
}

#[test]
fn cancelling_ends_running_and_waiting_replies() {
    let limits = EngineLimits { active_max: 1, ..EngineLimits::default() };
    let bench = bench(true, limits);
    let (running, mut running_reply) = job(&[10], 300);
    let (waiting, waiting_reply) = job(&[20], 300);
    let (stop_running, stop_waiting) = (running.cancel.clone(), waiting.cancel.clone());
    bench.thread.submit(running).unwrap();
    bench.gate.send(()).unwrap();
    assert!(matches!(running_reply.blocking_next(), Some(ChatEvent::Delta(_))));
    bench.thread.submit(waiting).unwrap();
    stop_waiting.cancel();
    bench.gate.send(()).unwrap();
    bench.gate.send(()).unwrap();
    assert_eq!(outcome(waiting_reply).finish_reason, FinishReason::Cancelled);
    stop_running.cancel();
    bench.gate.send(()).unwrap();
    let ended = outcome(running_reply);
    assert_eq!(ended.finish_reason, FinishReason::Cancelled);
    assert!(ended.usage.completion_tokens < 10);
    assert_eq!(bench.thread.load().waiting, 0);
}

#[test]
fn waiting_requests_are_bounded_fair_and_know_their_place() {
    let limits = EngineLimits { active_max: 1, waiting_max: 3, ..EngineLimits::default() };
    let bench = bench(true, limits);
    let (running, mut running_reply) = job(&[10], 2);
    bench.thread.submit(running).unwrap();
    bench.gate.send(()).unwrap();
    assert!(matches!(running_reply.blocking_next(), Some(ChatEvent::Delta(_))));
    let mut replies = Vec::new();
    for (user, prompt) in [("a", 20), ("a", 30), ("b", 40)] {
        let (mut waiting, reply) = job(&[prompt], 1);
        waiting.user = user.into();
        bench.thread.submit(waiting).unwrap();
        replies.push(reply);
    }
    let (refused, _reply) = job(&[60], 1);
    assert!(matches!(bench.thread.submit(refused), Err(LanguageError::QueueFull { limit: 3 })));
    bench.gate.send(()).unwrap();
    outcome(running_reply);
    bench.gate.send(()).unwrap();
    outcome(replies.remove(0));
    // "b" has not had a turn, so it comes before the second request of "a"; it waits at the gate now.
    while replies[1].queue_position().is_some() {
        std::thread::yield_now();
    }
    assert_eq!(replies[0].queue_position(), Some(0));
    bench.gate.send(()).unwrap();
    bench.gate.send(()).unwrap();
    replies.into_iter().for_each(|reply| drop(outcome(reply)));
    let prompts: Vec<u32> = bench.log.try_iter().map(|step| step[0][0]).collect();
    assert_eq!(prompts, [10, 11, 20, 40, 30]);
}

#[test]
fn a_known_conversation_is_not_read_again() {
    let bench = bench(false, EngineLimits::default());
    let talk = |prompt: &[u32]| {
        let (mut talk, reply) = job(prompt, 2);
        talk.cache_key = Some("talk".into());
        bench.thread.submit(talk).unwrap();
        outcome(reply)
    };
    assert_eq!(talk(&[1, 2, 3, 4, 5]).usage.cached_prompt_tokens, 0);
    // The reply was 6, 7, of which only 6 was read by the model.
    let usage = talk(&[1, 2, 3, 4, 5, 6, 7, 90]).usage;
    assert_eq!((usage.prompt_tokens, usage.cached_prompt_tokens), (8, 6));
    assert_eq!(talk(&[1, 2, 99]).usage.cached_prompt_tokens, 2);
    let last: Vec<u32> = bench.log.try_iter().last().unwrap().concat();
    assert_eq!(last.len(), 1);
}

#[test]
fn what_two_conversations_of_a_person_begin_with_is_read_once() {
    let bench = bench(false, EngineLimits::default());
    let talk = |user: &str, key: &str, prompt: &[u32]| {
        let (mut talk, reply) = job(prompt, 2);
        talk.cache_key = Some(key.into());
        talk.user = user.into();
        bench.thread.submit(talk).unwrap();
        outcome(reply).usage.cached_prompt_tokens
    };
    let instructions: Vec<u32> = (1..60).collect();
    let and = |more: &[u32]| [&instructions, more].concat();
    assert_eq!(talk("ada", "one", &and(&[70, 71])), 0);
    assert_eq!(talk("ada", "two", &and(&[80, 81])), 59);
    assert_eq!(talk("ada", "one", &and(&[70, 71, 72, 90])), 62, "the first one is still remembered");
    assert_eq!(talk("ben", "three", &and(&[70, 71])), 0, "what another person said is not told by a count");
    assert_eq!(talk("ada", "four", &[1, 2, 3, 90]), 0, "few tokens are not worth a copy");
}

#[test]
fn replies_end_at_the_context_and_when_the_engine_goes() {
    let limits = EngineLimits { context_tokens_max: 20, ..EngineLimits::default() };
    let bench = bench(false, limits);
    let (long, reply) = job(&[10; 15], 100);
    bench.thread.submit(long).unwrap();
    let ended = outcome(reply);
    assert_eq!((ended.finish_reason, ended.usage.completion_tokens), (FinishReason::Length, 5));

    let gated = self::bench(true, EngineLimits::default());
    let (running, reply) = job(&[10], 300);
    gated.thread.submit(running).unwrap();
    drop(gated.gate);
    drop(gated.thread);
    assert!(outcome(reply).usage.completion_tokens <= 300);
}
