//! Files of ControlNets: diffusers folders, and single files by diffusers' names or by those of the original code.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::checkpoint::original_unet_name;
use super::component::{ComponentWeights, TensorView, is_pickle, pickle_error};
use super::load::{compare, expected_tensors, load, loaded_bytes};
use super::safetensors::WeightFile;
use crate::DiffusionError;
use crate::config::read_json;
use crate::models::controlnet::{ControlNetConfig, ControlNetModel};
use crate::models::unets::unet_2d_config::UNet2DConditionConfig;

/// How errors call the network.
const COMPONENT: &str = "controlnet";
/// What the original code put before all names.
const ORIGINAL: &str = "control_model.";

/// A ControlNet, opened and compared with the UNet that it is for; its weights are not read yet.
#[derive(Debug)]
pub struct ControlNetFile {
    config: ControlNetConfig,
    weights: ComponentWeights,
}

impl ControlNetFile {
    /// Opens a diffusers folder, or a safetensors file, for a model with this UNet. Errors name the tensors that are
    /// missing, unused or of another shape, or the key of the configuration that does not fit.
    pub fn open(path: &Path, base: &UNet2DConditionConfig) -> Result<Self, DiffusionError> {
        if is_pickle(path) {
            return Err(pickle_error(path));
        }
        let (config, weights) = match path.is_dir() {
            true => {
                let config = path.join("config.json");
                let name = format!("{}", config.display());
                (Some(read_json(&config, &name)?), ComponentWeights::open(path, "")?)
            }
            false => (None, ComponentWeights::from_files(COMPONENT, vec![WeightFile::open(path)?])),
        };
        let weights = ComponentWeights { component: COMPONENT.into(), ..weights };
        let config = match config {
            Some(config) => config,
            None => ControlNetConfig::for_unet(base, hint_widths(&weights)?),
        };
        config.check_for(base)?;
        let expected = expected_tensors(&config.init(&Device::flex())?);
        let weights = renamed(weights, &expected, &config);
        compare(&expected, &weights).into_result(COMPONENT)?;
        Ok(Self { config, weights })
    }

    /// Bytes that the weights take on a device.
    pub fn memory_bytes(&self, device: &Device, dtype: DType) -> u64 {
        loaded_bytes(&self.weights, device, dtype)
    }

    /// Pixels of the picture on one side of a latent.
    pub fn factor(&self) -> usize {
        self.config.factor()
    }

    /// Reads the weights.
    pub fn load(&self, device: &Device, dtype: DType) -> Result<ControlNetModel, DiffusionError> {
        load(self.config.init(device)?, &self.weights, device, dtype)
    }
}

/// Widths on the picture's way, by the tensors that stand there.
fn hint_widths(weights: &ComponentWeights) -> Result<Vec<usize>, DiffusionError> {
    let out = |name: &str| {
        let view = weights.tensors.get(name).or_else(|| weights.tensors.get(&format!("{ORIGINAL}{name}")));
        view.and_then(|view| view.shape().first().copied())
    };
    let first = out("controlnet_cond_embedding.conv_in.weight").or_else(|| out("input_hint_block.0.weight"));
    let first = first.ok_or_else(|| {
        let name = weights.files.first().map(|file| file.name.clone()).unwrap_or_default();
        let expected = "controlnet_cond_embedding.conv_in.weight, or input_hint_block.0.weight";
        DiffusionError::weights(name, format!("is no ControlNet: it lacks {expected}"))
    })?;
    let mut widths = vec![first];
    // Every second convolution makes the picture half as large, and the last one leads out.
    for i in (1..16).step_by(2) {
        let original = |i: usize| format!("input_hint_block.{}.weight", 2 + 2 * i);
        let is_block = out(&original(i + 1)).is_some();
        let width = out(&format!("controlnet_cond_embedding.blocks.{i}.weight"));
        let Some(width) = width.or_else(|| out(&original(i)).filter(|_| is_block)) else { break };
        widths.push(width);
    }
    Ok(widths)
}

/// Tensors under diffusers' names where the file has the original ones.
fn renamed(
    weights: ComponentWeights,
    expected: &BTreeMap<String, Vec<usize>>,
    config: &ControlNetConfig,
) -> ComponentWeights {
    let is_original = weights.tensors.keys().any(|name| name.contains("input_hint_block."));
    if !is_original {
        return weights;
    }
    let mut left = weights.tensors.clone();
    let mut tensors: BTreeMap<String, TensorView> = BTreeMap::new();
    for name in expected.keys() {
        let Some(original) = original_name(name, config) else { continue };
        let found = left.remove(&format!("{ORIGINAL}{original}")).or_else(|| left.remove(&original));
        if let Some(view) = found {
            tensors.insert(name.clone(), view);
        }
    }
    // What is left is said to be unused.
    tensors.extend(left);
    ComponentWeights { tensors, files: Arc::clone(&weights.files), component: weights.component }
}

/// diffusers' name of a ControlNet's weight → the original one, without what stands before all of them.
fn original_name(name: &str, config: &ControlNetConfig) -> Option<String> {
    if let Some(rest) = name.strip_prefix("controlnet_cond_embedding.") {
        let blocks = 2 * (config.conditioning_embedding_out_channels.len() - 1);
        let (place, rest) = match rest.strip_prefix("blocks.") {
            Some(rest) => {
                let (index, rest) = rest.split_once('.')?;
                (2 + 2 * index.parse::<usize>().ok()?, rest)
            }
            None => match rest.split_once('.')? {
                ("conv_in", rest) => (0, rest),
                (_, rest) => (2 + 2 * blocks, rest),
            },
        };
        return Some(format!("input_hint_block.{place}.{rest}"));
    }
    if let Some(rest) = name.strip_prefix("controlnet_mid_block.") {
        return Some(format!("middle_block_out.0.{rest}"));
    }
    if let Some(rest) = name.strip_prefix("controlnet_down_blocks.") {
        let (index, rest) = rest.split_once('.')?;
        return Some(format!("zero_convs.{index}.0.{rest}"));
    }
    original_unet_name(name, &config.whole_unet())
}
