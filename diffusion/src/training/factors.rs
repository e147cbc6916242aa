//! The numbers that are trained: two factors for each attention weight.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::adamw::Parameters;
use super::settings::LoraTraining;
use crate::pipelines::stable_diffusion::StableDiffusion;
use crate::weights::checkpoint::original_unet_name;
use crate::weights::load::expected_tensors;

/// One weight's correction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Factor {
    /// 0 is the UNet, then the text encoders.
    pub component: usize,
    /// The weight's name, with `.weight`.
    pub weight: String,
    /// How kohya's files call the layer.
    pub name: String,
    /// Outputs and inputs of the layer.
    pub shape: [usize; 2],
    /// `[rank, in]`.
    pub down: Parameters,
    /// `[out, rank]`.
    pub up: Parameters,
}

/// All of a training's factors, in the order of their names.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraFactors {
    pub(super) factors: Vec<Factor>,
    pub(super) rank: usize,
    pub(super) alpha: f64,
}

/// What LoRA of attention corrects in a UNet.
const UNET_LAYERS: [&str; 4] = [".to_q.weight", ".to_k.weight", ".to_v.weight", ".to_out.0.weight"];
/// And in a text encoder.
const TEXT_LAYERS: [&str; 4] = [
    ".self_attn.q_proj.weight",
    ".self_attn.k_proj.weight",
    ".self_attn.v_proj.weight",
    ".self_attn.out_proj.weight",
];

/// Weights to correct: component, weight, kohya's name, outputs and inputs.
pub(super) fn targets(model: &StableDiffusion, text: bool) -> Vec<(usize, String, String, [usize; 2])> {
    let mut targets = Vec::new();
    let attends = |name: &str| name.contains(".attn1.") || name.contains(".attn2.");
    for (weight, shape) in expected_tensors(&model.unet) {
        let [out, inner] = shape[..] else { continue };
        if !attends(&weight) || !UNET_LAYERS.iter().any(|ending| weight.ends_with(ending)) {
            continue;
        }
        // kohya names SDXL's layers as the original code did, those of others as diffusers does.
        let original = model.xl.then(|| original_unet_name(&weight, &model.unet_config)).flatten();
        let name = format!("lora_unet_{}", layer(original.as_deref().unwrap_or(&weight)));
        targets.push((0, weight, name, [out, inner]));
    }
    let encoders = model.text_encoders.iter().enumerate().filter(|_| text);
    for (place, encoder) in encoders {
        let prefix = match (model.xl, place) {
            (false, _) => "lora_te".to_string(),
            (true, place) => format!("lora_te{}", place + 1),
        };
        for (weight, shape) in expected_tensors(&encoder.model) {
            let [out, inner] = shape[..] else { continue };
            if TEXT_LAYERS.iter().any(|ending| weight.ends_with(ending)) {
                let name = format!("{prefix}_{}", layer(&weight));
                targets.push((place + 1, weight, name, [out, inner]));
            }
        }
    }
    targets
}

fn layer(weight: &str) -> String {
    weight.strip_suffix(".weight").unwrap_or(weight).replace('.', "_")
}

impl LoraFactors {
    /// First values: `down` even within ±1/√in, as kohya and PEFT have it, `up` zero, so that nothing is changed yet.
    pub fn new(model: &StableDiffusion, settings: &LoraTraining) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let factor = |(component, weight, name, shape): (usize, String, String, [usize; 2])| {
            let [out, inner] = shape;
            let bound = 1.0 / (inner.max(1) as f32).sqrt();
            let mut even = || (random.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
            let down = (0..settings.rank * inner).map(|_| (even() * 2.0 - 1.0) * bound).collect();
            Factor {
                component,
                weight,
                name,
                shape,
                down: Parameters::new(down),
                up: Parameters::new(vec![0.0; out * settings.rank]),
            }
        };
        let factors = targets(model, settings.train_text_encoder).into_iter().map(factor).collect();
        Self { factors, rank: settings.rank, alpha: settings.alpha }
    }
}
