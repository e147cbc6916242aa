//! What prompts meant that were encoded lately: negative prompts, and the texts of a video's key frames, come again.

use std::sync::{Mutex, PoisonError};

use crate::DiffusionError;
use crate::pipelines::encode_prompt::{PromptOptions, TextConditions};

/// How many are kept.
const KEPT: usize = 16;

/// A prompt, that for SDXL's second encoder, and how both are read; no prompt is an absent negative one.
type Key = (Option<String>, Option<String>, PromptOptions);

/// Texts by what was encoded, the one used longest ago first.
#[derive(Default)]
pub(crate) struct PromptEmbeddingCache {
    texts: Mutex<Vec<(Key, TextConditions)>>,
}

impl PromptEmbeddingCache {
    /// What a prompt means, encoded if it is not known.
    pub fn get(
        &self,
        prompt: Option<&str>,
        second: Option<&str>,
        options: PromptOptions,
        encode: impl FnOnce() -> Result<TextConditions, DiffusionError>,
    ) -> Result<TextConditions, DiffusionError> {
        let key: Key = (prompt.map(str::to_string), second.map(str::to_string), options);
        let known = {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            texts.iter().position(|(known, _)| *known == key).map(|place| texts.remove(place).1)
        };
        let text = match known {
            Some(text) => text,
            None => encode()?,
        };
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() >= KEPT {
            texts.remove(0);
        }
        texts.push((key, text.clone()));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn a_text_is_encoded_once_while_it_is_kept() {
        let (known, encoded) = (PromptEmbeddingCache::default(), Cell::new(0));
        let ask = |prompt: Option<&str>, options| {
            let encode = || {
                encoded.set(encoded.get() + 1);
                Ok(TextConditions { embeds: Tensor::zeros([1, 77, 4], &Device::flex()), pooled: None })
            };
            known.get(prompt, None, options, encode).expect("a text");
            encoded.get()
        };
        let plain = PromptOptions::default();
        assert_eq!((ask(Some("a"), plain), ask(Some("a"), plain)), (1, 1));
        // Read otherwise it is another text, and an absent prompt is not an empty one.
        assert_eq!(ask(Some("a"), PromptOptions { clip_skip: 1, ..plain }), 2);
        assert_eq!((ask(None, plain), ask(Some(""), plain)), (3, 4));
        for prompt in 0..KEPT {
            ask(Some(&prompt.to_string()), plain);
        }
        assert_eq!(ask(Some("a"), plain), 5 + KEPT as i32, "forgotten");
    }
}
