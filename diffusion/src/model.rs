//! A model in memory: loaded once, asked often.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::guarded::guarded;
use crate::guide_spec::GuideNetworks;
use crate::models::autoencoders::autoencoder_kl::AutoencoderKLConfig;
use crate::models::autoencoders::autoencoder_tiny::AutoencoderTiny;
use crate::models::unets::unet_2d_config::UNet2DConditionConfig;
use crate::pipelines::denoise::BATCH_LATENTS_MAX;
use crate::pipelines::stable_diffusion::{Parts, StableDiffusion, vae_dtype};
use crate::pipelines::vae_tiles::VaeTiles;
use crate::preview::PreviewFit;
use crate::prompt_embedding_cache::PromptEmbeddingCache;
use crate::schedulers::{OwnScheduler, own_scheduler};
use crate::starter::starter_parts;
use crate::vae_choice::VaeKey;
use crate::weights::ComponentWeights;
use crate::weights::component::{is_pickle, pickle_error};
use crate::weights::inspect::hash_of;
use crate::weights::load::loaded_bytes;
use crate::weights::published::published_at;
use crate::weights::vae_file::LoadedVae;
use crate::{DeviceChoice, DiffusionError, GenerateSpec, Lora, LoraScale, Saving, TextualInversion};

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
        /// A diffusers folder with the configurations and tokenizers of such a model, its weights are
        /// not needed; without one the file is taken for the published model that it looks like.
        config: Option<PathBuf>,
    },
}

/// How the numbers of UNet and text encoders are kept; the VAE stays in single precision, but for bf16 on the processor.
///
/// On the processor [`Self::Bf16`] is for the weights that are multiplied: they and what meets them are rounded to bf16, sums
/// and all else are in single precision. [`Self::F16`] is slow there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// 4 bytes; the choice for processors unless memory or time count for more than the last digits.
    #[default]
    F32,
    /// 2 bytes, for graphics cards.
    F16,
    /// 2 bytes with the range of 4, for processors and for cards that have it.
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

/// The family that a model belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Stable Diffusion 1.x.
    Sd1,
    /// Stable Diffusion 2.x, with OpenCLIP's text encoder.
    Sd2,
    /// Stable Diffusion XL.
    Sdxl,
}

impl ModelSource {
    /// The source at `path`: a diffusers folder, or a checkpoint. A checkpoint's configurations and
    /// tokenizers are looked for in a folder of its name without the ending, then in its own folder; without
    /// them it must be one of the published kinds.
    pub fn at(path: &Path) -> Result<Self, DiffusionError> {
        if path.is_dir() {
            return Ok(Self::Folder(path.into()));
        }
        if is_pickle(path) {
            return Err(pickle_error(path));
        }
        if !path.is_file() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(DiffusionError::io(path, missing));
        }
        let beside = [path.with_extension(""), path.parent().unwrap_or(Path::new("")).into()];
        let config = beside.into_iter().find(|folder| folder.join("model_index.json").is_file());
        if config.is_none() {
            published_at(path)?;
        }
        Ok(Self::Checkpoint { file: path.into(), config })
    }

    /// All models directly within `folder`, by name: diffusers folders, and checkpoints of the published kinds
    /// or with a configuration beside them. Pickles and what is no model are passed over.
    pub fn within(folder: &Path) -> Result<Vec<(String, Self)>, DiffusionError> {
        let entries = std::fs::read_dir(folder).map_err(|source| DiffusionError::io(folder, source))?;
        let mut found: Vec<(String, Self)> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| match path.is_dir() {
                true => path.join("model_index.json").is_file() && path.join("unet").is_dir(),
                false => path.extension().is_some_and(|ending| ending == "safetensors"),
            })
            .filter_map(|path| Some((name_of(&path)?, Self::at(&path).ok()?)))
            .collect();
        // A folder that only serves a checkpoint is not listed beside it.
        let served: Vec<PathBuf> = found
            .iter()
            .filter_map(|(_, source)| match source {
                Self::Checkpoint { config, .. } => config.clone(),
                _ => None,
            })
            .collect();
        found.retain(|(_, source)| !matches!(source, Self::Folder(path) if served.contains(path)));
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }
}

