//! How much memory does a model take at most, from its files to a picture?
//!
//! `PLAYHOUSE_BENCH_MODEL=DIR cargo bench -p diffusion --bench peak_memory`; `PLAYHOUSE_BENCH_WEIGHTS` is `f32` unless
//! it says `f16` or `bf16`, `PLAYHOUSE_BENCH_SIDE` is 512. Without a model the starter is measured; with
//! `PLAYHOUSE_BENCH_SHAPE=sd15` files of the shape of Stable Diffusion 1.5, whose zeros take the memory of any numbers: the
//! model, a ControlNet beside it, and the decoder at 1024 × 1024 in tiles. Peaks of single lines need Linux.

#[path = "shape/mod.rs"]
mod shape;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use diffusion::{
    ControlSpec, DeviceChoice, DiffusionModel, GenerateSpec, GuideSpec, LoadOptions, ModelSource, WeightType,
};
use image::RgbImage;

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

/// Begins a line of its own: what was at most so far is forgotten.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// What a ControlNet and the decoder of a large picture take beside a drawing that took `plain` GB at most.
fn beside(model: &DiffusionModel, spec: &GenerateSpec, controlnet: &Path, plain: f64) {
    let control = ControlSpec {
        file: controlnet.into(),
        picture: Arc::new(RgbImage::new(512, 512)),
        finds_lines: false,
        scale: 1.0,
        start: 0.0,
        end: 1.0,
    };
    let guides = GuideSpec { controls: vec![control], ..GuideSpec::default() };
    let led = GenerateSpec { guides, ..spec.clone() };
    forget_peak();
    let begin = Instant::now();
    model.generate(&led, &mut |_| ControlFlow::Continue(())).expect("a picture");
    let (now, most) = resident_gb();
    println!(
        "peak_memory: with a ControlNet in {:.1} s: {now:.2} GB resident, {most:.2} GB at most, {:.2} GB more; expected {:.2} GB",
        begin.elapsed().as_secs_f64(),
        most - plain,
        (model.memory_bytes() + model.drawing_bytes(&led)) as f64 / 1e9
    );
    let (before, _) = resident_gb();
    forget_peak();
    let begin = Instant::now();
    let side = 1024 / model.networks().vae_config.scale_factor();
    let channels = model.networks().vae_config.latent_channels;
    let latents = vec![0.0; channels * side * side];
    model.networks().decode(&latents, [1, channels, side, side]).expect("a picture");
    let (_, most) = resident_gb();
    println!(
        "peak_memory: 1024 × 1024 decoded in tiles in {:.1} s: {most:.2} GB at most, {:.2} GB more than before",
        begin.elapsed().as_secs_f64(),
        most - before
    );
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let shape = std::env::var("PLAYHOUSE_BENCH_SHAPE").ok().map(|name| {
        assert_eq!(name, "sd15", "PLAYHOUSE_BENCH_SHAPE is sd15");
        shape::sd15_files(folder.path())
    });
    let of_shape = shape.as_ref().map(|(model, _)| model.display().to_string());
    let named = of_shape.or_else(|| std::env::var("PLAYHOUSE_BENCH_MODEL").ok());
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
    forget_peak();
    let begin = Instant::now();
    model.generate(&spec, &mut |_| ControlFlow::Continue(())).expect("a picture");
    let (now, most) = resident_gb();
    println!(
        "peak_memory: {side} × {side}, 2 steps in {:.1} s: {now:.2} GB resident, {most:.2} GB at most; expected {:.2} GB",
        begin.elapsed().as_secs_f64(),
        (model.memory_bytes() + model.drawing_bytes(&spec)) as f64 / 1e9
    );
    if let Some((_, controlnet)) = &shape {
        beside(&model, &spec, controlnet, most);
    }
}
