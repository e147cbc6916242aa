//! Prompts to what the UNet attends to.

use burn::tensor::{Tensor, TensorData};

use super::stable_diffusion::{StableDiffusion, TextEncoder};
use crate::noise::slerp;
use crate::prompt::{LongPrompts, PromptSyntax, encode_text};
use crate::{ClipTextOutput, DiffusionError};

/// What one prompt means to the UNet.
#[derive(Debug, Clone)]
pub struct TextConditions {
    /// `[1, n · 77, width]`.
    pub embeds: Tensor<3>,
    /// `[1, projection]`, for SDXL.
    pub pooled: Option<Tensor<2>>,
}

/// How prompts are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptOptions {
    /// What brackets mean.
    pub syntax: PromptSyntax,
    /// What becomes of words that do not fit into one row.
    pub long_prompts: LongPrompts,
    /// How many of the encoders' last layers are left out beyond the usual.
    pub clip_skip: usize,
}

impl TextEncoder {
    /// The states that the UNet was trained on: the last, normed, or for SDXL the last but one as it is.
    pub(crate) fn states(&self, output: &ClipTextOutput, xl: bool, clip_skip: usize) -> Tensor<3> {
        let states = &output.hidden_states;
        let back = |skipped: usize| states[states.len().saturating_sub(1 + skipped)].clone();
        match (xl, clip_skip) {
            (true, skipped) => back(skipped + 1),
            (false, 0) => output.last_hidden_state.clone(),
            (false, skipped) => self.model.final_layer_norm(back(skipped)),
        }
    }
}

impl StableDiffusion {
    /// Encodes a prompt; `second` is for SDXL's second encoder, the same if absent.
    pub fn encode_prompt(
        &self,
        prompt: &str,
        second: Option<&str>,
        options: PromptOptions,
    ) -> Result<TextConditions, DiffusionError> {
        let mut embeds = Vec::new();
        let mut pooled = None;
        for (i, encoder) in self.text_encoders.iter().enumerate() {
            let text = if i == 0 { prompt } else { second.unwrap_or(prompt) };
            let (states, text_embeds) = encode_text(encoder, text, options, self.xl, &self.device)?;
            embeds.push(states);
            pooled = text_embeds.or(pooled);
        }
        let longest = embeds.iter().map(|states| states.dims()[1]).max().unwrap_or(0);
        for (states, encoder) in embeds.iter_mut().zip(&self.text_encoders) {
            *states = self.padded(states.clone(), encoder, longest, options)?;
        }
        Ok(TextConditions { embeds: Tensor::cat(embeds, 2), pooled })
    }

    /// A negative prompt that is not given: zeros where the model wants them, else the empty text.
    pub fn encode_absent_negative(&self, options: PromptOptions) -> Result<TextConditions, DiffusionError> {
        let empty = self.encode_prompt("", None, options)?;
        if !(self.xl && self.force_zeros_for_empty_prompt) {
            return Ok(empty);
        }
        Ok(TextConditions {
            embeds: empty.embeds.zeros_like(),
            pooled: empty.pooled.map(|pooled| pooled.zeros_like()),
        })
    }

    /// Lengthens conditions to `rows` by the meaning of the empty text, as Compel does.
    pub fn lengthened(
        &self,
        text: TextConditions,
        rows: usize,
        options: PromptOptions,
    ) -> Result<TextConditions, DiffusionError> {
        if text.embeds.dims()[1] >= rows {
            return Ok(text);
        }
        let empty = self.encode_prompt("", None, PromptOptions { syntax: PromptSyntax::Plain, ..options })?;
        Ok(TextConditions { embeds: repeat_to(text.embeds, &empty.embeds, rows), pooled: text.pooled })
    }

    fn padded(
        &self,
        states: Tensor<3>,
        encoder: &TextEncoder,
        rows: usize,
        options: PromptOptions,
    ) -> Result<Tensor<3>, DiffusionError> {
        if states.dims()[1] >= rows {
            return Ok(states);
        }
        let plain = PromptOptions { syntax: PromptSyntax::Plain, ..options };
        let (empty, _) = encode_text(encoder, "", plain, self.xl, &self.device)?;
        Ok(repeat_to(states, &empty, rows))
    }

    /// Between two prompts: token by token along the sphere.
    pub fn between(&self, from: &TextConditions, to: &TextConditions, t: f64) -> TextConditions {
        TextConditions {
            embeds: mixed(from.embeds.clone(), to.embeds.clone(), t, &self.device),
            pooled: match (&from.pooled, &to.pooled) {
                (Some(from), Some(to)) => Some(mixed(from.clone(), to.clone(), t, &self.device)),
                _ => None,
            },
        }
    }
}

fn mixed<const D: usize>(from: Tensor<D>, to: Tensor<D>, t: f64, device: &burn::tensor::Device) -> Tensor<D> {
    let (shape, dtype) = (from.dims(), from.dtype());
    let read = |tensor: Tensor<D>| -> Vec<f64> {
        tensor.try_into_vec_as::<f32>().unwrap_or_default().into_iter().map(f64::from).collect()
    };
    let width = shape.last().copied().unwrap_or(1).max(1);
    let values: Vec<f32> = read(from)
        .chunks(width)
        .zip(read(to).chunks(width))
        .flat_map(|(from, to)| slerp(from, to, t))
        .map(|value| value as f32)
        .collect();
    let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), (device, burn::tensor::DType::F32));
    tensor.cast(dtype)
}

/// Appends `filler` as often as it takes to reach `rows`.
pub(crate) fn repeat_to(states: Tensor<3>, filler: &Tensor<3>, rows: usize) -> Tensor<3> {
    let mut parts = vec![states];
    let mut length = parts[0].dims()[1];
    while length < rows {
        let take = filler.dims()[1].min(rows - length);
        parts.push(filler.clone().narrow(1, 0, take));
        length += take;
    }
    Tensor::cat(parts, 1)
}
