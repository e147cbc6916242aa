//! `unet/config.json`: what a UNet of the Stable Diffusion family may look like.

use serde::Deserialize;

use crate::DiffusionError;
use crate::config::{OneOrMany, bounded, only};

const FILE: &str = "unet/config.json";

/// The keys of `unet/config.json` that shape the network; what is not drawn here is refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct UNet2DConditionConfig {
    pub in_channels: usize,
    pub out_channels: usize,
    pub sample_size: Option<usize>,
    pub block_out_channels: Vec<usize>,
    pub down_block_types: Vec<String>,
    pub up_block_types: Vec<String>,
    pub mid_block_type: Option<String>,
    pub layers_per_block: OneOrMany,
    pub transformer_layers_per_block: OneOrMany,
    pub attention_head_dim: OneOrMany,
    pub num_attention_heads: Option<OneOrMany>,
    pub cross_attention_dim: OneOrMany,
    pub use_linear_projection: bool,
    pub norm_num_groups: usize,
    pub norm_eps: f64,
    pub flip_sin_to_cos: bool,
    pub freq_shift: f64,
    pub downsample_padding: usize,
    pub addition_embed_type: Option<String>,
    pub addition_time_embed_dim: Option<usize>,
    pub projection_class_embeddings_input_dim: Option<usize>,
    pub time_cond_proj_dim: Option<usize>,
    pub class_embed_type: Option<String>,
    pub num_class_embeds: Option<usize>,
    pub encoder_hid_dim: Option<usize>,
    pub encoder_hid_dim_type: Option<String>,
    pub act_fn: String,
    pub time_embedding_type: String,
    pub time_embedding_dim: Option<usize>,
    pub time_embedding_act_fn: Option<String>,
    pub timestep_post_act: Option<String>,
    pub resnet_time_scale_shift: String,
    pub resnet_skip_time_act: bool,
    pub resnet_out_scale_factor: f64,
    pub mid_block_scale_factor: f64,
    pub mid_block_only_cross_attention: Option<bool>,
    pub only_cross_attention: bool,
    pub dual_cross_attention: bool,
    pub cross_attention_norm: Option<String>,
    pub center_input_sample: bool,
    pub conv_in_kernel: usize,
    pub conv_out_kernel: usize,
    pub attention_type: String,
    pub reverse_transformer_layers_per_block: Option<serde_json::Value>,
}

impl Default for UNet2DConditionConfig {
    fn default() -> Self {
        let blocks = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Self {
            in_channels: 4,
            out_channels: 4,
            sample_size: None,
            block_out_channels: vec![320, 640, 1280, 1280],
            down_block_types: blocks(&[
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "CrossAttnDownBlock2D",
                "DownBlock2D",
            ]),
            up_block_types: blocks(&[
                "UpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
            ]),
            mid_block_type: Some("UNetMidBlock2DCrossAttn".into()),
            layers_per_block: OneOrMany::One(2),
            transformer_layers_per_block: OneOrMany::One(1),
            attention_head_dim: OneOrMany::One(8),
            num_attention_heads: None,
            cross_attention_dim: OneOrMany::One(1280),
            use_linear_projection: false,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            downsample_padding: 1,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
            time_cond_proj_dim: None,
            class_embed_type: None,
            num_class_embeds: None,
            encoder_hid_dim: None,
            encoder_hid_dim_type: None,
            act_fn: "silu".into(),
            time_embedding_type: "positional".into(),
            time_embedding_dim: None,
            time_embedding_act_fn: None,
            timestep_post_act: None,
            resnet_time_scale_shift: "default".into(),
            resnet_skip_time_act: false,
            resnet_out_scale_factor: 1.0,
            mid_block_scale_factor: 1.0,
            mid_block_only_cross_attention: None,
            only_cross_attention: false,
            dual_cross_attention: false,
            cross_attention_norm: None,
            center_input_sample: false,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
            attention_type: "default".into(),
            reverse_transformer_layers_per_block: None,
        }
    }
}

/// One level of the network, its lists spread out.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct UNetLevel {
    pub channels: usize,
    pub layers: usize,
    pub transformer_layers: usize,
    pub heads: usize,
    pub cross_attention_dim: usize,
    pub down_attends: bool,
    pub up_attends: bool,
}

