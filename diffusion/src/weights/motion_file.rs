//! Files of AnimateDiff's motion modules for Stable Diffusion 1.x: by the names of the original code
//! (`down_blocks.0.motion_modules.0.temporal_transformer.…`), or by diffusers' as a folder or a single file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use serde::Deserialize;

use super::component::{ComponentWeights, TensorView, is_pickle, pickle_error};
use super::load::{compare, expected_tensors, load, loaded_bytes};
use super::safetensors::WeightFile;
use crate::DiffusionError;
use crate::config::{OneOrMany, bounded, read_json};
use crate::models::motion_adapter::{MotionAdapter, MotionLevel, MotionShape};
use crate::models::unets::unet_2d_config::UNet2DConditionConfig;

/// How errors call the network.
const COMPONENT: &str = "motion module";
/// How errors call the configuration.
const CONFIG: &str = "motion module config.json";
/// Heads of all published modules, whose files do not say it.
const HEADS: usize = 8;
/// Blocks of one transformer at most.
const BLOCKS_MAX: usize = 16;
/// Positions of frames at most; published modules have 24 or 32.
const POSITIONS_MAX: usize = 256;
/// Levels of a UNet at most.
const LEVELS_MAX: usize = 8;
/// Channels of the levels of the families that there are modules for.
const FAMILIES: [(&str, &[usize]); 2] =
    [("Stable Diffusion 1.5", &[320, 640, 1280, 1280]), ("SDXL", &[320, 640, 1280])];

/// A motion module, opened and compared with the UNet that it is for; its weights are not read yet.
#[derive(Debug)]
pub struct MotionFile {
    shape: MotionShape,
    weights: ComponentWeights,
}

/// The keys of a `MotionAdapter`'s `config.json` that no tensor tells.
#[derive(Debug, Deserialize)]
struct MotionConfig {
    #[serde(default = "published_heads")]
    motion_num_attention_heads: OneOrMany,
    #[serde(default)]
    motion_norm_num_groups: Option<usize>,
    #[serde(default)]
    conv_in_channels: Option<usize>,
}

fn published_heads() -> OneOrMany {
    OneOrMany::One(HEADS)
}

/// What a motion module is, as far as its own tensors tell.
#[derive(Debug, Clone, PartialEq)]
pub struct MotionAbout {
    /// `Stable Diffusion 1.5` or `SDXL`, by the channels of its levels; none for others.
    pub family: Option<&'static str>,
    /// The most frames that can be looked at together.
    pub positions: usize,
    /// Whether there is a transformer at the bottom, as in version 2.
    pub has_middle: bool,
    /// How many numbers it holds.
    pub numbers: u64,
}

impl MotionFile {
    /// Opens a safetensors file, or a folder of diffusers' `MotionAdapter`, for a model with this UNet. Errors name the
    /// tensors that are missing, unused or of another shape, or the family that the module is for.
    pub fn open(path: &Path, base: &UNet2DConditionConfig) -> Result<Self, DiffusionError> {
        let weights = read_names(path)?;
        let file = file_name(&weights, path);
        let channels = widths(&weights, &file)?;
        let own: Vec<usize> = base.levels()?.iter().map(|level| level.channels).collect();
        if base.takes_text_time() || own != channels {
            let of = |family: Option<&str>| family.unwrap_or("another family").to_string();
            let model = if base.takes_text_time() { "SDXL".into() } else { of(family_of(&own)) };
            let reason = format!(
                "is a motion module of {} (levels of {channels:?} channels); the model is {model} (levels of {own:?}), and \
                 modules of Stable Diffusion 1.x are taken alone",
                of(family_of(&channels))
            );
            return Err(DiffusionError::weights(file, reason));
        }
        let config = path.join("config.json");
        let config: MotionConfig = match path.is_dir() && config.is_file() {
            true => read_json(&config, &config.display().to_string())?,
            false => MotionConfig {
                motion_num_attention_heads: published_heads(),
                motion_norm_num_groups: None,
                conv_in_channels: None,
            },
        };
        if config.conv_in_channels.is_some() {
            let reason = "a first convolution of its own (PIA) is not supported";
            return Err(DiffusionError::config(CONFIG, "conv_in_channels", reason));
        }
        let shape = shape_of(&weights, &config, base, &channels)?;
        compare(&expected_tensors(&shape.init(&Device::flex())), &weights).into_result(COMPONENT)?;
        Ok(Self { shape, weights })
    }

