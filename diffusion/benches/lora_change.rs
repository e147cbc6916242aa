//! How long does it take until a model has another LoRA, from its file to weights that are ready to draw with?
//!
//! `cargo bench --profile dev --workspace --bench lora_change`: files of the shape of Stable Diffusion 1.5 and a LoRA of rank 16 for
//! every matrix of the UNet's transformers; `PLAYHOUSE_BENCH_WEIGHTS` is `f32` unless it says `bf16`.

#[path = "shape/mod.rs"]
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use diffusion::weights::load::expected_tensors;
use diffusion::{DeviceChoice, DiffusionModel, LoadOptions, Lora, LoraScale, ModelSource, WeightType};

/// Width of the corrections.
const RANK: usize = 16;
/// Changes that are timed.
const TIMED: usize = 3;

/// A LoRA for the matrices of the transformers of a UNet, whose zeros take the time of any numbers.
fn lora(folder: &Path, unet: &BTreeMap<String, Vec<usize>>) -> (PathBuf, usize) {
    let mut tensors = BTreeMap::new();
    for (name, shape) in unet {
        let Some(layer) = name.strip_suffix(".weight").filter(|name| name.contains(".transformer_blocks."))
        else {
            continue;
        };
        if let &[outputs, inputs] = shape.as_slice() {
            tensors.insert(format!("unet.{layer}.lora_A.weight"), vec![RANK, inputs]);
            tensors.insert(format!("unet.{layer}.lora_B.weight"), vec![outputs, RANK]);
        }
    }
    let path = folder.join("lora.safetensors");
    shape::zeros(&path, &tensors);
    (path, tensors.len() / 2)
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, _) = shape::sd15_files(folder.path());
    let source = ModelSource::at(&file).expect("a model");
    let weight_type = match std::env::var("PLAYHOUSE_BENCH_WEIGHTS").as_deref() {
        Ok("bf16") => WeightType::Bf16,
        _ => WeightType::F32,
    };
    let options = LoadOptions { weight_type, ..LoadOptions::default() };
    let model = DiffusionModel::load(&source, DeviceChoice::Cpu, options).expect("it loads");
    let (path, layers) = lora(folder.path(), &expected_tensors(&model.networks().unet));
    let mut seconds: Vec<f64> = (0..TIMED)
        .map(|_| {
            let begin = Instant::now();
            let lora = Lora::open(&path).expect("a LoRA");
            let changed = model.networks().with_loras(&[(lora, LoraScale::from(1.0))]).expect("it fits");
            let seconds = begin.elapsed().as_secs_f64();
            drop(changed);
            seconds
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!(
        "lora_change: {layers} layers of {weight_type:?}: median {:.2} s, best {:.2} s",
        seconds[TIMED / 2],
        seconds[0]
    );
}