/// What a model is called: its folder, or its file without the ending. A dot in a folder's name ends nothing.
pub fn name_of(path: &Path) -> Option<String> {
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name?.to_str().map(str::to_string)
}

/// How to load a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// How numbers are kept.
    pub weight_type: WeightType,
    /// When the VAE works in tiles.
    pub vae_tiles: VaeTiles,
}

/// Latents that the processor works on at a time with profit; measured by `benches/starter_picture`.
const HOST_LATENTS_TOGETHER: u64 = 4 * 16 * 16;

/// A LoRA as it was when it was merged: file, its size and time, scale.
type LoraKey = (PathBuf, u64, Option<SystemTime>, Vec<u64>);

/// A model that draws.
pub struct DiffusionModel {
    base: StableDiffusion,
    hash: String,
    memory_bytes: u64,
    weight_type: WeightType,
    device: DeviceChoice,
    kind: ModelKind,
    starter: bool,
    pub(crate) fit: OnceLock<PreviewFit>,
    pub(crate) prompt_embedding_cache: PromptEmbeddingCache,
    pub(crate) guide_networks: GuideNetworks,
    merged: Mutex<Option<(Vec<LoraKey>, StableDiffusion)>>,
    pub(crate) other_vae: Mutex<Option<(VaeKey, LoadedVae)>>,
    pub(crate) preview_vae: Option<AutoencoderTiny>,
    pub(crate) saving: Saving,
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
            Parts::open_checkpoint(file, config.as_deref())
        }
    }
}

impl Parts {
    /// Bytes that the weights take on a device.
    pub fn memory_bytes(&self, device: &Device, weight_type: WeightType) -> u64 {
        let of = |weights: &ComponentWeights| {
            let dtype = weight_type.dtype();
            let kept = if weights.component == "vae" { vae_dtype(device, dtype) } else { dtype };
            loaded_bytes(weights, device, kept)
        };
        self.weights.iter().map(of).sum()
    }

    /// The size that the model was trained for, in pixels of either side.
    pub fn trained_px(&self) -> Result<usize, DiffusionError> {
        Ok(trained_px(self.index.is_xl()?, &self.unet_config, &self.vae_config))
    }

    /// The family, by pipeline and text encoder.
    pub fn kind(&self) -> Result<ModelKind, DiffusionError> {
        let open_clip = self.text.first().is_some_and(|(config, _)| config.hidden_act != "quick_gelu");
        Ok(match (self.index.is_xl()?, open_clip) {
            (true, _) => ModelKind::Sdxl,
            (false, true) => ModelKind::Sd2,
            (false, false) => ModelKind::Sd1,
        })
    }
}

fn trained_px(xl: bool, unet: &UNet2DConditionConfig, vae: &AutoencoderKLConfig) -> usize {
    let fallback = if xl { 128 } else { 64 };
    unet.sample_size.filter(|size| (1..=512).contains(size)).unwrap_or(fallback) * vae.scale_factor()
}

impl DiffusionModel {
    /// Loads a model onto a device.
    pub fn load(
        source: &ModelSource,
        device: DeviceChoice,
        options: LoadOptions,
    ) -> Result<Self, DiffusionError> {
        let parts = open_parts(source)?;
        let choice = device.resolved();
        let device = choice.open()?;
        let dtype = options.weight_type.dtype();
        if !device.supports_dtype(dtype) {
            return Err(DiffusionError::Device {
                choice: format!("{device:?}"),
                reason: format!("has no {:?}", options.weight_type),
            });
        }
        let hash = hash_of(&parts.weights)?;
        let memory_bytes = parts.memory_bytes(&device, options.weight_type);
        let kind = parts.kind()?;
        let mut base = guarded(|| parts.build(&device, dtype))?;
        base.vae_tiles = options.vae_tiles;
        Ok(Self {
            base,
            hash,
            memory_bytes,
            weight_type: options.weight_type,
            device: choice,
            kind,
            starter: *source == ModelSource::Starter,
            fit: OnceLock::new(),
            prompt_embedding_cache: PromptEmbeddingCache::default(),
            guide_networks: GuideNetworks::default(),
            merged: Mutex::new(None),
            other_vae: Mutex::new(None),
            preview_vae: None,
            saving: Saving::default(),
        })
    }