    /// What a file or folder holds, for whatever model. Reads headers only.
    pub fn about(path: &Path) -> Result<MotionAbout, DiffusionError> {
        let weights = read_names(path)?;
        let channels = widths(&weights, &file_name(&weights, path))?;
        Ok(MotionAbout {
            family: family_of(&channels),
            positions: positions_of(&weights)?,
            has_middle: weights.tensors.keys().any(|name| name.starts_with("mid_block.")),
            numbers: numbers_of(&weights),
        })
    }

    /// Bytes that the weights take on a device.
    pub fn memory_bytes(&self, device: &Device, dtype: DType) -> u64 {
        loaded_bytes(&self.weights, device, dtype)
    }

    /// The most frames that can be looked at together.
    pub fn positions(&self) -> usize {
        self.shape.positions
    }

    /// Reads the weights.
    pub fn load(&self, device: &Device, dtype: DType) -> Result<MotionAdapter, DiffusionError> {
        load(self.shape.init(device), &self.weights, device, dtype)
    }
}

fn numbers_of(weights: &ComponentWeights) -> u64 {
    weights.tensors.values().map(|view| view.shape().iter().product::<usize>() as u64).sum()
}

fn family_of(channels: &[usize]) -> Option<&'static str> {
    FAMILIES.iter().find(|(_, widths)| *widths == channels).map(|(family, _)| *family)
}

fn file_name(weights: &ComponentWeights, path: &Path) -> String {
    weights.files.first().map_or_else(|| path.display().to_string(), |file| file.name.clone())
}

/// The tensors of a file or folder, by diffusers' names.
fn read_names(path: &Path) -> Result<ComponentWeights, DiffusionError> {
    if is_pickle(path) {
        return Err(pickle_error(path));
    }
    let weights = match path.is_dir() {
        true => ComponentWeights::open(path, "")?,
        false => ComponentWeights::from_files(COMPONENT, vec![WeightFile::open(path)?]),
    };
    let mut tensors: BTreeMap<String, TensorView> = BTreeMap::new();
    for (name, view) in &weights.tensors {
        let current = current_name(name);
        // Each of the two attentions has the same positions in the original files.
        match tensors.get(&current) {
            Some(known) if known.shape() == view.shape() => continue,
            Some(_) => tensors.insert(name.clone(), view.clone()),
            None => tensors.insert(current, view.clone()),
        };
    }
    Ok(ComponentWeights { component: COMPONENT.into(), files: Arc::clone(&weights.files), tensors })
}

/// The original code's name of a tensor → diffusers'; others stay as they are.
fn current_name(name: &str) -> String {
    if !name.contains(".temporal_transformer.") {
        return name.into();
    }
    [
        (".temporal_transformer.", "."),
        (".attention_blocks.0.pos_encoder.", ".pos_embed."),
        (".attention_blocks.1.pos_encoder.", ".pos_embed."),
        (".attention_blocks.0.", ".attn1."),
        (".attention_blocks.1.", ".attn2."),
        (".norms.0.", ".norm1."),
        (".norms.1.", ".norm2."),
        (".ff_norm.", ".norm3."),
    ]
    .iter()
    .fold(name.to_string(), |name, (theirs, ours)| name.replace(theirs, ours))
}

