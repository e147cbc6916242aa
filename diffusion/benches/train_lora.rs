//! How well does the starter model learn a character that it does not know, how long does a step take, and does the memory
//! keep to what was said before? `PLAYHOUSE_STEPS` is how many steps; pictures go to `PLAYHOUSE_SEE`, if that names a folder.
//!
//! `cargo bench --workspace --bench train_lora`; with `PLAYHOUSE_BENCH_SHAPE=sd15` a step of one picture with files of the shape of
//! Stable Diffusion 1.5, whose zeros take the memory of any numbers, at `PLAYHOUSE_BENCH_SIDE` pixels (256).

#[path = "../tests/character/mod.rs"]
mod character;
#[path = "shape/mod.rs"]
mod shape;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use diffusion::training::{LoraTraining, TrainingPicture};
use diffusion::{DeviceChoice, DiffusionModel, GenerateSpec, LoadOptions, ModelSource};

/// Bytes of this process in memory, at most so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// Begins a line of its own: what was at most so far is forgotten. Needs Linux.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes of this process in memory now.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// What a step takes of memory beyond the weights of a model of the shape of Stable Diffusion 1.5.
fn step_of_shape() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = shape::sd15_files(folder.path());
    let source = ModelSource::at(&file).expect("a model");
    let model = DiffusionModel::load(&source, DeviceChoice::Cpu, LoadOptions::default()).expect("it loads");
    let side = std::env::var("PLAYHOUSE_BENCH_SIDE").ok().and_then(|side| side.parse().ok()).unwrap_or(256);
    for train_text_encoder in [false, true] {
        let settings = LoraTraining {
            steps: 1,
            batch_size: 1,
            resolution: side,
            train_text_encoder,
            ..model.default_training()
        };
        let pictures: Vec<_> = (0..5)
            .map(|_| TrainingPicture::cut(&image::RgbImage::new(side, side), side, "zum".into()))
            .collect();
        let mut trainer = model.begin_training(&settings, &pictures, None).expect("a training");
        let before = resident_bytes();
        forget_peak();
        let begin = Instant::now();
        trainer.run(&model, &mut |_| ControlFlow::Continue(())).expect("it trains");
        println!(
            "train_lora: shape of Stable Diffusion 1.5 at {side} × {side}, text encoder {train_text_encoder}: {:.1} s a step, \
             {} MiB more at the peak, {} MiB foreseen",
            begin.elapsed().as_secs_f64(),
            peak_bytes().saturating_sub(before) >> 20,
            model.training_bytes(&settings) >> 20
        );
    }
}

fn main() {
    if std::env::var_os("PLAYHOUSE_BENCH_SHAPE").is_some() {
        return step_of_shape();
    }
    let model = DiffusionModel::load(&ModelSource::Starter, DeviceChoice::Cpu, LoadOptions::default())
        .expect("the starter is part of the program");
    let steps = std::env::var("PLAYHOUSE_STEPS").ok().and_then(|steps| steps.parse().ok());
    let own = model.default_training();
    let settings = LoraTraining { steps: steps.unwrap_or(own.steps), ..own };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("zum.safetensors");
    let see = std::env::var_os("PLAYHOUSE_SEE").map(PathBuf::from);
    let draw = |what: &str, subject: &str, loras: &[&Path]| {
        let mut distances = Vec::new();
        for (seed, place) in character::UNSEEN.iter().enumerate() {
            let spec = GenerateSpec {
                prompt: format!("{subject} {place}"),
                seed: seed as u64,
                loras: loras.iter().map(|path| (path.to_path_buf(), 1.0.into())).collect(),
                ..model.default_spec()
            };
            let drawn = model.generate(&spec, &mut |_| ControlFlow::Continue(())).expect("a picture");
            distances.push(character::distance(&drawn[0]));
            if let Some(folder) = &see {
                drawn[0].save(folder.join(format!("{what}-{seed}.png"))).expect("a file");
            }
        }
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        println!("train_lora: {what}: distance {mean:.1}");
    };
    let named = format!("{0}, {0}", character::NAME);
    draw("before", &named, &[]);
    draw("another before", "a woman", &[]);
    let before = peak_bytes();
    let mut trainer = model.begin_training(&settings, &character::pictures(), None).expect("a training");
    let begin = Instant::now();
    trainer.run(&model, &mut |_| ControlFlow::Continue(())).expect("it trains");
    let each = begin.elapsed().as_secs_f64() / settings.steps as f64;
    let mebibytes = |bytes: u64| bytes >> 20;
    println!(
        "train_lora: {} steps of {} pictures, {each:.2} s a step, {} MiB more at the peak, {} MiB foreseen",
        settings.steps,
        settings.batch_size,
        mebibytes(peak_bytes().saturating_sub(before)),
        mebibytes(model.training_bytes(&settings))
    );
    let curve = trainer.curve();
    let shown: Vec<String> = curve
        .chunks(curve.len().div_ceil(10))
        .map(|part| format!("{:.3}", part.iter().sum::<f64>() / part.len() as f64))
        .collect();
    println!("train_lora: loss {}", shown.join(" "));
    std::fs::write(&path, trainer.lora_file(&BTreeMap::new())).expect("a file");
    draw("after", &named, &[&path]);
    draw("another after", "a woman", &[&path]);
}
