//! `diffusers.models.embeddings.ImageProjection`, `IPAdapterPlusImageProjection` and the keys and values of
//! `IPAdapterAttnProcessor`: a picture as a few tokens beside the text (H. Ye et al., "IP-Adapter", 2023). Fields carry
//! the names of the published files.

use burn::module::{Module, Param, ParamId};
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::attention_context::{ImageAttention, ImageKeys};
use super::unets::unet_2d_condition::{TransformerPlace, UNetPart};
use crate::clip_vision_model::ClipVisionOutput;
use crate::ops;
use crate::ops::layers::{Linear, LinearConfig};

/// Width of a head of the perceiver.
pub const HEAD_WIDTH: usize = 64;

/// A whole file.
#[derive(Module, Debug)]
pub struct IpAdapter {
    image_proj: ImageProjection,
    /// At the odd places, of which each is a cross-attention layer.
    ip_adapter: Vec<Option<IpKeys>>,
}

/// From what the encoder says to tokens.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum ImageProjection {
    /// The standard one: one vector becomes a few tokens.
    Standard(LinearProjection),
    /// Plus: a perceiver over the states of all patches.
    Plus(Resampler),
}

/// `ImageProjModel` of the original.
#[derive(Module, Debug)]
pub struct LinearProjection {
    proj: Linear,
    norm: LayerNorm,
}

/// `Resampler` of the original.
#[derive(Module, Debug)]
pub struct Resampler {
    latents: Param<Tensor<3>>,
    proj_in: Linear,
    layers: Vec<(PerceiverAttention, (LayerNorm, Linear, Dropout, Linear))>,
    proj_out: Linear,
    norm_out: LayerNorm,
}

/// `PerceiverAttention` of the original.
#[derive(Module, Debug)]
pub struct PerceiverAttention {
    norm1: LayerNorm,
    norm2: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
}

/// Keys and values of one cross-attention layer.
#[derive(Module, Debug)]
pub struct IpKeys {
    to_k_ip: Linear,
    to_v_ip: Linear,
}

/// The shape of an adapter, found from its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectionShape {
    /// Width of the encoder's vector, and tokens.
    Standard {
        /// Width of the encoder's vector.
        embeds: usize,
        /// How many tokens a picture becomes.
        tokens: usize,
    },
    /// The perceiver's.
    Plus {
        /// Width of the encoder's states.
        states: usize,
        /// How many tokens a picture becomes.
        tokens: usize,
        /// Width inside.
        width: usize,
        /// Width of all heads.
        heads_width: usize,
        /// Layers.
        layers: usize,
        /// Width of the feed-forward.
        inner: usize,
    },
}

impl ProjectionShape {
    /// An adapter whose weights are still to be loaded; `cross` is the width of the text, `widths` are those of the
    /// blocks in the file's order.
    pub fn init(&self, cross: usize, widths: &[usize], device: &Device) -> IpAdapter {
        let linear = |from, to, bias| LinearConfig::new(from, to).with_bias(bias).init(device);
        let norm = |width| LayerNormConfig::new(width).with_epsilon(1e-5).init(device);
        let image_proj = match *self {
            Self::Standard { embeds, tokens } => ImageProjection::Standard(LinearProjection {
                proj: linear(embeds, tokens * cross, true),
                norm: norm(cross),
            }),
            Self::Plus { states, tokens, width, heads_width, layers, inner } => {
                let layer = || {
                    let attention = PerceiverAttention {
                        norm1: norm(width),
                        norm2: norm(width),
                        to_q: linear(width, heads_width, false),
                        to_kv: linear(width, heads_width * 2, false),
                        to_out: linear(heads_width, width, false),
                    };
                    let dropout = DropoutConfig::new(0.0).init();
                    (
                        attention,
                        (norm(width), linear(width, inner, false), dropout, linear(inner, width, false)),
                    )
                };
                ImageProjection::Plus(Resampler {
                    latents: Param::initialized(ParamId::new(), Tensor::zeros([1, tokens, width], device)),
                    proj_in: linear(states, width, true),
                    layers: (0..layers).map(|_| layer()).collect(),
                    proj_out: linear(width, cross, true),
                    norm_out: norm(cross),
                })
            }
        };
        let keys = |width: usize| {
            let key = || linear(cross, width, false);
            [None, Some(IpKeys { to_k_ip: key(), to_v_ip: key() })]
        };
        IpAdapter { image_proj, ip_adapter: widths.iter().flat_map(|width| keys(*width)).collect() }
    }
}

