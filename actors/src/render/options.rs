//! How to draw, as the operator set it.

use std::path::PathBuf;

use models::value_words::is_none_of;

/// How to draw.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// Where models lie.
    pub models_dir: PathBuf,
    /// The model that draws unless a job names another: a name in `models_dir`. The starter model when absent.
    pub model: Option<String>,
    /// Where numbers are kept.
    pub device: diffusion::DeviceChoice,
    /// The other devices, each of which draws jobs of its own beside this one's.
    pub more_devices: Vec<diffusion::DeviceChoice>,
    /// How weights are kept.
    pub weight_type: diffusion::WeightType,
    /// Memory for weights, in bytes; the model used longest ago makes room.
    pub memory_bytes_max: u64,
    /// Memory that one drawing may take beside the weights, in bytes; on the processor never more than the machine
    /// has to spare.
    pub drawing_bytes_max: Option<u64>,
    /// Side of the tiles in which the VAE works, in pixels; 0 for never, absent for the choice by size.
    pub vae_tile_px: Option<u32>,
    /// Largest picture, in pixels.
    pub pixels_max: u64,
    /// How many pictures of several jobs may be drawn side by side. When absent as many as gain by it without a
    /// change of any byte.
    pub batch_max: Option<usize>,
    /// By how much the thread that draws gives way to others, as Unix counts: 0 to 19.
    pub niceness: i32,
    /// Whether videos are drawn here; otherwise they wait for remote workers.
    pub videos: bool,
}

/// Reads `f32`, `f16` or `bf16`.
pub fn weight_type(text: &str) -> Result<diffusion::WeightType, String> {
    match text {
        "f32" => Ok(diffusion::WeightType::F32),
        "f16" => Ok(diffusion::WeightType::F16),
        "bf16" => Ok(diffusion::WeightType::Bf16),
        other => Err(is_none_of(other, &["f32", "f16", "bf16"])),
    }
}