impl UNet2DConditionConfig {
    /// Refuses what is not drawn here, and sizes that no model has.
    pub fn check(&self) -> Result<(), DiffusionError> {
        let refuse = |field: &str, reason: &str| Err(DiffusionError::config(FILE, field, reason));
        bounded(FILE, "in_channels", self.in_channels, 64)?;
        bounded(FILE, "out_channels", self.out_channels, 64)?;
        bounded(FILE, "block_out_channels", self.block_out_channels.len(), 8)?;
        for &channels in &self.block_out_channels {
            bounded(FILE, "block_out_channels", channels, 8192)?;
            if self.norm_num_groups == 0 || channels % self.norm_num_groups != 0 {
                return refuse("norm_num_groups", "does not divide block_out_channels");
            }
            if channels % 2 != 0 {
                return refuse("block_out_channels", "must be even");
            }
        }
        only(FILE, "act_fn", &self.act_fn, &["silu", "swish"])?;
        only(FILE, "time_embedding_type", &self.time_embedding_type, &["positional"])?;
        only(FILE, "resnet_time_scale_shift", &self.resnet_time_scale_shift, &["default"])?;
        only(FILE, "attention_type", &self.attention_type, &["default"])?;
        if let Some(kind) = &self.mid_block_type {
            only(FILE, "mid_block_type", kind, &["UNetMidBlock2DCrossAttn"])?;
        }
        if let Some(kind) = &self.addition_embed_type {
            only(FILE, "addition_embed_type", kind, &["text_time"])?;
            bounded(FILE, "addition_time_embed_dim", self.addition_time_embed_dim.unwrap_or(0), 8192)?;
            let width = self.projection_class_embeddings_input_dim.unwrap_or(0);
            bounded(FILE, "projection_class_embeddings_input_dim", width, 65_536)?;
        }
        let unknown = [
            ("time_cond_proj_dim", self.time_cond_proj_dim.is_some()),
            ("class_embed_type", self.class_embed_type.is_some()),
            ("num_class_embeds", self.num_class_embeds.is_some()),
            ("encoder_hid_dim", self.encoder_hid_dim.is_some()),
            ("encoder_hid_dim_type", self.encoder_hid_dim_type.is_some()),
            ("time_embedding_act_fn", self.time_embedding_act_fn.is_some()),
            ("timestep_post_act", self.timestep_post_act.is_some()),
            ("cross_attention_norm", self.cross_attention_norm.is_some()),
            ("mid_block_only_cross_attention", self.mid_block_only_cross_attention == Some(true)),
            ("only_cross_attention", self.only_cross_attention),
            ("dual_cross_attention", self.dual_cross_attention),
            ("center_input_sample", self.center_input_sample),
            ("resnet_skip_time_act", self.resnet_skip_time_act),
            ("resnet_out_scale_factor", self.resnet_out_scale_factor != 1.0),
            ("mid_block_scale_factor", self.mid_block_scale_factor != 1.0),
            ("conv_in_kernel", self.conv_in_kernel != 3),
            ("conv_out_kernel", self.conv_out_kernel != 3),
            ("downsample_padding", self.downsample_padding != 1),
            ("reverse_transformer_layers_per_block", self.reverse_transformer_layers_per_block.is_some()),
        ];
        match unknown.iter().find(|(_, set)| *set) {
            Some((field, _)) => refuse(field, "this value is not supported"),
            None => self.levels().map(|_| ()),
        }
    }

    /// The levels from the largest picture to the smallest.
    pub fn levels(&self) -> Result<Vec<UNetLevel>, DiffusionError> {
        let count = self.block_out_channels.len();
        for (field, list) in
            [("down_block_types", &self.down_block_types), ("up_block_types", &self.up_block_types)]
        {
            if list.len() != count {
                return Err(DiffusionError::config(FILE, field, format!("{count} entries expected")));
            }
        }
        let heads = self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim);
        (0..count)
            .map(|i| {
                let channels = self.block_out_channels[i];
                let down = &self.down_block_types[i];
                let up = &self.up_block_types[count - 1 - i];
                only(FILE, "down_block_types", down, &["CrossAttnDownBlock2D", "DownBlock2D"])?;
                only(FILE, "up_block_types", up, &["CrossAttnUpBlock2D", "UpBlock2D"])?;
                let level = UNetLevel {
                    channels,
                    layers: self.layers_per_block.at(FILE, "layers_per_block", i, count)?,
                    transformer_layers: self.transformer_layers_per_block.at(
                        FILE,
                        "transformer_layers_per_block",
                        i,
                        count,
                    )?,
                    heads: heads.at(FILE, "attention_head_dim", i, count)?,
                    cross_attention_dim: self.cross_attention_dim.at(
                        FILE,
                        "cross_attention_dim",
                        i,
                        count,
                    )?,
                    down_attends: down.starts_with("CrossAttn"),
                    up_attends: up.starts_with("CrossAttn"),
                };
                bounded(FILE, "layers_per_block", level.layers, 16)?;
                bounded(FILE, "transformer_layers_per_block", level.transformer_layers, 64)?;
                bounded(FILE, "cross_attention_dim", level.cross_attention_dim, 65_536)?;
                bounded(FILE, "attention_head_dim", level.heads, 1024)?;
                if !channels.is_multiple_of(level.heads) {
                    let reason = format!("{} heads do not divide {channels} channels", level.heads);
                    return Err(DiffusionError::config(FILE, "attention_head_dim", reason));
                }
                Ok(level)
            })
            .collect()
    }

    /// Width of the timestep embedding.
    pub fn time_embed_dim(&self) -> usize {
        self.time_embedding_dim.unwrap_or(self.block_out_channels[0] * 4).min(65_536)
    }

    /// Whether the network takes pooled text and sizes, as SDXL does.
    pub fn takes_text_time(&self) -> bool {
        self.addition_embed_type.is_some()
    }
}
