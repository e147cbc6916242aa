//! How much memory does a model take at most, from its files to a picture?
//!
//! `PLAYHOUSE_BENCH_MODEL=DIR cargo bench -p diffusion --bench peak_memory`; `PLAYHOUSE_BENCH_WEIGHTS` is `f32` unless
//! it says `f16` or `bf16`, `PLAYHOUSE_BENCH_SIDE` is 512. Without a model the starter is measured.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use diffusion::{DeviceChoice, DiffusionModel, GenerateSpec, LoadOptions, ModelSource, WeightType};

/// Memory of this process in GB: now, and at most so far.
fn resident_gb() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kb = line.and_then(|line| line.split_whitespace().next()).and_then(|kb| kb.parse::<f64>().ok());
        kb.unwrap_or(f64::NAN) / 1e6 * 1.024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn main() {
    let named = std::env::var("PLAYHOUSE_BENCH_MODEL").ok();
    let source = match &named {
        Some(path) => ModelSource::at(Path::new(path)).expect("a model"),
        None => ModelSource::Starter,
    };
    let weight_type = match std::env::var("PLAYHOUSE_BENCH_WEIGHTS").as_deref() {
        Ok("f16") => WeightType::F16,
        Ok("bf16") => WeightType::Bf16,
        _ => WeightType::F32,
    };
    let begin = Instant::now();
    let model = DiffusionModel::load(
        &source,
        DeviceChoice::Cpu,
        LoadOptions { weight_type, ..LoadOptions::default() },
    )
    .expect("it loads");
    let (now, most) = resident_gb();
    println!(
        "peak_memory: loaded as {weight_type:?} in {:.1} s: {now:.2} GB resident, {most:.2} GB at most",
        begin.elapsed().as_secs_f64()
    );
    let side = std::env::var("PLAYHOUSE_BENCH_SIDE").ok().and_then(|side| side.parse().ok());
    let native = model.default_spec();
    let side = side.unwrap_or(if named.is_some() { 512 } else { native.width });
    let spec =
        GenerateSpec { prompt: "a photo of a cat".into(), width: side, height: side, steps: 2, ..native };
    let begin = Instant::now();
    model.generate(&spec, &mut |_| ControlFlow::Continue(())).expect("a picture");
    let (now, most) = resident_gb();
    println!(
        "peak_memory: {side} × {side}, 2 steps in {:.1} s: {now:.2} GB resident, {most:.2} GB at most; expected {:.2} GB",
        begin.elapsed().as_secs_f64(),
        (model.memory_bytes() + model.drawing_bytes(&spec)) as f64 / 1e9
    );
}
