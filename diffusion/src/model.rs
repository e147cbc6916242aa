//! A model in memory: loaded once, asked often.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::pipelines::stable_diffusion::{Parts, StableDiffusion};
use crate::preview::PreviewFit;
use crate::starter::starter_parts;
use crate::weights::component::{is_pickle, pickle_error};
use crate::weights::inspect::hash_of;
use crate::{DeviceChoice, DiffusionError, GenerateSpec, Lora};

/// Where a model lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// In the program.
    Starter,
    /// A folder as diffusers writes it.
    Folder(PathBuf),
    /// A single file with the original names.
    Checkpoint {
        /// The file.
        file: PathBuf,
        /// A diffusers folder with the configurations and tokenizers of such a model; its weights are
        /// not needed.
        config: PathBuf,
    },
}

/// How the numbers of UNet and text encoders are kept; the VAE stays in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// 4 bytes; the choice for processors.
    #[default]
    F32,
    /// 2 bytes, for graphics cards.
    F16,
    /// 2 bytes with the range of 4, where the card has it.
    Bf16,
}

impl WeightType {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// How to load a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// How numbers are kept.
    pub weight_type: WeightType,
}

/// A LoRA as it was when it was merged: file, its size and time, scale.
type LoraKey = (PathBuf, u64, Option<SystemTime>, u64);

/// A model that draws.
pub struct DiffusionModel {
    base: StableDiffusion,
    hash: String,
    memory_bytes: u64,
    starter: bool,
    pub(crate) fit: OnceLock<PreviewFit>,
    merged: Mutex<Option<(Vec<LoraKey>, StableDiffusion)>>,
}

impl std::fmt::Debug for DiffusionModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiffusionModel").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Opens what `source` names without reading its weights.
pub(crate) fn open_parts(source: &ModelSource) -> Result<Parts, DiffusionError> {
    let refuse_pickle = |path: &Path| match is_pickle(path) {
        true => Err(pickle_error(path)),
        false => Ok(()),
    };
    match source {
        ModelSource::Starter => starter_parts(),
        ModelSource::Folder(folder) => {
            refuse_pickle(folder)?;
            Parts::open(folder)
        }
        ModelSource::Checkpoint { file, config } => {
            refuse_pickle(file)?;
            Parts::open_checkpoint(file, config)
        }
    }
}

impl DiffusionModel {
    /// Loads a model onto a device.
    pub fn load(
        source: &ModelSource,
        device: DeviceChoice,
        options: LoadOptions,
    ) -> Result<Self, DiffusionError> {
        let parts = open_parts(source)?;
        let device = device.open()?;
        let dtype = options.weight_type.dtype();
        if !device.supports_dtype(dtype) {
            return Err(DiffusionError::Device {
                choice: format!("{device:?}"),
                reason: format!("has no {:?}", options.weight_type),
            });
        }
        let hash = hash_of(&parts.weights)?;
        let memory_bytes = parts
            .weights
            .iter()
            .map(|weights| {
                let numbers: usize =
                    weights.tensors.values().map(|view| view.shape().iter().product::<usize>()).sum();
                let size = if weights.component == "vae" { 4 } else { dtype.size() };
                (numbers * size) as u64
            })
            .sum();
        let base = parts.build(&device, dtype)?;
        Ok(Self {
            base,
            hash,
            memory_bytes,
            starter: *source == ModelSource::Starter,
            fit: OnceLock::new(),
            merged: Mutex::new(None),
        })
    }

    /// Bytes of weights in memory; what drawing takes comes on top.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// BLAKE3 of all files of weights, in hexadecimal.
    pub fn weights_hash(&self) -> &str {
        &self.hash
    }

    /// The networks themselves.
    pub fn networks(&self) -> &StableDiffusion {
        &self.base
    }

    /// The size that the model was trained for, and settings that suit it.
    pub fn default_spec(&self) -> GenerateSpec {
        let fallback = if self.base.xl { 128 } else { 64 };
        let side =
            self.base.unet_config.sample_size.filter(|size| (1..=512).contains(size)).unwrap_or(fallback)
                * self.base.vae_config.scale_factor();
        GenerateSpec {
            width: side as u32,
            height: side as u32,
            steps: if self.base.xl { 30 } else { 20 },
            guidance_scale: match (self.starter, self.base.xl) {
                (true, _) => 4.0,
                (_, true) => 6.0,
                _ => 7.5,
            },
            scheduler: Some("DPM++ 2M".into()),
            ..GenerateSpec::default()
        }
    }

    /// The networks with the LoRAs of a spec; those of the last spec are kept.
    pub(crate) fn with_loras(&self, loras: &[(PathBuf, f64)]) -> Result<StableDiffusion, DiffusionError> {
        if loras.is_empty() {
            return Ok(self.base.clone());
        }
        let key = |(path, scale): &(PathBuf, f64)| {
            let metadata = std::fs::metadata(path).map_err(|source| DiffusionError::io(path, source))?;
            Ok((path.clone(), metadata.len(), metadata.modified().ok(), scale.to_bits()))
        };
        let keys: Vec<LoraKey> = loras.iter().map(key).collect::<Result<_, DiffusionError>>()?;
        let mut merged = self.merged.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, model)) = merged.as_ref().filter(|(known, _)| *known == keys) {
            return Ok(model.clone());
        }
        *merged = None;
        let opened = loras.iter().map(|(path, scale)| Ok((Lora::open(path)?, *scale)));
        let opened: Vec<(Lora, f64)> = opened.collect::<Result<_, DiffusionError>>()?;
        let model = self.base.with_loras(&opened)?;
        *merged = Some((keys, model.clone()));
        Ok(model)
    }
}
