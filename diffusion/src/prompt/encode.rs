//! Weighted words to states: Compel's rule, and A1111's own.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::weighting::{TokenRows, token_rows};
use super::{Conjunction, Fragment, Part, PromptSyntax, parse_a1111, parse_compel};
use crate::DiffusionError;
use crate::pipelines::encode_prompt::{PromptOptions, repeat_to};
use crate::pipelines::stable_diffusion::{TextEncoder, download};

/// Most passages of one prompt that may weigh less than 1.
const LESSENED_MAX: usize = 64;
/// Most prompts side by side or mixed; the UNet attends to all of them in every step.
const PROMPTS_MAX: usize = 16;

/// States of a text, and the pooled text where the encoder projects.
type Encoded = (Tensor<3>, Option<Tensor<2>>);

/// Encodes one text with one encoder.
pub fn encode_text(
    encoder: &TextEncoder,
    text: &str,
    options: PromptOptions,
    xl: bool,
    device: &Device,
) -> Result<Encoded, DiffusionError> {
    let context = Context { encoder, options, xl, device };
    let (states, words) = match options.syntax {
        PromptSyntax::Plain => (context.conjunction(&Conjunction::plain(text))?, text.to_string()),
        PromptSyntax::Compel => {
            let prompts = parse_compel(text);
            // Compel pools the text as it was written, signs and all.
            (context.conjunction(&prompts)?, text.to_string())
        }
        PromptSyntax::A1111 => {
            let prompts = Conjunction { parts: vec![(Part::Prompt(trimmed(parse_a1111(text))), 1.0)] };
            (context.conjunction(&prompts)?, words_of(&prompts))
        }
        PromptSyntax::A1111Native => {
            let fragments = parse_a1111(text);
            let words = fragments.iter().map(|fragment| fragment.text.as_str()).collect();
            (context.native(&fragments)?, words)
        }
    };
    let pooled = match encoder.model.projects() {
        true => context.encode(&[encoder.encode_row(&words)?], None).1,
        false => None,
    };
    Ok((states, pooled))
}

/// States of prompts that were parsed before.
pub fn encode_prompts(
    encoder: &TextEncoder,
    prompts: &Conjunction,
    options: PromptOptions,
    xl: bool,
    device: &Device,
) -> Result<Tensor<3>, DiffusionError> {
    Context { encoder, options, xl, device }.conjunction(prompts)
}

/// States by A1111's own rule.
pub fn encode_native(
    encoder: &TextEncoder,
    fragments: &[Fragment],
    options: PromptOptions,
    xl: bool,
    device: &Device,
) -> Result<Tensor<3>, DiffusionError> {
    Context { encoder, options, xl, device }.native(fragments)
}

/// Compel knows no fragments of nothing but space.
fn trimmed(fragments: Vec<Fragment>) -> Vec<Fragment> {
    let mut fragments: Vec<Fragment> = fragments
        .into_iter()
        .map(|fragment| Fragment { text: fragment.text.trim().into(), ..fragment })
        .filter(|fragment| !fragment.text.is_empty() || fragment.begins_row)
        .collect();
    if fragments.is_empty() {
        fragments.push(Fragment::plain(""));
    }
    fragments
}

fn words_of(prompts: &Conjunction) -> String {
    let parts = prompts.parts.iter().flat_map(|(part, _)| match part {
        Part::Prompt(fragments) => vec![fragments],
        Part::Blend { prompts, .. } => prompts.iter().collect(),
    });
    parts.flatten().map(|fragment| fragment.text.as_str()).collect::<Vec<_>>().join(" ")
}

struct Context<'a> {
    encoder: &'a TextEncoder,
    options: PromptOptions,
    xl: bool,
    device: &'a Device,
}

/// States on the host, row after row.
struct HostStates {
    values: Vec<f32>,
    width: usize,
}

