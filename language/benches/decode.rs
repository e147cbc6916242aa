//! How many tokens per second does the default chat model read and write on this machine?

use std::path::{Path, PathBuf};
use std::time::Instant;

use language::causal_lm::{CausalLm, Scores, Step};
use language::cpu::CpuLlama;
use language::{
    ChatEngine, ChatMessage, ChatRequest, EngineLimits, LocalDevice, LocalEngine, ModelFiles, Role, Sampling,
    fetch_default_chat_model,
};

const PROMPT_TOKENS: usize = 512;
const REPLY_TOKENS: usize = 64;

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

    for (conversations, context) in [(1, 16), (1, PROMPT_TOKENS), (2, 16), (4, 16)] {
        let mut caches: Vec<_> = (0..conversations).map(|_| model.new_cache()).collect();
        step(&mut model, &mut caches, &prompt[..context]);
        let seconds: f64 = (0..REPLY_TOKENS).map(|_| step(&mut model, &mut caches, &[1234])).sum();
        let speed = (conversations * REPLY_TOKENS) as f64 / seconds;
        println!("write, {conversations} x context {context:4} {speed:8.1} tokens/s in all");
    }
    drop(model);

    let engine =
        LocalEngine::open(&path, &LocalDevice::Cpu, EngineLimits::default()).expect("the engine starts");
    let ask = |question: &str| {
        let mut request = ChatRequest::new(vec![
            ChatMessage::new(Role::System, "You are a patient librarian. ".repeat(60)),
            ChatMessage::new(Role::User, question),
        ]);
        request.sampling = Sampling::greedy();
        request.max_tokens = 32;
        request.cache_key = Some("bench".into());
        let started = Instant::now();
        let mut reply = engine.submit(request).expect("the request is accepted");
        let first = reply.blocking_next().map(|_| started.elapsed().as_secs_f64());
        let (_, outcome) = reply.blocking_collect().expect("the reply completes");
        println!(
            "chat: first text after {:6.3} s, {} of {} prompt tokens remembered, then {:.1} tokens/s",
            first.unwrap_or_default(),
            outcome.usage.cached_prompt_tokens,
            outcome.usage.prompt_tokens,
            outcome.tokens_per_second
        );
    };
    ask("Where do I find books about cats?");
    ask("Where do I find books about dogs?");
    if let Some(megabytes) = peak_megabytes() {
        println!("peak memory           {megabytes:8} MB");
    }
}