    /// Bytes of weights in memory, those of networks that led the last guided drawing too; what drawing takes comes on top,
    /// see [`Self::drawing_bytes`].
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes + self.guide_networks.memory_bytes(&self.base)
    }

    /// Lets networks leave memory that led an earlier drawing and do not lead this one.
    pub fn forget_guides_beside(&self, spec: &GenerateSpec) {
        self.guide_networks.keep_only(&spec.guides);
    }

    /// How its weights are kept.
    pub fn weight_type(&self) -> WeightType {
        self.weight_type
    }

    /// What it is computed on; never `auto`.
    pub fn device(&self) -> DeviceChoice {
        self.device
    }

    /// About how many bytes drawing `spec` takes beyond the weights: the activations of the largest network
    /// at its widest place, a second copy of the weights for a LoRA, and networks that lead it and are not in memory yet.
    pub fn drawing_bytes(&self, spec: &GenerateSpec) -> u64 {
        let factor = self.base.vae_config.scale_factor().max(1) as u64;
        let pixels = u64::from(spec.width) * u64::from(spec.height);
        let cells = pixels / (factor * factor);
        let guided = if spec.guidance_scale > 1.0 { 2 } else { 1 };
        let (rows, together) = match &spec.guides.motion {
            // The halves go through the network one after the other, unless a reference parts them.
            Some(motion) if spec.guides.reference.is_none() => (1, motion.together as u64),
            Some(motion) => (guided, motion.together as u64),
            None => {
                let most = BATCH_LATENTS_MAX as u64 / cells.max(1);
                (guided, most.clamp(1, spec.num_images.max(1) as u64))
            }
        };
        let widest = |channels: &[usize]| channels.iter().max().copied().unwrap_or(0) as u64;
        // Skips of every level, a few intermediates, and the widened half of a transformer block.
        let unet = rows * together * cells * widest(&self.base.unet_config.block_out_channels) * 16 * 4;
        // The decoder holds its first channels at full size: input, output and two intermediates.
        let first = self.base.vae_config.block_out_channels.first().copied().unwrap_or(0) as u64;
        let sides = [spec.width as usize, spec.height as usize];
        let at_once = self.base.vae_tiles.pixels_at_once(sides, factor as usize) as u64;
        let vae = at_once * first * 2 * 6 * 4 + pixels * 3 * 4;
        let loras = if spec.loras.is_empty() { 0 } else { self.memory_bytes };
        // Laid out for products in bf16: all channels of the widest input, twice where strips overlap.
        let laid_out = match self.base.unet.dtype() == self.base.unet.weight_dtype() {
            true => 0,
            false => rows * together * cells * widest(&self.base.unet_config.block_out_channels) * 2 * 2 * 2,
        };
        let unet = unet + laid_out;
        // The reference's states stand beside those of the drawing.
        let unet = if spec.guides.reference.is_some() { unet * 2 } else { unet };
        // Each frame keeps what its texts mean, and its picture until all are drawn. A token has a byte at least.
        let kept = spec.guides.motion.as_ref().map_or(0, |motion| {
            let prompt = spec.prompt.len().max(spec.negative_prompt.as_ref().map_or(0, String::len)) as u64;
            let width: u64 =
                self.base.text_encoders.iter().map(|encoder| encoder.model.hidden_size() as u64).sum();
            let texts = prompt.div_ceil(75).max(1) * 77 * width * 4 * guided;
            // Texts go along with those of a whole window, side by side.
            (motion.frames + motion.together) as u64 * texts + motion.frames as u64 * pixels * 6
        });
        unet.max(vae) + kept + loras + self.guide_networks.missing_bytes(&spec.guides, &self.base)
    }

    /// How much of a drawing is in memory at a time from now on.
    pub fn save_memory(&mut self, saving: Saving) {
        self.saving = saving;
    }

    /// Whether it draws on the processor, with the machine's own memory.
    pub fn draws_on_host(&self) -> bool {
        self.base.device == Device::flex()
    }

    /// How many pictures of this size are worth drawing side by side with nothing lost: on the processor small
    /// ones, whose bytes are the same in a batch and which then take less time; for others one, for a graphics card
    /// may round otherwise in a batch.
    pub fn side_by_side(&self, spec: &GenerateSpec) -> usize {
        let factor = self.base.vae_config.scale_factor().max(1) as u64;
        let cells = u64::from(spec.width) * u64::from(spec.height) / (factor * factor);
        match self.draws_on_host() {
            true => (HOST_LATENTS_TOGETHER / cells.max(1)).max(1) as usize,
            false => 1,
        }
    }

    /// The family that it belongs to.
    pub fn kind(&self) -> ModelKind {
        self.kind
    }

    /// BLAKE3 of all files of weights, in hexadecimal.
    pub fn weights_hash(&self) -> &str {
        &self.hash
    }

    /// Whether it is the small model in the program.
    pub(crate) fn is_starter(&self) -> bool {
        self.starter
    }

    /// The networks themselves.
    pub fn networks(&self) -> &StableDiffusion {
        &self.base
    }

    /// The size that the model was trained for, and settings that suit it.
    pub fn default_spec(&self) -> GenerateSpec {
        let side = trained_px(self.base.xl, &self.base.unet_config, &self.base.vae_config);
        let own = match self.starter {
            true => OwnScheduler::default(),
            false => own_scheduler(&self.base.scheduler),
        };
        GenerateSpec {
            width: side as u32,
            height: side as u32,
            steps: match (own.few_steps, self.base.xl) {
                (true, _) => 4,
                (_, true) => 30,
                _ => 20,
            },
            guidance_scale: match (self.starter, own.few_steps, self.base.xl) {
                (true, ..) => 4.0,
                // Such models have the guidance within them.
                (_, true, _) => 1.0,
                (.., true) => 6.0,
                _ => 7.5,
            },
            scheduler: Some(own.name),
            ..GenerateSpec::default()
        }
    }

    /// The networks as a spec wants them: with its LoRAs, and with the words of its embeddings.
    pub(crate) fn adapted(&self, spec: &GenerateSpec) -> Result<StableDiffusion, DiffusionError> {
        let model = self.with_loras(&spec.loras)?;
        if spec.embeddings.is_empty() {
            return Ok(model);
        }
        let opened = spec.embeddings.iter().map(|path| TextualInversion::open(path));
        model.with_learned_words(&opened.collect::<Result<Vec<_>, DiffusionError>>()?)
    }

    /// The networks with the LoRAs of a spec; those of the last spec are kept.
    pub(crate) fn with_loras(
        &self,
        loras: &[(PathBuf, LoraScale)],
    ) -> Result<StableDiffusion, DiffusionError> {
        if loras.is_empty() {
            return Ok(self.base.clone());
        }
        let key = |(path, scale): &(PathBuf, LoraScale)| {
            let metadata = std::fs::metadata(path).map_err(|source| DiffusionError::io(path, source))?;
            Ok((
                path.clone(),
                metadata.len(),
                metadata.modified().ok(),
                scale.numbers().map(f64::to_bits).collect(),
            ))
        };
        let keys: Vec<LoraKey> = loras.iter().map(key).collect::<Result<_, DiffusionError>>()?;
        let mut merged = self.merged.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, model)) = merged.as_ref().filter(|(known, _)| *known == keys) {
            return Ok(model.clone());
        }
        *merged = None;
        let opened = loras.iter().map(|(path, scale)| Ok((Lora::open(path)?, scale.clone())));
        let opened: Vec<(Lora, LoraScale)> = opened.collect::<Result<_, DiffusionError>>()?;
        let model = self.base.with_loras(&opened)?;
        *merged = Some((keys, model.clone()));
        Ok(model)
    }
}