/// Channels of the levels, by the first transformer of each.
fn widths(weights: &ComponentWeights, file: &str) -> Result<Vec<usize>, DiffusionError> {
    let width = |level: usize| {
        let view = weights.tensors.get(&format!("down_blocks.{level}.motion_modules.0.proj_in.weight"))?;
        view.shape().first().copied()
    };
    let channels: Vec<usize> = (0..LEVELS_MAX).map_while(width).collect();
    match channels.is_empty() {
        false => Ok(channels),
        true => {
            let reason = "is no motion module: it lacks down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight, \
                          or down_blocks.0.motion_modules.0.proj_in.weight";
            Err(DiffusionError::weights(file, reason))
        }
    }
}

fn positions_of(weights: &ComponentWeights) -> Result<usize, DiffusionError> {
    let name = "down_blocks.0.motion_modules.0.transformer_blocks.0.pos_embed.pe";
    let missing =
        || DiffusionError::MissingTensors { component: COMPONENT.into(), names: vec![name.to_string()] };
    let shape = weights.tensors.get(name).ok_or_else(missing)?.shape();
    let positions = shape.get(1).copied().unwrap_or(0);
    match (2..=POSITIONS_MAX).contains(&positions) && shape.len() == 3 {
        true => Ok(positions),
        false => {
            let reason = format!("{name} has shape {shape:?}; [1, 2 to {POSITIONS_MAX}, channels] is taken");
            Err(DiffusionError::weights(COMPONENT, reason))
        }
    }
}

fn shape_of(
    weights: &ComponentWeights,
    config: &MotionConfig,
    base: &UNet2DConditionConfig,
    channels: &[usize],
) -> Result<MotionShape, DiffusionError> {
    let groups = config.motion_norm_num_groups.unwrap_or(base.norm_num_groups);
    // Where the file has none at all, the first is said to be missing.
    let blocks = |module: &str| {
        let has = |block: &usize| {
            let name = format!("{module}.transformer_blocks.{block}.attn1.to_q.weight");
            weights.tensors.contains_key(&name)
        };
        (0..BLOCKS_MAX).take_while(has).count().max(1)
    };
    let levels = base.levels()?;
    let mut shapes = Vec::with_capacity(channels.len());
    for (place, level) in levels.iter().enumerate() {
        let heads = config.motion_num_attention_heads.at(
            CONFIG,
            "motion_num_attention_heads",
            place,
            levels.len(),
        )?;
        bounded(CONFIG, "motion_num_attention_heads", heads, 1024)?;
        for (field, by) in [("motion_num_attention_heads", heads), ("motion_norm_num_groups", groups)] {
            if by == 0 || !level.channels.is_multiple_of(by) {
                let reason = format!("{by} does not divide {} channels", level.channels);
                return Err(DiffusionError::config(CONFIG, field, reason));
            }
        }
        let of = |way: &str, at: usize, layers: usize| {
            (0..layers).map(|layer| blocks(&format!("{way}.{at}.motion_modules.{layer}"))).collect()
        };
        shapes.push(MotionLevel {
            channels: level.channels,
            heads,
            down: of("down_blocks", place, level.layers),
            up: of("up_blocks", levels.len() - 1 - place, level.layers + 1),
        });
    }
    let has_middle = weights.tensors.keys().any(|name| name.starts_with("mid_block."));
    Ok(MotionShape {
        levels: shapes,
        mid: has_middle.then(|| blocks("mid_block.motion_modules.0")),
        norm_num_groups: groups,
        positions: positions_of(weights)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/fixtures/motion/names.json` has the names of two modules as diffusers gives them.
    #[test]
    fn original_names_become_those_of_diffusers() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/motion/names.json");
        let text = std::fs::read_to_string(path).expect("the names");
        let names: BTreeMap<String, String> = serde_json::from_str(&text).expect("JSON");
        assert!(names.len() > 40);
        for (theirs, ours) in names {
            assert_eq!(current_name(&theirs), ours);
            assert_eq!(current_name(&ours), ours);
        }
    }
}
