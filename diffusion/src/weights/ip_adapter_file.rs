//! Files of IP-Adapters: `image_proj.*` and `ip_adapter.N.*`, standard and Plus.

use std::path::Path;

use burn::tensor::{DType, Device};

use super::component::{ComponentWeights, is_pickle, pickle_error};
use super::load::{compare, expected_tensors, load, loaded_bytes};
use super::safetensors::WeightFile;
use crate::models::ip_adapter::{IpAdapter, ProjectionShape, widths_in_files};
use crate::models::unets::unet_2d_condition::TransformerPlace;
use crate::models::unets::unet_2d_config::UNet2DConditionConfig;
use crate::{ClipVisionConfig, DiffusionError};

/// How errors call the network.
const COMPONENT: &str = "ip_adapter";

/// An IP-Adapter, opened; its weights are not read yet.
#[derive(Debug)]
pub struct IpAdapterFile {
    shape: ProjectionShape,
    weights: ComponentWeights,
}

impl IpAdapterFile {
    /// Opens a safetensors file. What is neither a standard adapter nor a Plus is refused by the tensors that it lacks.
    pub fn open(path: &Path, base: &UNet2DConditionConfig) -> Result<Self, DiffusionError> {
        if is_pickle(path) {
            return Err(pickle_error(path));
        }
        let weights = ComponentWeights::from_files(COMPONENT, vec![WeightFile::open(path)?]);
        let size = |name: &str, axis: usize| {
            let view = weights.tensors.get(name);
            view.and_then(|view| view.shape().get(axis).copied()).filter(|size| *size > 0).ok_or_else(|| {
                DiffusionError::MissingTensors { component: COMPONENT.into(), names: vec![name.into()] }
            })
        };
        let cross = cross_width(base)?;
        let shape = match weights.tensors.contains_key("image_proj.latents") {
            false => {
                let rows = size("image_proj.proj.weight", 0)?;
                ProjectionShape::Standard {
                    embeds: size("image_proj.proj.weight", 1)?,
                    tokens: (rows / cross).max(1),
                }
            }
            true => {
                let layers =
                    (0..64).take_while(|i| size(&format!("image_proj.layers.{i}.0.to_q.weight"), 0).is_ok());
                ProjectionShape::Plus {
                    states: size("image_proj.proj_in.weight", 1)?,
                    tokens: size("image_proj.latents", 1)?,
                    width: size("image_proj.latents", 2)?,
                    heads_width: size("image_proj.layers.0.0.to_q.weight", 0)?,
                    layers: layers.count(),
                    inner: size("image_proj.layers.0.1.1.weight", 0)?,
                }
            }
        };
        Ok(Self { shape, weights })
    }

    /// Compares it with the model and with the picture encoder that it is to be used with.
    pub fn check(
        &self,
        base: &UNet2DConditionConfig,
        places: &[TransformerPlace],
        encoder: &ClipVisionConfig,
    ) -> Result<(), DiffusionError> {
        let module = self.shape.init(
            cross_width(base)?,
            &widths_in_files(places, &base.block_out_channels),
            &Device::flex(),
        );
        compare(&expected_tensors(&module), &self.weights).into_result(COMPONENT)?;
        let (name, takes, gives) = match self.shape {
            ProjectionShape::Standard { embeds, .. } => {
                ("image_proj.proj.weight", embeds, encoder.projection_dim)
            }
            ProjectionShape::Plus { states, .. } => {
                ("image_proj.proj_in.weight", states, encoder.hidden_size)
            }
        };
        if takes != gives {
            let reason =
                format!("{name} takes pictures of {takes} numbers, but the image encoder gives {gives}");
            return Err(DiffusionError::weights(self.name(), reason));
        }
        match self.shape {
            ProjectionShape::Plus { heads_width, .. }
                if heads_width % crate::models::ip_adapter::HEAD_WIDTH != 0 =>
            {
                let reason =
                    format!("image_proj.layers.0.0.to_q.weight has {heads_width} rows, no multiple of 64");
                Err(DiffusionError::weights(self.name(), reason))
            }
            _ => Ok(()),
        }
    }

    /// Reads the weights.
    pub fn load(
        &self,
        base: &UNet2DConditionConfig,
        places: &[TransformerPlace],
        device: &Device,
        dtype: DType,
    ) -> Result<IpAdapter, DiffusionError> {
        let widths = widths_in_files(places, &base.block_out_channels);
        load(self.shape.init(cross_width(base)?, &widths, device), &self.weights, device, dtype)
    }

    /// Bytes that the weights take on a device.
    pub fn memory_bytes(&self, device: &Device, dtype: DType) -> u64 {
        loaded_bytes(&self.weights, device, dtype)
    }

    fn name(&self) -> String {
        self.weights.files.first().map(|file| file.name.clone()).unwrap_or_default()
    }
}

/// Width of the text that the model attends to.
fn cross_width(base: &UNet2DConditionConfig) -> Result<usize, DiffusionError> {
    Ok(base.levels()?.first().map_or(1, |level| level.cross_attention_dim))
}