impl IpAdapter {
    /// What it takes of an encoder's output, `[batch, n, width]`.
    pub fn encoder_embeds(&self, output: &ClipVisionOutput) -> Tensor<3> {
        match &self.image_proj {
            ImageProjection::Standard(_) => output.image_embeds.clone().unsqueeze_dim::<3>(1),
            ImageProjection::Plus(_) => output.penultimate(),
        }
    }

    /// Whether the negative half is a picture of zeros rather than a vector of zeros.
    pub fn sees_patches(&self) -> bool {
        matches!(self.image_proj, ImageProjection::Plus(_))
    }

    /// Tokens of pictures: `[batch, n, width]` as [`encoder_embeds`](Self::encoder_embeds) has it →
    /// `[batch, tokens, text]`.
    pub fn tokens(&self, embeds: Tensor<3>) -> Tensor<3> {
        match &self.image_proj {
            ImageProjection::Standard(projection) => {
                let batch = embeds.dims()[0];
                let x = projection.proj.forward(embeds);
                let width = projection.norm.gamma.dims()[0];
                let tokens = x.dims()[2] / width;
                projection.norm.forward(x.reshape([batch, tokens, width]))
            }
            ImageProjection::Plus(resampler) => resampler.forward(embeds),
        }
    }

    /// Keys and values for the blocks of a UNet, of which `places` are the transformers in the order in which they run;
    /// a scale for each block in that order.
    pub fn attention(
        &self,
        tokens: &Tensor<3>,
        places: &[TransformerPlace],
        scales: &[f64],
    ) -> ImageAttention {
        let order = order_in_files(places);
        let keys = |(block, scale): (usize, &f64)| {
            let keys = self.ip_adapter.get(2 * order[block] + 1)?.as_ref().filter(|_| *scale != 0.0)?;
            Some(ImageKeys {
                key: keys.to_k_ip.forward(tokens.clone()),
                value: keys.to_v_ip.forward(tokens.clone()),
                scale: *scale,
            })
        };
        ImageAttention { blocks: scales.iter().take(order.len()).enumerate().map(keys).collect() }
    }
}

/// For each transformer block in the order in which they run its place in files: down, up, mid.
fn order_in_files(places: &[TransformerPlace]) -> Vec<usize> {
    // How many levels there are does not bear on the rank.
    let rank = |place: &TransformerPlace| place.rank_and_level(0).0;
    let blocks: Vec<u8> =
        places.iter().flat_map(|place| std::iter::repeat_n(rank(place), place.blocks)).collect();
    let mut by_file: Vec<usize> = (0..blocks.len()).collect();
    by_file.sort_by_key(|block| (blocks[*block], *block));
    let mut order = vec![0; blocks.len()];
    by_file.into_iter().enumerate().for_each(|(place, block)| order[block] = place);
    order
}

/// Widths of the blocks in the order of files.
pub fn widths_in_files(places: &[TransformerPlace], block_out_channels: &[usize]) -> Vec<usize> {
    let width =
        |place: &TransformerPlace| block_out_channels[place.rank_and_level(block_out_channels.len()).1];
    let widths: Vec<usize> =
        places.iter().flat_map(|place| std::iter::repeat_n(width(place), place.blocks)).collect();
    let mut sorted = vec![0; widths.len()];
    order_in_files(places).into_iter().zip(widths).for_each(|(place, width)| sorted[place] = width);
    sorted
}

