//! The architectures that were published as single files: which of them a file holds, and its configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::Value;

use super::safetensors::WeightFile;
use crate::DiffusionError;
use crate::clip_vocabulary::clip_tokenizer;
use crate::config::read_json;
use crate::model::ModelKind;
use crate::pipelines::stable_diffusion::Parts;
use crate::schedulers::PredictionType;

macro_rules! published {
    ($kind:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/checkpoints/", $kind, ".json"))
    };
}

/// The step at which the training of a file ended, where it was kept. `_legacy_load_scheduler` of diffusers
/// (`loaders/single_file_utils.py`) tells Stable Diffusion 2.0 by it, which predicts noise; its converter of older files
/// tells 2.1, which predicts v (`convert_from_ckpt.py`).
const STEPS: [(f64, PredictionType); 2] =
    [(875_000.0, PredictionType::Epsilon), (110_000.0, PredictionType::VPrediction)];
const STEP: &str = "global_step";
/// The bias by whose spread a Stable Diffusion 2 that predicts v differs from one that predicts noise: an estimate, which
/// ComfyUI makes in the same way (`SD20.model_type` in `comfy/supported_models.py`: "not sure how well this will actually
/// work").
const V_MARKER: &str = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";
/// In published models that predict noise the spread is below, in those that predict v above.
const V_MARKER_DEVIATION: f64 = 0.09;
/// The input for guidance that latent consistency models have (`time_cond_proj_dim` of diffusers), which converters name
/// in either way.
const GUIDANCE_INPUT: [&str; 2] = [
    "model.diffusion_model.time_embedding.cond_proj.weight",
    "model.diffusion_model.time_embed.cond_proj.weight",
];
/// What models for a few steps are called. Their networks have the shapes of others, and no file says it otherwise.
const FEW_STEPS: [&str; 6] = ["turbo", "lightning", "lcm", "hyper-sd", "hypersd", "hyper_sd"];

/// What a single file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The family.
    pub kind: ModelKind,
    /// Whether it is a refiner of Stable Diffusion XL.
    pub refines: bool,
    /// Channels that the UNet takes: 4, or 9 of a model for inpainting.
    pub in_channels: usize,
    /// What it was trained to predict.
    pub prediction: PredictionType,
    /// Whether its noise schedule ends without any picture.
    pub zero_snr: bool,
    /// Whether what it predicts is an estimate: the file does not say.
    pub is_estimated: bool,
    /// The word in the title that the file gives itself by which it is made for a few steps.
    pub few_steps: Option<&'static str>,
}

/// What an operator should know of a single file that nothing in it says for sure.
pub(crate) fn notes(path: &Path) -> Vec<String> {
    let Ok(found) = published_at(path) else { return Vec::new() };
    let folder = path.with_extension("");
    let settings = folder.join("scheduler/scheduler_config.json");
    if settings.is_file() {
        return Vec::new();
    }
    let mut notes = Vec::new();
    if found.is_estimated {
        notes.push(format!(
            "prediction_type is an estimate, the file does not say it; pictures without any shape mean that it is the \
             other one, which \"prediction_type\" in {} settles",
            settings.display()
        ));
    }
    let name = path.file_stem().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    if let Some(word) = found.few_steps.or_else(|| few_steps(&name)) {
        notes.push(format!(
            "its name says {word}, which means a few steps with little or no guidance; the file does not say how many: \
             set steps and guidance_scale of jobs, or put the model's scheduler_config.json at {}",
            settings.display()
        ));
    }
    notes
}

fn few_steps(name: &str) -> Option<&'static str> {
    FEW_STEPS.into_iter().find(|word| name.contains(word))
}

/// What the single file at `path` holds, by the names and shapes of its tensors; remembered until the file changes.
pub fn published_at(path: &Path) -> Result<Published, DiffusionError> {
    type Known = HashMap<PathBuf, ((u64, Option<SystemTime>), Result<Published, String>)>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    const KNOWN_MAX: usize = 1000;

    let metadata = std::fs::metadata(path).map_err(|source| DiffusionError::io(path, source))?;
    let state = (metadata.len(), metadata.modified().ok());
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let refused = |reason: String| DiffusionError::weights(path.display().to_string(), reason);
    if let Some((known, found)) = lock().get_or_insert_default().get(path)
        && *known == state
    {
        return found.clone().map_err(refused);
    }
    let found = WeightFile::open(path).and_then(|file| recognise(&file)).map_err(|error| match error {
        DiffusionError::WeightFile { reason, .. } => reason,
        other => other.to_string(),
    });
    let mut known = lock();
    let known = known.get_or_insert_default();
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.insert(path.into(), (state, found.clone()));
    found.map_err(refused)
}

