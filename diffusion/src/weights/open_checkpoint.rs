//! One file with all networks, named as the original code named them, taken apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::checkpoint::{OriginalText, open_clip_name, original_unet_name, original_vae_name};
use super::component::{ComponentWeights, TensorView};
use super::published::recognise;
use super::safetensors::{WeightFile, is_scale};
use crate::DiffusionError;
use crate::pipelines::stable_diffusion::{Parts, text_components};

/// Leftovers of the training that published files carry.
const BUFFERS: [&str; 25] = [
    "model_ema.",
    "betas",
    "alphas_cumprod",
    "sqrt_",
    "log_one_minus_alphas_cumprod",
    "posterior_",
    "lvlb_weights",
    "logvar",
    "denoiser.sigmas",
    "first_stage_model.loss.",
    "model_type",
    "scale_factor",
    "v_pred",
    "ztsnr",
    "global_step",
    "epoch",
    "pytorch-lightning_version",
    "callbacks",
    "optimizer_states",
    "lr_schedulers",
    "embedding_manager.",
    "cond_stage_model.transformer.vision_model.",
    "cond_stage_model.transformer.visual_projection.",
    "cond_stage_model.transformer.text_projection.",
    "conditioner.embedders.0.transformer.text_projection.",
];

impl Parts {
    /// Reads `file`, with the configurations and tokenizers of the diffusers folder `config`, or without one those of
    /// the published model that the file holds.
    pub fn open_checkpoint(path: &Path, config: Option<&Path>) -> Result<Self, DiffusionError> {
        let file = WeightFile::open(path)?;
        let mut parts = match config {
            Some(config) => Self::configured(config)?,
            None => recognise(&file)?.parts(&path.with_extension(""))?,
        };
        let xl = parts.index.is_xl()?;
        let text = text_components(xl, parts.index.requires_aesthetics_score);
        let names = ["unet", "vae"].into_iter().chain(text.iter().map(|(encoder, _)| *encoder));
        parts.weights = names.map(empty).collect();
        let expected = parts.expected()?;
        let mut used = BTreeSet::new();
        for (index, expected) in expected.iter().enumerate() {
            let mut tensors = BTreeMap::new();
            for name in expected.keys() {
                if let Some((original, view)) = parts.find(index, name, xl, &file) {
                    used.insert(original);
                    tensors.insert(name.clone(), view);
                }
            }
            parts.weights[index].tensors = tensors;
        }
        let left: Vec<String> = file
            .tensors
            .keys()
            .filter(|name| !used.contains(*name) && !is_scale(name) && !parts.tolerated(name))
            .cloned()
            .collect();
        if !left.is_empty() && used.is_empty() {
            let reason = "no weights by the names of the original Stable Diffusion code";
            return Err(DiffusionError::weights(file.name, reason));
        }
        let files = Arc::new(vec![file]);
        parts.weights.iter_mut().for_each(|weights| weights.files = files.clone());
        match left.is_empty() {
            true => Ok(parts),
            false => Err(DiffusionError::UnusedTensors { component: "checkpoint".into(), names: left }),
        }
    }

    fn find(
        &self,
        component: usize,
        name: &str,
        xl: bool,
        file: &WeightFile,
    ) -> Option<(String, TensorView)> {
        use OriginalText::*;
        let found = |original: String| {
            let entry = file.tensors.get(&original)?.clone();
            let view = TensorView { stored_as: original.clone(), file: 0, entry, transposed: false };
            Some((original, view))
        };
        match component {
            0 => found(format!("model.diffusion_model.{}", original_unet_name(name, &self.unet_config)?)),
            1 => {
                let levels = self.vae_config.block_out_channels.len();
                found(format!("first_stage_model.{}", original_vae_name(name, levels)?))
            }
            _ => {
                let embedder = match xl {
                    true => format!("conditioner.embedders.{}", component - 2),
                    false => "cond_stage_model".into(),
                };
                // Files of 2022 leave out what newer ones put before.
                let older = name.strip_prefix("text_model.").unwrap_or(name);
                for name in [name, older] {
                    if let Some(found) = found(format!("{embedder}.transformer.{name}")) {
                        return Some(found);
                    }
                }
                match open_clip_name(name)? {
                    Whole(name) => found(format!("{embedder}.model.{name}")),
                    Third(name, part) => {
                        let (original, view) = found(format!("{embedder}.model.{name}"))?;
                        Some((original, view.rows(part, 3)?))
                    }
                    Transposed(name) => {
                        let (original, view) = found(format!("{embedder}.model.{name}"))?;
                        Some((original, TensorView { transposed: true, ..view }))
                    }
                }
            }
        }
    }

    /// Stable Diffusion 2 leaves out the last layer of its text encoder, and the projection.
    fn tolerated(&self, name: &str) -> bool {
        let ending =
            [".position_ids", ".logit_scale", ".attn_mask"].iter().any(|ending| name.ends_with(ending));
        let layers = self.text.last().map_or(0, |(config, _)| config.num_hidden_layers);
        let beyond = name
            .split_once(".model.transformer.resblocks.")
            .and_then(|(_, rest)| rest.split('.').next()?.parse::<usize>().ok())
            .is_some_and(|layer| layer >= layers);
        ending
            || beyond
            || name == "cond_stage_model.model.text_projection"
            || BUFFERS.iter().any(|buffer| name.starts_with(buffer))
    }
}

fn empty(component: &str) -> ComponentWeights {
    ComponentWeights { component: component.into(), files: Arc::new(Vec::new()), tensors: BTreeMap::new() }
}
