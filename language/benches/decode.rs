//! How many tokens per second does the default chat model read and write on this machine, and how soon does a long
//! conversation go on? `decode.py` beside this file asks the same of transformers and of llama.cpp.

use std::path::{Path, PathBuf};
use std::time::Instant;

use language::causal_lm::{CausalLm, Scores, Step};
use language::cpu::{CpuLlama, KvNumbers};
use language::{
    ChatEngine, ChatEvent, ChatMessage, ChatRequest, EngineLimits, LocalDevice, LocalEngine, ModelFiles,
    Role, Sampling, fetch_default_chat_model,
};

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

/// The largest memory that this process has held, in megabytes, where the system tells.
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes / 1024)
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
    let path = model_path();
    let started = Instant::now();
    let mut model = ModelFiles::open(&path).and_then(|files| files.load_cpu()).expect("the model loads");
    println!("load                  {:8.2} s", started.elapsed().as_secs_f64());

    let prompt: Vec<u32> = (0..PROMPT_TOKENS as u32).map(|i| 1000 + i * 37 % 20_000).collect();
    let mut caches = vec![model.new_cache()];
    let cold = step(&mut model, &mut caches, &prompt);
    println!("read {PROMPT_TOKENS} tokens, cold {:8.1} tokens/s", PROMPT_TOKENS as f64 / cold);
    let mut caches = vec![model.new_cache()];
    let again = step(&mut model, &mut caches, &prompt);
    println!("read {PROMPT_TOKENS} tokens again {:7.1} tokens/s", PROMPT_TOKENS as f64 / again);

    for (conversations, context) in [(1, 16), (1, PROMPT_TOKENS), (2, 16), (4, 16), (8, 16)] {
        let mut caches: Vec<_> = (0..conversations).map(|_| model.new_cache()).collect();
        step(&mut model, &mut caches, &prompt[..context]);
        let mut speeds: Vec<f64> = (0..3)
            .map(|_| {
                let seconds: f64 = (0..REPLY_TOKENS).map(|_| step(&mut model, &mut caches, &[1234])).sum();
                (conversations * REPLY_TOKENS) as f64 / seconds
            })
            .collect();
        speeds.sort_by(f64::total_cmp);
        println!("write, {conversations} x context {context:4} {:8.1} tokens/s in all", speeds[1]);
    }
    // How the memory is kept, in turns.
    let mut seconds = [0.0, 0.0];
    let kinds = [KvNumbers::F32, KvNumbers::F16];
    let mut both = kinds.map(|numbers| {
        model.keep_as(numbers);
        let mut caches = vec![model.new_cache()];
        step(&mut model, &mut caches, &prompt.repeat(CONVERSATION_TOKENS / PROMPT_TOKENS));
        caches
    });
    for _ in 0..REPLY_TOKENS {
        for (seconds, caches) in seconds.iter_mut().zip(&mut both) {
            *seconds += step(&mut model, caches, &[1234]);
        }
    }
    for (numbers, seconds) in kinds.iter().zip(seconds) {
        let speed = REPLY_TOKENS as f64 / seconds;
        println!("write after {CONVERSATION_TOKENS} tokens, {numbers:?} {speed:8.1} tokens/s");
    }
    drop(both);
    let conversation: Vec<u32> = (0..CONVERSATION_TOKENS as u32).map(|i| 1000 + i * 41 % 20_000).collect();
    let mut caches = vec![model.new_cache()];
    let seconds = step(&mut model, &mut caches, &conversation);
    println!("first token after {CONVERSATION_TOKENS} tokens {seconds:8.3} s");
    drop(caches);

    let engine =
        LocalEngine::open(&path, &LocalDevice::Cpu, EngineLimits::default()).expect("the engine starts");
    through_the_engine(&engine, &mut model);
    drop(model);

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
    if let Some(megabytes) = peak_megabytes() {
        println!("peak memory           {megabytes:8} MB");
    }
}
