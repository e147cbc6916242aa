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

/// The bias by whose spread a Stable Diffusion 2 that predicts v differs from one that predicts noise.
const V_MARKER: &str = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias";
/// In published models that predict noise the spread is below, in those that predict v above.
const V_MARKER_DEVIATION: f64 = 0.09;

/// What a single file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The family.
    pub kind: ModelKind,
    /// Channels that the UNet takes: 4, or 9 of a model for inpainting.
    pub in_channels: usize,
    /// What it was trained to predict.
    pub prediction: PredictionType,
    /// Whether its noise schedule ends without any picture.
    pub zero_snr: bool,
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
            () if any("control_model.") || any("controlnet_") => "a ControlNet, no model",
            () if any("down_blocks.") || any("encoder.") || any("decoder.") => {
                "one network alone; a model is a folder as diffusers writes it, or a file with all networks"
            }
            () => "no weights by the names of the original Stable Diffusion code",
        });
    };
    let kind = match () {
        () if any("conditioner.embedders.1.") => ModelKind::Sdxl,
        () if any("conditioner.embedders.") => {
            return refuse("the refiner of Stable Diffusion XL, which is not drawn here");
        }
        () if any("cond_stage_model.model.") => ModelKind::Sd2,
        () if any("cond_stage_model.transformer.") => ModelKind::Sd1,
        () => return refuse("lacks a text encoder: a UNet alone is no model"),
    };
    if !any("first_stage_model.") {
        return refuse("lacks a VAE (first_stage_model): take a file that has one");
    }
    let in_channels = first.shape.get(1).copied().unwrap_or(0);
    Ok(Published {
        kind,
        in_channels,
        prediction: prediction(file, kind, in_channels)?,
        zero_snr: any("ztsnr"),
    })
}

/// What a network was trained to predict: as the file says, else by what is known of published ones.
fn prediction(
    file: &WeightFile,
    kind: ModelKind,
    in_channels: usize,
) -> Result<PredictionType, DiffusionError> {
    let noted = file.metadata.get("modelspec.prediction_type").map(|noted| noted.to_ascii_lowercase());
    match noted.as_deref() {
        Some("v" | "v_prediction" | "v-prediction") => return Ok(PredictionType::VPrediction),
        Some("epsilon" | "eps") => return Ok(PredictionType::Epsilon),
        _ => {}
    }
    if file.tensors.contains_key("v_pred") {
        return Ok(PredictionType::VPrediction);
    }
    let marker = file.tensors.get(V_MARKER).filter(|_| kind == ModelKind::Sd2 && in_channels == 4);
    let Some(marker) = marker else { return Ok(PredictionType::Epsilon) };
    let values = file.read_f32(V_MARKER, marker)?;
    Ok(match deviation(&values) > V_MARKER_DEVIATION {
        true => PredictionType::VPrediction,
        false => PredictionType::Epsilon,
    })
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
