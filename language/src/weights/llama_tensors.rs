//! Which tensor of the file is which part of a Llama-family model?

use super::{Checkpoint, PackedRows};
use crate::error::LanguageError;
use crate::models::configuration_llama::LlamaConfig;

/// Whose names and row order a file uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// transformers' own.
    HuggingFace,
    /// llama.cpp's; for the `llama` architecture the rows of q and k are permuted for interleaved rotation.
    Gguf,
}

/// Access to a checkpoint by transformers' module names.
pub struct LlamaTensors<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a LlamaConfig,
    naming: Naming,
}

impl<'a> LlamaTensors<'a> {
    /// Looks at `checkpoint` as a model of shape `config`.
    pub fn new(checkpoint: &'a Checkpoint, config: &'a LlamaConfig, naming: Naming) -> LlamaTensors<'a> {
        LlamaTensors { checkpoint, config, naming }
    }

    /// The model's shape.
    pub fn config(&self) -> &'a LlamaConfig {
        self.config
    }

    /// The embedding matrix, `[vocab, hidden]`.
    pub fn embed_tokens(&self) -> Result<PackedRows, LanguageError> {
        let name = match self.naming {
            Naming::HuggingFace => "model.embed_tokens.weight",
            Naming::Gguf => "token_embd.weight",
        };
        self.checkpoint.read_packed(name, &[self.config.vocab_size, self.config.hidden_size])
    }

    /// The last norm, `[hidden]`.
    pub fn norm(&self) -> Result<Vec<f32>, LanguageError> {
        let name = match self.naming {
            Naming::HuggingFace => "model.norm.weight",
            Naming::Gguf => "output_norm.weight",
        };
        self.checkpoint.read(name, &[self.config.hidden_size])
    }

    /// The output matrix, `[vocab, hidden]`; `None` where the embeddings serve.
    pub fn lm_head(&self) -> Result<Option<PackedRows>, LanguageError> {
        if self.config.tie_word_embeddings {
            return Ok(None);
        }
        let name = match self.naming {
            Naming::HuggingFace => "lm_head.weight",
            Naming::Gguf => "output.weight",
        };
        self.checkpoint.read_packed(name, &[self.config.vocab_size, self.config.hidden_size]).map(Some)
    }

    /// `input_layernorm` or `post_attention_layernorm` of a layer.
    pub fn layer_norm(&self, layer: usize, part: &str) -> Result<Vec<f32>, LanguageError> {
        self.checkpoint.read(&self.name(layer, part, "weight"), &[self.config.hidden_size])
    }

    /// The matrix of a projection such as `q_proj`, rows in transformers' order.
    pub fn layer_weight(&self, layer: usize, part: &str) -> Result<PackedRows, LanguageError> {
        let (rows, width) = self.shape(part);
        let mut packed = self.checkpoint.read_packed(&self.name(layer, part, "weight"), &[rows, width])?;
        let row_bytes = packed.row_bytes();
        self.restore_order(part, row_bytes, &mut packed.bytes);
        Ok(packed)
    }

    /// The bias of a projection.
    pub fn layer_bias(&self, layer: usize, part: &str) -> Result<Vec<f32>, LanguageError> {
        let mut bias = self.checkpoint.read(&self.name(layer, part, "bias"), &[self.shape(part).0])?;
        self.restore_order(part, 1, &mut bias);
        Ok(bias)
    }

    /// Rows and columns of a projection.
    pub fn shape(&self, part: &str) -> (usize, usize) {
        let config = self.config;
        match part {
            "q_proj" => (config.query_size(), config.hidden_size),
            "k_proj" | "v_proj" => (config.key_value_size(), config.hidden_size),
            "o_proj" => (config.hidden_size, config.query_size()),
            "down_proj" => (config.hidden_size, config.intermediate_size),
            _ => (config.intermediate_size, config.hidden_size),
        }
    }

    fn name(&self, layer: usize, part: &str, kind: &str) -> String {
        let (folder, short) = match part {
            "q_proj" => ("self_attn.", "attn_q"),
            "k_proj" => ("self_attn.", "attn_k"),
            "v_proj" => ("self_attn.", "attn_v"),
            "o_proj" => ("self_attn.", "attn_output"),
            "gate_proj" => ("mlp.", "ffn_gate"),
            "up_proj" => ("mlp.", "ffn_up"),
            "down_proj" => ("mlp.", "ffn_down"),
            "input_layernorm" => ("", "attn_norm"),
            _ => ("", "ffn_norm"),
        };
        match self.naming {
            Naming::HuggingFace => format!("model.layers.{layer}.{folder}{part}.{kind}"),
            Naming::Gguf => format!("blk.{layer}.{short}.{kind}"),
        }
    }

    /// Undoes llama.cpp's permutation: within a head, row `2 i + half` becomes row `half * dim / 2 + i`.
    fn restore_order<T: Clone + Copy>(&self, part: &str, width: usize, numbers: &mut [T]) {
        let permuted = self.naming == Naming::Gguf && self.config.model_type == "llama";
        if !permuted || !matches!(part, "q_proj" | "k_proj") {
            return;
        }
        let head_dim = self.config.head_dim;
        for head in numbers.chunks_exact_mut(head_dim * width) {
            let stored = head.to_vec();
            for (row, numbers) in stored.chunks_exact(width).enumerate() {
                let to = (row % 2) * head_dim / 2 + row / 2;
                head[to * width..(to + 1) * width].copy_from_slice(numbers);
            }
        }
    }
}