impl Context<'_> {
    fn encode(&self, ids: &[Vec<u32>], hidden: Option<&[Vec<bool>]>) -> (Tensor<3>, Option<Tensor<2>>) {
        let output = self.encoder.forward(ids, hidden, self.device);
        (self.encoder.states(&output, self.xl, self.options.clip_skip), output.text_embeds)
    }

    fn host(&self, ids: &[Vec<u32>], hidden: Option<&[Vec<bool>]>) -> Result<HostStates, DiffusionError> {
        let states = self.encode(ids, hidden).0;
        let width = states.dims()[2];
        let values = download(states)?;
        Ok(HostStates { values, width })
    }

    fn upload(&self, states: HostStates) -> Tensor<3> {
        let rows = states.values.len() / states.width;
        let data = TensorData::new(states.values, [1, rows, states.width]);
        Tensor::from_data(data, (self.device, DType::F32))
    }

    fn empty(&self) -> Result<HostStates, DiffusionError> {
        self.host(&[self.encoder.tokenizer.row(&[])], None)
    }

    fn conjunction(&self, prompts: &Conjunction) -> Result<Tensor<3>, DiffusionError> {
        let count = |part: &Part| match part {
            Part::Prompt(_) => 1,
            Part::Blend { prompts, .. } => prompts.len(),
        };
        if prompts.parts.iter().map(|(part, _)| count(part)).sum::<usize>() > PROMPTS_MAX {
            return Err(DiffusionError::spec("prompt", format!("more than {PROMPTS_MAX} prompts in one")));
        }
        let mut states = Vec::new();
        for (part, weight) in &prompts.parts {
            let mut part = match part {
                Part::Prompt(fragments) => self.weighted(fragments)?,
                Part::Blend { prompts, weights, normalize } => self.blend(prompts, weights, *normalize)?,
            };
            if *weight != 1.0 {
                let empty = self.empty()?;
                for (i, value) in part.values.iter_mut().enumerate() {
                    let zero = empty.values[i % empty.values.len()];
                    *value = zero + (*value - zero) * *weight as f32;
                }
            }
            states.push(self.upload(part));
        }
        Ok(Tensor::cat(states, 1))
    }

    fn blend(
        &self,
        prompts: &[Vec<Fragment>],
        weights: &[f64],
        normalize: bool,
    ) -> Result<HostStates, DiffusionError> {
        let states: Vec<HostStates> =
            prompts.iter().map(|fragments| self.weighted(fragments)).collect::<Result<_, _>>()?;
        let rows = |states: &HostStates| states.values.len() / states.width;
        let longest = states.iter().map(rows).max().unwrap_or(0);
        let empty = self.upload(self.empty()?);
        let total = if normalize { weights.iter().sum() } else { 1.0 };
        let width = self.encoder.model.hidden_size();
        let mut sum = vec![0.0f64; longest * width];
        for (states, weight) in states.into_iter().zip(weights) {
            let states = repeat_to(self.upload(states), &empty, longest);
            for (sum, value) in sum.iter_mut().zip(download(states)?) {
                *sum += weight / total * f64::from(value);
            }
        }
        Ok(HostStates { values: sum.into_iter().map(|value| value as f32).collect(), width })
    }

    /// Compel's rule. At 1 or above, a token moves away from the empty text. Below 1 it does the same, and
    /// is then mixed with the text in which its fragment is hidden, the more so the less it counts.
    fn weighted(&self, fragments: &[Fragment]) -> Result<HostStates, DiffusionError> {
        // Each of these is a further pass through the encoder.
        if fragments.iter().filter(|fragment| fragment.weight < 1.0).count() > LESSENED_MAX {
            let reason = format!("more than {LESSENED_MAX} passages weigh less than 1");
            return Err(DiffusionError::spec("prompt", reason));
        }
        let rows = token_rows(self.encoder, fragments, self.options.long_prompts)?;
        let whole = self.moved(&rows, None)?;
        let width = whole.width;
        let mut sum: Vec<f64> = whole.values.iter().map(|&value| f64::from(value)).collect();
        let mut total = 1.0;
        for (index, fragment) in fragments.iter().enumerate().filter(|(_, fragment)| fragment.weight < 1.0) {
            let hidden: Vec<Vec<bool>> = rows
                .fragment
                .iter()
                .map(|row| row.iter().map(|origin| *origin == Some(index)).collect())
                .collect();
            let share = ((1.0 - fragment.weight.max(1e-5)) * std::f64::consts::FRAC_PI_2).tan();
            let without = self.moved(&rows, Some(&hidden))?;
            for (sum, value) in sum.iter_mut().zip(without.values) {
                *sum += share * f64::from(value);
            }
            total += share;
        }
        let values = sum.into_iter().map(|value| (value / total) as f32).collect();
        Ok(HostStates { values, width })
    }

    /// Every token `weight` times as far from the empty text as it is.
    fn moved(&self, rows: &TokenRows, hidden: Option<&[Vec<bool>]>) -> Result<HostStates, DiffusionError> {
        let mut states = self.host(&rows.ids, hidden)?;
        let weights = || rows.weights.iter().flatten();
        if weights().all(|&weight| weight == 1.0) {
            return Ok(states);
        }
        let empty = self.empty()?;
        let width = states.width;
        for (token, &weight) in weights().enumerate().filter(|(_, weight)| **weight != 1.0) {
            for i in 0..width {
                let zero = empty.values[(token * width + i) % empty.values.len()];
                let value = &mut states.values[token * width + i];
                *value = zero + (*value - zero) * weight as f32;
            }
        }
        Ok(states)
    }

    fn native(&self, fragments: &[Fragment]) -> Result<Tensor<3>, DiffusionError> {
        let rows = token_rows(self.encoder, fragments, self.options.long_prompts)?;
        let mut states = self.host(&rows.ids, None)?;
        let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let length = self.encoder.tokenizer.max_length * states.width;
        for (row, weights) in states.values.chunks_mut(length).zip(&rows.weights) {
            let before = mean(row);
            for (token, weight) in row.chunks_mut(states.width).zip(weights) {
                token.iter_mut().for_each(|value| *value *= *weight as f32);
            }
            let after = mean(row);
            if weights.iter().any(|weight| *weight != 1.0) && after.abs() > f64::MIN_POSITIVE {
                row.iter_mut().for_each(|value| *value = (f64::from(*value) * (before / after)) as f32);
            }
        }
        Ok(self.upload(states))
    }
}