/// What an open file holds; the message of a refusal says what it holds instead.
pub(crate) fn recognise(file: &WeightFile) -> Result<Published, DiffusionError> {
    let refuse = |reason: &str| Err(DiffusionError::weights(file.name.clone(), reason));
    let any = |prefix: &str| {
        file.tensors.range(prefix.to_string()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    };
    let Some(first) = file.tensors.get("model.diffusion_model.input_blocks.0.0.weight") else {
        let lora = |name: &String| name.contains("lora_") || name.contains(".lora.");
        return refuse(match () {
            () if file.tensors.keys().any(lora) => "a LoRA, no model: it belongs into the folder loras",
            () if any("model.diffusion_model.") || any("double_blocks.") || any("transformer_blocks.") => {
                "a model that is none of Stable Diffusion 1.x, 2.x and XL, which alone are drawn here"
            }
            () if any("control_model.") || any("controlnet_") => {
                "a ControlNet, no model: it belongs into the folder controlnet"
            }
            () if any("image_proj.") || any("ip_adapter.") => {
                "an IP-Adapter, no model: it belongs into the folder ip_adapter"
            }
            () if file.tensors.keys().any(|name| name.contains(".motion_modules.")) => {
                "a motion module, no model: it belongs into the folder motion"
            }
            () if any("down_blocks.") || any("encoder.") || any("decoder.") => {
                "one network alone; a model is a folder as diffusers writes it, or a file with all networks"
            }
            () if any("emb_params") || any("string_to_param") || any("clip_l") || any("clip_g") => {
                "a textual inversion, no model: it belongs into the folder embeddings"
            }
            () if file.tensors.is_empty() => "a file without any tensors",
            () => {
                "neither a picture model nor a LoRA: none of its tensors has a name of Stable Diffusion 1.x, 2.x or XL"
            }
        });
    };
    let kind = match () {
        () if any("conditioner.embedders.1.") => ModelKind::Sdxl,
        // The refiner has the second text encoder alone.
        () if any("conditioner.embedders.0.model.") => ModelKind::Sdxl,
        () if any("cond_stage_model.model.") => ModelKind::Sd2,
        () if any("cond_stage_model.transformer.") => ModelKind::Sd1,
        () => return refuse("lacks a text encoder: a UNet alone is no model"),
    };
    if !any("first_stage_model.") {
        return refuse("lacks a VAE (first_stage_model): take a file that has one");
    }
    if GUIDANCE_INPUT.iter().any(|name| file.tensors.contains_key(*name)) {
        return refuse(
            "a latent consistency model that takes its guidance as an input, which is not drawn here; a LoRA of latent \
             consistency over a plain model is",
        );
    }
    if any("edm_vpred") || any("edm_mean") {
        return refuse("a model of EDM's noise (edm_vpred), which is not drawn here");
    }
    let in_channels = first.shape.get(1).copied().unwrap_or(0);
    let (prediction, is_estimated) = prediction(file, kind, in_channels)?;
    let title = file.metadata.get("modelspec.title").map(|title| title.to_lowercase());
    Ok(Published {
        kind,
        refines: kind == ModelKind::Sdxl && !any("conditioner.embedders.1."),
        in_channels,
        prediction,
        zero_snr: any("ztsnr") || trained_with(file, "ss_zero_terminal_snr"),
        is_estimated,
        few_steps: title.and_then(|title| few_steps(&title)),
    })
}

/// What a network was trained to predict, and whether that is an estimate: as the file says, else by what is known of
/// published ones.
fn prediction(
    file: &WeightFile,
    kind: ModelKind,
    in_channels: usize,
) -> Result<(PredictionType, bool), DiffusionError> {
    use PredictionType::{Epsilon, VPrediction};
    let noted = file.metadata.get("modelspec.prediction_type").map(|noted| noted.to_ascii_lowercase());
    match noted.as_deref() {
        Some("v" | "v_prediction" | "v-prediction") => return Ok((VPrediction, false)),
        Some("epsilon" | "eps") => return Ok((Epsilon, false)),
        _ => {}
    }
    if file.tensors.contains_key("v_pred") || trained_with(file, "ss_v_parameterization") {
        return Ok((VPrediction, false));
    }
    // Of the second kind those for inpainting predict noise, of the others all but marked ones.
    if kind != ModelKind::Sd2 || in_channels != 4 {
        return Ok((Epsilon, false));
    }
    let step = file.tensors.get(STEP).map(|entry| file.read_number(entry)).transpose()?.flatten();
    if let Some((_, prediction)) = STEPS.into_iter().find(|(known, _)| Some(*known) == step) {
        return Ok((prediction, false));
    }
    let Some(marker) = file.tensors.get(V_MARKER) else { return Ok((Epsilon, true)) };
    let values = file.read_f32(V_MARKER, marker)?;
    Ok((if deviation(&values) > V_MARKER_DEVIATION { VPrediction } else { Epsilon }, true))
}

/// Whether kohya's scripts noted that a switch was on in the training.
fn trained_with(file: &WeightFile, switch: &str) -> bool {
    file.metadata.get(switch).is_some_and(|said| said.eq_ignore_ascii_case("true"))
}

fn deviation(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    (values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

impl Published {
    /// `epsilon` or `v_prediction`, as `scheduler_config.json` calls it.
    pub fn prediction_type(&self) -> &'static str {
        match self.prediction {
            PredictionType::VPrediction => "v_prediction",
            _ => "epsilon",
        }
    }

    /// The configuration of such a model, its weights not yet opened. A `scheduler/scheduler_config.json` in the
    /// folder `beside` has the last word on how it is drawn.
    pub(crate) fn parts(&self, beside: &Path) -> Result<Parts, DiffusionError> {
        let (name, text) = match self.kind {
            ModelKind::Sd1 => ("sd1.json", published!("sd1")),
            ModelKind::Sd2 => ("sd2.json", published!("sd2")),
            ModelKind::Sdxl if self.refines => ("sdxl_refiner.json", published!("sdxl_refiner")),
            ModelKind::Sdxl => ("sdxl.json", published!("sdxl")),
        };
        let broken = |error: serde_json::Error| DiffusionError::config(name, "json", error.to_string());
        let mut all: Value = serde_json::from_str(text).map_err(broken)?;
        all["unet"]["in_channels"] = self.in_channels.into();
        let v_prediction = self.prediction == PredictionType::VPrediction;
        if self.kind == ModelKind::Sd2 && v_prediction {
            // The published ones were trained at 768.
            all["unet"]["sample_size"] = 96.into();
        }
        all["scheduler"]["prediction_type"] = self.prediction_type().into();
        if self.zero_snr {
            all["scheduler"]["rescale_betas_zero_snr"] = true.into();
            all["scheduler"]["timestep_spacing"] = "trailing".into();
        }
        let mut text = Vec::new();
        for (encoder, tokenizer, pad) in
            [("text_encoder", "tokenizer", "pad_token"), ("text_encoder_2", "tokenizer_2", "pad_token_2")]
        {
            if let Some(pad) = all[pad].as_str() {
                let tokenizer = clip_tokenizer(tokenizer, pad)?;
                text.push((serde_json::from_value(all[encoder].clone()).map_err(broken)?, tokenizer));
            }
        }
        let scheduler = beside.join("scheduler/scheduler_config.json");
        Ok(Parts {
            index: serde_json::from_value(all["model_index"].take()).map_err(broken)?,
            unet_config: serde_json::from_value(all["unet"].take()).map_err(broken)?,
            vae_config: serde_json::from_value(all["vae"].take()).map_err(broken)?,
            text,
            scheduler: match scheduler.is_file() {
                true => read_json(&scheduler, "scheduler/scheduler_config.json")?,
                false => all["scheduler"].take(),
            },
            weights: Vec::new(),
        })
    }
}