/// Scales of blocks as diffusers' `set_ip_adapter_scale` takes them: one number, or
/// `{"down": {"block_1": [0.0, 1.0]}, "mid": 0.5, "up": {"block_0": 1.0}}`, where what is not named gets 0. The answer has
/// one for each transformer block in the order in which they run; the message says what is wrong and what there is.
pub fn block_scales(scale: &Value, places: &[TransformerPlace]) -> Result<Vec<f64>, String> {
    let blocks = |scales: Vec<f64>| {
        let each = places.iter().zip(scales);
        each.flat_map(|(place, scale)| std::iter::repeat_n(scale, place.blocks)).collect()
    };
    if let Some(one) = scale.as_f64() {
        return Ok(blocks(vec![one; places.len()]));
    }
    let parts = scale.as_object().ok_or("it is neither a number nor an object of down, mid and up")?;
    if let Some(other) = parts.keys().find(|part| !["down", "mid", "up"].contains(&part.as_str())) {
        return Err(format!("{other:?} is none of down, mid, up"));
    }
    let mut scales = vec![0.0; places.len()];
    for (side, value) in parts {
        let of_side = |part: UNetPart| match part {
            UNetPart::Down(level) => (side == "down").then_some(level),
            UNetPart::Mid => (side == "mid").then_some(0),
            UNetPart::Up(level) => (side == "up").then_some(level),
        };
        let mut set = |level: Option<usize>, value: &Value, name: &str| {
            let chosen: Vec<usize> = (0..places.len())
                .filter(|i| of_side(places[*i].part).is_some_and(|found| level.is_none_or(|it| it == found)))
                .collect();
            let numbers = match value {
                Value::Array(list) => list.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>(),
                value => value.as_f64().map(|one| vec![one; chosen.len()]),
            };
            let numbers =
                numbers.ok_or_else(|| format!("{name} is neither a number nor a list of numbers"))?;
            if numbers.len() != chosen.len() || chosen.is_empty() {
                return Err(format!(
                    "{name} has {} numbers; the model has {} layers there",
                    numbers.len(),
                    chosen.len()
                ));
            }
            chosen.into_iter().zip(numbers).for_each(|(place, number)| scales[place] = number);
            Ok(())
        };
        match value {
            Value::Object(levels) if side != "mid" => {
                for (name, value) in levels {
                    let level = name.strip_prefix("block_").and_then(|level| level.parse().ok());
                    let level = level.ok_or_else(|| format!("{side}.{name:?} is not block_0, block_1, …"))?;
                    set(Some(level), value, &format!("{side}.{name}"))?;
                }
            }
            value => set(None, value, side)?,
        }
    }
    Ok(blocks(scales))
}

impl Resampler {
    fn forward(&self, states: Tensor<3>) -> Tensor<3> {
        let latents = self.latents.val();
        let mut latents = latents.repeat_dim(0, states.dims()[0]);
        let states = self.proj_in.forward(states);
        for (attention, (norm, up, _, down)) in &self.layers {
            latents = attention.forward(states.clone(), latents.clone()) + latents;
            latents = down.forward(ops::gelu(up.forward(norm.forward(latents.clone())))) + latents;
        }
        self.norm_out.forward(self.proj_out.forward(latents))
    }
}

impl PerceiverAttention {
    fn forward(&self, states: Tensor<3>, latents: Tensor<3>) -> Tensor<3> {
        let (states, latents) = (self.norm1.forward(states), self.norm2.forward(latents));
        let query = self.to_q.forward(latents.clone());
        let both = self.to_kv.forward(Tensor::cat(vec![states, latents], 1));
        let width = query.dims()[2];
        let (key, value) = (both.clone().narrow(2, 0, width), both.narrow(2, width, width));
        self.to_out.forward(ops::attention(query, key, value, width / HEAD_WIDTH))
    }
}
