//! How many tokens per second does a chat model read and write on this machine, and how soon does a long conversation go
//! on? `peers/decode.py` asks the same of transformers and of llama.cpp, by itself or in turns with this.

#[path = "../tests/gguf_builder/mod.rs"]
mod gguf_builder;
mod peers;
mod random_model;
mod shared_processor;

use std::path::{Path, PathBuf};
use std::time::Instant;

use language::causal_lm::{CausalLm, Scores, Step};
use language::cpu::{CpuLlama, KvNumbers};
use language::{
    ChatEngine, ChatEvent, ChatMessage, ChatRequest, EngineLimits, LocalDevice, LocalEngine, ModelFiles,
    Role, Sampling, fetch_default_chat_model,
};
use peers::{Peer, Took, in_turns, took};

const PROMPT_TOKENS: usize = 512;
const REPLY_TOKENS: usize = 64;
const CONVERSATION_TOKENS: usize = 2000;

fn model_path() -> PathBuf {
    if let Some(path) = std::env::var_os("PLAYHOUSE_SMOLLM2") {
        return path.into();
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models_dir");
    fetch_default_chat_model(&models, &mut |_| {}).expect("the default chat model can be fetched")
}

fn step(model: &mut CpuLlama, caches: &mut [<CpuLlama as CausalLm>::Cache], tokens: &[u32]) -> f64 {
    let mut steps: Vec<_> =
        caches.iter_mut().map(|cache| Step { tokens, cache, scores: Scores::Last }).collect();
    let started = Instant::now();
    model.forward(&mut steps).expect("the model runs");
    started.elapsed().as_secs_f64()
}

/// Memory of this process in megabytes, where the system tells: `VmRSS` now, `VmHWM` the most so far.
fn megabytes(what: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
}

fn prompt(tokens: usize) -> Vec<u32> {
    (0..tokens as u32).map(|i| 1000 + i * 37 % 20_000).collect()
}

/// Reads `context` tokens into as many new memories, then measures the writing of a reply to each.
fn write(model: &mut CpuLlama, conversations: usize, context: usize) -> Took {
    let mut caches: Vec<_> = (0..conversations).map(|_| model.new_cache()).collect();
    step(model, &mut caches, &prompt(context));
    took(|| {
        for _ in 0..REPLY_TOKENS {
            step(model, &mut caches, &[1234]);
        }
    })
}

/// Reading and writing, in turns with llama.cpp where there is one.
fn against_a_peer(name: &str, path: &Path, model: &mut CpuLlama, reads: &[usize]) {
    let mut peer = Peer::start("llama.cpp", path);
    for context in [16, PROMPT_TOKENS] {
        let what = format!("{name}: write after {context} tokens");
        in_turns(
            &what,
            REPLY_TOKENS,
            || write(model, 1, context),
            peer.as_mut(),
            |peer| {
                peer.ask("forget");
                peer.ask(&format!("read {context}"));
                peer.ask(&format!("write {REPLY_TOKENS}"))
            },
        );
    }
    for tokens in reads {
        let ours = || {
            let mut caches = vec![model.new_cache()];
            let tokens = prompt(*tokens);
            took(|| {
                step(model, &mut caches, &tokens);
            })
        };
        in_turns(&format!("{name}: read {tokens} tokens"), *tokens, ours, peer.as_mut(), |peer| {
            peer.ask("forget");
            peer.ask(&format!("read {tokens}"))
        });
    }
}

/// Several conversations at once against one, in turns.
fn together(model: &mut CpuLlama) {
    for conversations in [8, 2, 4, 16] {
        let mut turns: Vec<(Took, Took)> =
            (0..3).map(|_| (write(model, 1, 16), write(model, conversations, 16))).collect();
        let count = conversations as f64;
        turns.sort_by(|a, b| (a.0.clock / a.1.clock).total_cmp(&(b.0.clock / b.1.clock)));
        let (one, all) = turns[turns.len() / 2];
        println!(
            "write, {conversations:2} conversations at once {:8.1} tokens/s in all: {:.2} times one by the clock, {:.2} by \
             the processor",
            count * REPLY_TOKENS as f64 / all.clock,
            count * one.clock / all.clock,
            count * one.processor / all.processor.max(0.01)
        );
    }
}

/// How the memory of a conversation is kept, in turns.
fn kept_memory(model: &mut CpuLlama) {
    let mut seconds = [0.0, 0.0];
    let kinds = [KvNumbers::F32, KvNumbers::F16];
    let mut both = kinds.map(|numbers| {
        model.keep_as(numbers);
        let mut caches = vec![model.new_cache()];
        step(model, &mut caches, &prompt(CONVERSATION_TOKENS));
        caches
    });
    for _ in 0..REPLY_TOKENS {
        for (seconds, caches) in seconds.iter_mut().zip(&mut both) {
            *seconds += step(model, caches, &[1234]);
        }
    }
    for (numbers, seconds) in kinds.iter().zip(seconds) {
        let speed = REPLY_TOKENS as f64 / seconds;
        println!("write after {CONVERSATION_TOKENS} tokens, {numbers:?} {speed:8.1} tokens/s");
    }
}

/// A shape of half a thousand million weights of Q4_K.
fn larger_model() {
    let path = std::env::temp_dir().join(format!("playhouse-bench-{}.gguf", std::process::id()));
    random_model::write(&path);
    let before = megabytes("VmRSS");
    let file = std::fs::metadata(&path).expect("it was written").len() >> 20;
    let mut model = ModelFiles::open(&path).and_then(|files| files.load_cpu()).expect("the model loads");
    if let (Some(before), Some(after)) = (before, megabytes("VmRSS")) {
        println!("0.45 B, Q4_K: a file of {file} MB takes {} MB", after.saturating_sub(before));
    }
    model.keep_as(KvNumbers::F16);
    against_a_peer("0.45 B, Q4_K", &path, &mut model, &[PROMPT_TOKENS]);
    let _ = std::fs::remove_file(&path);
}

/// What template, sampling and streaming leave of the model's own speed, in turns.
fn through_the_engine(engine: &LocalEngine, model: &mut CpuLlama) {
    let mut shares: Vec<f64> = Vec::new();
    for seed in 0..5 {
        let mut request = ChatRequest::new(vec![ChatMessage::new(Role::User, "Tell me of the sea.")]);
        request.sampling = Sampling { temperature: 0.9, top_p: 0.95, ..Sampling::default() };
        request.max_tokens = REPLY_TOKENS;
        request.seed = Some(seed);
        let reply = engine.submit(request).expect("the request is accepted");
        let (_, outcome) = reply.blocking_collect().expect("the reply completes");
        let mut caches = vec![model.new_cache()];
        let prompt: Vec<u32> = (0..outcome.usage.prompt_tokens as u32).map(|i| 1000 + i).collect();
        step(model, &mut caches, &prompt);
        let tokens = outcome.usage.completion_tokens.max(2) - 1;
        let seconds: f64 = (0..tokens).map(|_| step(model, &mut caches, &[1234])).sum();
        shares.push(outcome.tokens_per_second / (tokens as f64 / seconds));
    }
    shares.sort_by(f64::total_cmp);
    println!("write through the engine, sampled, against the model alone {:.2}", shares[shares.len() / 2]);
}

fn main() {
    // What to measure: all, unless words name some.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wants = |what: &str| wanted.is_empty() || wanted.iter().any(|word| word == what);
    let path = model_path();
    let started = Instant::now();
    let mut model = ModelFiles::open(&path).and_then(|files| files.load_cpu()).expect("the model loads");
    println!("load                  {:8.2} s", started.elapsed().as_secs_f64());
    model.keep_as(KvNumbers::F16);
    if wants("peer") {
        against_a_peer("SmolLM2", &path, &mut model, &[PROMPT_TOKENS, CONVERSATION_TOKENS]);
    }
    if wants("together") {
        together(&mut model);
    }
    if wants("memory") {
        kept_memory(&mut model);
    }
    if wants("engine") {
        let started = Instant::now();
        let engine =
            LocalEngine::open(&path, &LocalDevice::Cpu, EngineLimits::default()).expect("the engine starts");
        first_replies(&engine, started);
        through_the_engine(&engine, &mut model);
        conversation(&engine);
    }
    drop(model);
    if wants("ahead") {
        read_ahead(&path);
    }
    if wants("beside") {
        let engine =
            LocalEngine::open(&path, &LocalDevice::Cpu, EngineLimits::default()).expect("the engine starts");
        shared_processor::replies_beside_pictures(|| speed(&engine, "Tell me of the sea.", 0));
    }
    if wants("larger") {
        larger_model();
    }
    if let Some(megabytes) = megabytes("VmHWM") {
        println!("peak memory           {megabytes:8} MB");
    }
}

/// Tokens a second of a reply.
fn speed(engine: &LocalEngine, question: &str, seed: u64) -> f64 {
    let mut request = ChatRequest::new(vec![ChatMessage::new(Role::User, question)]);
    request.sampling = Sampling { temperature: 0.5, ..Sampling::default() };
    request.max_tokens = 2 * REPLY_TOKENS;
    request.seed = Some(seed);
    let reply = engine.submit(request).expect("the request is accepted");
    reply.blocking_collect().expect("the reply completes").1.tokens_per_second
}

/// Replies that repeat what they answer and replies that do not, with tokens read ahead and without, in turns.
fn read_ahead(path: &Path) {
    let open = |drafted_tokens_max: usize| {
        let limits = EngineLimits { drafted_tokens_max, ..EngineLimits::default() };
        LocalEngine::open(path, &LocalDevice::Cpu, limits).expect("the engine starts")
    };
    let (plain, ahead) = (open(0), open(7));
    let text = "The keeper of the old lighthouse walked down to the harbour every morning at six, counted the boats that \
                had come back, and wrote their names into a blue book that nobody but him had ever read.";
    let quoting = format!("Repeat this text word for word: {text}");
    for (what, question) in [("repeats its prompt", quoting.as_str()), ("does not", "Tell me of the sea.")] {
        let before = ahead.load();
        let mut turns: Vec<(f64, f64)> = (0..5)
            .map(|seed| {
                if seed % 2 == 0 {
                    let first = speed(&plain, question, seed);
                    (first, speed(&ahead, question, seed))
                } else {
                    let first = speed(&ahead, question, seed);
                    (speed(&plain, question, seed), first)
                }
            })
            .collect();
        turns.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let (without, with) = turns[turns.len() / 2];
        let after = ahead.load();
        println!(
            "a reply that {what}: {with:.1} tokens/s read ahead, {without:.1} without: {:.2} times; {} of {} tokens read \
             ahead were chosen",
            with / without,
            after.accepted_tokens - before.accepted_tokens,
            after.drafted_tokens - before.drafted_tokens
        );
    }
}

/// The first words of the first reply, with what it took to load the model since `started`, and of later ones.
fn first_replies(engine: &LocalEngine, started: Instant) {
    let first = |question: &str| {
        let started = Instant::now();
        let mut request = ChatRequest::new(vec![ChatMessage::new(Role::User, question)]);
        request.max_tokens = 8;
        let mut reply = engine.submit(request).expect("the request is accepted");
        assert!(matches!(reply.blocking_next(), Some(ChatEvent::Delta(_))), "the model says something");
        let seconds = started.elapsed().as_secs_f64();
        reply.blocking_collect().expect("the reply completes");
        seconds
    };
    first("Good morning.");
    println!(
        "cold: loaded and the first reply of 8 tokens written after {:6.3} s",
        started.elapsed().as_secs_f64()
    );
    let mut warm: Vec<f64> =
        (0..5).map(|number| first(&format!("Tell me of sea number {number}."))).collect();
    warm.sort_by(f64::total_cmp);
    println!("warm: first text after {:6.3} s", warm[warm.len() / 2]);
}

/// A long conversation goes on.
fn conversation(engine: &LocalEngine) {
    let mut messages = vec![ChatMessage::new(Role::System, "You are a patient librarian.")];
    let count = |messages: &[ChatMessage]| engine.count_tokens(&ChatRequest::new(messages.to_vec()));
    while count(&messages).expect("it counts") < CONVERSATION_TOKENS {
        let number = messages.len();
        messages
            .push(ChatMessage::new(Role::User, format!("Where do I find book number {number} about cats?")));
        let answer = format!("It is in room {number}, on the table beside the window, next to the atlases.");
        messages.push(ChatMessage::new(Role::Assistant, answer));
    }
    let mut first_after = Vec::new();
    for question in ["And where are the books about dogs?", "And those about horses?"] {
        messages.push(ChatMessage::new(Role::User, question));
        let mut request = ChatRequest::new(messages.clone());
        request.sampling = Sampling::greedy();
        request.max_tokens = 32;
        request.cache_key = Some("bench".into());
        let started = Instant::now();
        let mut reply = engine.submit(request).expect("the request is accepted");
        let Some(ChatEvent::Delta(mut text)) = reply.blocking_next() else {
            panic!("the model says something")
        };
        let first = started.elapsed().as_secs_f64();
        let (rest, outcome) = reply.blocking_collect().expect("the reply completes");
        text.push_str(&rest);
        println!(
            "chat: first text after {first:6.3} s, {} of {} prompt tokens remembered, then {:.1} tokens/s",
            outcome.usage.cached_prompt_tokens, outcome.usage.prompt_tokens, outcome.tokens_per_second
        );
        messages.push(ChatMessage::new(Role::Assistant, text));
        first_after.push(first);
    }
    println!("first text, warm against cold  1/{:.0}", first_after[0] / first_after[1]);
}
