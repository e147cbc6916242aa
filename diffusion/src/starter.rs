//! The starter model, which is part of the program: it draws small pictures without a download.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

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

/// What a small model was trained for, in words and numbers that a person can be given.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ModelAbout {
    /// What it is.
    pub about: String,
    /// The size that it was trained for, in pixels of either side.
    pub trained_px: u32,
    /// Where its card lies in the source.
    pub card: String,
    /// All that it knows of words, by what they are about.
    pub words: BTreeMap<String, Vec<String>>,
}

impl ModelAbout {
    /// Whether a prompt has any word that the model knows.
    pub fn knows_any_of(&self, prompt: &str) -> bool {
        let prompt = format!(" {} ", plain(prompt));
        self.words.values().flatten().any(|word| prompt.contains(&format!(" {} ", plain(word))))
    }
}

/// Words in lower case with one space between them.
fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// What the starter model knows; [`starter_model_card`] says it at length.
pub fn starter_about() -> &'static ModelAbout {
    static ABOUT: LazyLock<ModelAbout> =
        LazyLock::new(|| match serde_json::from_str(include_str!(starter!("about.json"))) {
            Ok(about) => about,
            Err(error) => panic!("assets/starter/about.json: {error}"),
        });
    &ABOUT
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_knows_its_words_and_its_size() {
        let about = starter_about();
        for known in ["A CAT.", "close-up of somebody", "a straw-hat", "under the moon"] {
            assert!(about.knows_any_of(known), "{known}");
        }
        for unknown in ["", "a dragon in a castle", "category", "concatenate", "редкий дракон"] {
            assert!(!about.knows_any_of(unknown), "{unknown}");
        }
        let parts = starter_parts().expect("the starter");
        assert_eq!(parts.trained_px().expect("a size"), about.trained_px as usize);
        // Each word is one that the model's own vocabulary has whole, or in few pieces.
        for word in about.words.values().flatten() {
            let pieces = parts.text[0].1.encode(word).expect("it reads").len();
            assert!(pieces <= 2 * word.split([' ', '-']).count(), "{word} is {pieces} pieces");
        }
    }
}
