//! The starter model, which is part of the program: it draws small pictures without a download.

use crate::DiffusionError;
use crate::clip_tokenizer::{ClipTokenizer, TokenizerFiles};
use crate::config::parse_json;
use crate::pipelines::stable_diffusion::Parts;
use crate::weights::ComponentWeights;
use crate::weights::safetensors::WeightFile;

macro_rules! starter {
    ($file:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/starter/", $file)
    };
}

static UNET: &[u8] = include_bytes!(starter!("unet/diffusion_pytorch_model.safetensors"));
static VAE: &[u8] = include_bytes!(starter!("vae/diffusion_pytorch_model.safetensors"));
static TEXT_ENCODER: &[u8] = include_bytes!(starter!("text_encoder/model.safetensors"));

/// The starter model's card, with its licence and limits.
pub fn starter_model_card() -> &'static str {
    include_str!(starter!("README.md"))
}

pub(crate) fn starter_parts() -> Result<Parts, DiffusionError> {
    let tokenizer = ClipTokenizer::from_files(
        "tokenizer",
        TokenizerFiles {
            vocab: include_str!(starter!("tokenizer/vocab.json")),
            merges: include_str!(starter!("tokenizer/merges.txt")),
            config: Some(include_str!(starter!("tokenizer/tokenizer_config.json"))),
            special_tokens: Some(include_str!(starter!("tokenizer/special_tokens_map.json"))),
        },
    )?;
    let text_config =
        parse_json(include_str!(starter!("text_encoder/config.json")), "text_encoder/config.json")?;
    let scheduler = include_str!(starter!("scheduler/scheduler_config.json"));
    let weights = |component: &str, bytes| {
        let file = WeightFile::from_static(&format!("starter/{component}"), bytes)?;
        Ok::<_, DiffusionError>(ComponentWeights::from_files(component, vec![file]))
    };
    Ok(Parts {
        index: parse_json(include_str!(starter!("model_index.json")), "model_index.json")?,
        unet_config: parse_json(include_str!(starter!("unet/config.json")), "unet/config.json")?,
        vae_config: parse_json(include_str!(starter!("vae/config.json")), "vae/config.json")?,
        text: vec![(text_config, tokenizer)],
        scheduler: parse_json(scheduler, "scheduler/scheduler_config.json")?,
        weights: vec![weights("unet", UNET)?, weights("vae", VAE)?, weights("text_encoder", TEXT_ENCODER)?],
    })
}
