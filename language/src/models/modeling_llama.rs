//! `transformers.models.llama.modeling_llama` in burn, for any of burn's devices.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Device, Tensor};

use super::configuration_llama::LlamaConfig;

/// `LlamaMLP`: `down(silu(gate(x)) * up(x))`.
#[derive(Module, Debug)]
pub struct LlamaMlp {
    pub(super) gate_proj: Linear,
    pub(super) up_proj: Linear,
    pub(super) down_proj: Linear,
}

impl LlamaMlp {
    /// Projections of the right shapes.
    pub fn init(config: &LlamaConfig, device: &Device) -> LlamaMlp {
        let linear = |from, to| LinearConfig::new(from, to).with_bias(config.mlp_bias).init(device);
        LlamaMlp {
            gate_proj: linear(config.hidden_size, config.intermediate_size),
            up_proj: linear(config.hidden_size, config.intermediate_size),
            down_proj: linear(config.intermediate_size, config.hidden_size),
        }
    }

    /// `[1, tokens, hidden]` → the same.
    pub fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let gate = silu(self.gate_proj.forward(hidden.clone()));
        self.down_proj.forward(gate * self.up_proj.forward(hidden))
    }
}

/// `LlamaAttention` with grouped queries.
#[derive(Module, Debug)]
pub struct LlamaAttention {
    pub(super) q_proj: Linear,
    pub(super) k_proj: Linear,
    pub(super) v_proj: Linear,
    pub(super) o_proj: Linear,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
}

/// Cosines and sines of the new positions, each `[1, 1, tokens, head_dim]`.
#[derive(Debug, Clone)]
pub struct PositionEmbeddings {
    /// Cosines, both halves alike.
    pub cos: Tensor<4>,
    /// Sines, both halves alike.
    pub sin: Tensor<4>,
}

/// Keys and values so far, each `[1, key_value_heads, positions, head_dim]`.
pub type LayerCache = Option<(Tensor<4>, Tensor<4>)>;

impl LlamaAttention {
    /// Projections of the right shapes.
    pub fn init(config: &LlamaConfig, device: &Device) -> LlamaAttention {
        let linear = |from, to, bias| LinearConfig::new(from, to).with_bias(bias).init(device);
        let (hidden, query, key) = (config.hidden_size, config.query_size(), config.key_value_size());
        LlamaAttention {
            q_proj: linear(hidden, query, config.qkv_bias),
            k_proj: linear(hidden, key, config.qkv_bias),
            v_proj: linear(hidden, key, config.qkv_bias),
            o_proj: linear(query, hidden, config.o_bias),
            heads: config.num_attention_heads,
            key_value_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        }
    }

    /// `hidden`: `[1, tokens, hidden]`, `mask`: `[1, 1, tokens, positions]`, added to the scores; absent for one token.
    pub fn forward(
        &self,
        hidden: Tensor<3>,
        positions: &PositionEmbeddings,
        mask: Option<&Tensor<4>>,
        cache: &mut LayerCache,
    ) -> Tensor<3> {
        let [_, tokens, _] = hidden.dims();
        let split = |x: Tensor<3>, heads: usize| x.reshape([1, tokens, heads, self.head_dim]).swap_dims(1, 2);
        let query = apply_rotary(split(self.q_proj.forward(hidden.clone()), self.heads), positions);
        let key = apply_rotary(split(self.k_proj.forward(hidden.clone()), self.key_value_heads), positions);
        let value = split(self.v_proj.forward(hidden), self.key_value_heads);
        let (key, value) = match cache.take() {
            Some((keys, values)) => (Tensor::cat(vec![keys, key], 2), Tensor::cat(vec![values, value], 2)),
            None => (key, value),
        };
        *cache = Some((key.clone(), value.clone()));
        let [_, _, seen, _] = key.dims();

        // Queries of a group share their key head: `[groups, queries of a group * tokens, dim]`.
        let group = self.heads / self.key_value_heads;
        let query = query.reshape([1, self.key_value_heads, group * tokens, self.head_dim]);
        let scale = 1.0 / (self.head_dim as f64).sqrt();
        let scores = query.matmul(key.swap_dims(2, 3)) * scale;
        let mut scores = scores.reshape([1, self.heads, tokens, seen]);
        if let Some(mask) = mask {
            scores = scores + mask.clone();
        }
        let shares = softmax(scores, 3).reshape([1, self.key_value_heads, group * tokens, seen]);
        let attended = shares.matmul(value).reshape([1, self.heads, tokens, self.head_dim]);
        let attended = attended.swap_dims(1, 2).reshape([1, tokens, self.heads * self.head_dim]);
        self.o_proj.forward(attended)
    }
}

/// `x * cos + rotate_half(x) * sin`.
fn apply_rotary(x: Tensor<4>, positions: &PositionEmbeddings) -> Tensor<4> {
    let halves = x.clone().chunk(2, 3);
    let rotated = Tensor::cat(vec![halves[1].clone().neg(), halves[0].clone()], 3);
    x * positions.cos.clone() + rotated * positions.sin.clone()
}

/// `LlamaDecoderLayer`.
#[derive(Module, Debug)]
pub struct LlamaDecoderLayer {
    pub(super) self_attn: LlamaAttention,
    pub(super) mlp: LlamaMlp,
    pub(super) input_layernorm: RmsNorm,
    pub(super) post_attention_layernorm: RmsNorm,
}

impl LlamaDecoderLayer {
    /// A layer of the right shape.
    pub fn init(config: &LlamaConfig, device: &Device) -> LlamaDecoderLayer {
        LlamaDecoderLayer {
            self_attn: LlamaAttention::init(config, device),
            mlp: LlamaMlp::init(config, device),
            input_layernorm: norm(config, device),
            post_attention_layernorm: norm(config, device),
        }
    }

    /// `[1, tokens, hidden]` → the same.
    pub fn forward(
        &self,
        hidden: Tensor<3>,
        positions: &PositionEmbeddings,
        mask: Option<&Tensor<4>>,
        cache: &mut LayerCache,
    ) -> Tensor<3> {
        let normed = self.input_layernorm.forward(hidden.clone());
        let hidden = hidden + self.self_attn.forward(normed, positions, mask, cache);
        let normed = self.post_attention_layernorm.forward(hidden.clone());
        hidden + self.mlp.forward(normed)
    }
}

/// `LlamaRMSNorm` of the model's width.
pub(super) fn norm(config: &LlamaConfig, device: &Device) -> RmsNorm {
    RmsNormConfig::new(config.hidden_size).with_epsilon(config.rms_norm_eps).init(device)
}
