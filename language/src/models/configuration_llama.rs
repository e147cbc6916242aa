//! What shape has a Llama-family model, as `config.json` or GGUF metadata tells it?

use serde::Deserialize;
use serde_json::Value;

use crate::error::LanguageError;
use crate::weights::Checkpoint;
use crate::weights::gguf::Metadata;

const LAYERS_MAX: usize = 1024;
const WIDTH_MAX: usize = 1 << 18;
const VOCAB_MAX: usize = 1 << 22;
const CONTEXT_MAX: usize = 1 << 24;

/// How rotary frequencies are stretched beyond the trained length.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions are divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies are divided, high ones kept, those between blended.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The trained context length.
        original_max_position_embeddings: f64,
    },
    /// One divisor per frequency, as GGUF's `rope_freqs.weight` stores Llama 3.1's rule.
    Divisors(Vec<f32>),
}

/// `transformers.LlamaConfig` and `Qwen2Config`, as far as inference needs them.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// `llama`, `qwen2` or `mistral`.
    pub model_type: String,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads, each shared by a group of query heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Longest context the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary wavelengths.
    pub rope_theta: f64,
    /// How the frequencies are stretched.
    pub rope_scaling: RopeScaling,
    /// Whether the output matrix is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub o_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
}

#[derive(Deserialize)]
struct RawConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<String>,
    use_sliding_window: Option<bool>,
    sliding_window: Option<Value>,
}

impl LlamaConfig {
    /// Reads a Hugging Face `config.json`.
    pub fn from_hugging_face(json: &Value) -> Result<LlamaConfig, LanguageError> {
        let raw = RawConfig::deserialize(json)
            .map_err(|error| LanguageError::malformed("config.json", error.to_string()))?;
        let qwen = raw.model_type == "qwen2";
        if !matches!(raw.model_type.as_str(), "llama" | "qwen2" | "mistral") {
            return Err(LanguageError::unsupported(
                "model_type",
                format!("{}; llama, qwen2 and mistral are supported", raw.model_type),
            ));
        }
        if raw.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err(LanguageError::unsupported("hidden_act", raw.hidden_act.unwrap_or_default()));
        }
        // Qwen 2 names a window that it does not use; in Mistral naming one means using it.
        let window = raw.sliding_window.is_some_and(|window| !window.is_null());
        if raw.use_sliding_window.unwrap_or(raw.model_type == "mistral" && window) {
            return Err(LanguageError::unsupported("sliding_window", "windowed attention"));
        }
        // transformers 5 writes rope_parameters, with the base inside; earlier ones rope_scaling beside it.
        let rope = raw.rope_parameters.or(raw.rope_scaling).unwrap_or(Value::Null);
        let theta = rope.get("rope_theta").and_then(Value::as_f64).or(raw.rope_theta).unwrap_or(10_000.0);
        let heads = raw.num_attention_heads;
        let attention_bias = raw.attention_bias.unwrap_or(false);
        let config = LlamaConfig {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: raw.num_key_value_heads.unwrap_or(heads),
            head_dim: raw.head_dim.unwrap_or(raw.hidden_size.checked_div(heads).unwrap_or(0)),
            max_position_embeddings: raw.max_position_embeddings.unwrap_or(2048),
            rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
            rope_theta: theta,
            rope_scaling: rope_scaling(&rope)?,
            tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(false),
            qkv_bias: qwen || attention_bias,
            o_bias: !qwen && attention_bias,
            mlp_bias: raw.mlp_bias.unwrap_or(false),
            model_type: raw.model_type,
        };
        config.check()?;
        Ok(config)
    }

    /// Reads the metadata of a GGUF file; some facts only its list of tensors tells.
    pub fn from_gguf(metadata: &Metadata, checkpoint: &Checkpoint) -> Result<LlamaConfig, LanguageError> {
        let architecture = metadata
            .text("general.architecture")?
            .ok_or_else(|| LanguageError::malformed("general.architecture", "is missing"))?
            .to_string();
        if !matches!(architecture.as_str(), "llama" | "qwen2") {
            return Err(LanguageError::unsupported(
                "general.architecture",
                format!("{architecture}; llama and qwen2 are supported"),
            ));
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let needed = |name: &str| {
            let key = key(name);
            metadata.count(&key)?.ok_or_else(|| LanguageError::malformed(key, "is missing"))
        };
        if checkpoint.tensors().keys().any(|name| name.contains("_exps")) {
            return Err(LanguageError::unsupported("expert tensors", "mixtures of experts"));
        }
        let heads = needed("attention.head_count")?;
        let hidden_size = needed("embedding_length")?;
        let embedding = checkpoint
            .tensors()
            .get("token_embd.weight")
            .ok_or_else(|| LanguageError::MissingTensor { name: "token_embd.weight".into() })?;
        let head_dim = metadata
            .count(&key("attention.key_length"))?
            .unwrap_or(hidden_size.checked_div(heads).unwrap_or(0));
        if let Some(rotated) = metadata.count(&key("rope.dimension_count"))?
            && rotated != head_dim
        {
            return Err(LanguageError::unsupported(key("rope.dimension_count"), rotated.to_string()));
        }
        let config = LlamaConfig {
            vocab_size: embedding.shape[0],
            hidden_size,
            intermediate_size: needed("feed_forward_length")?,
            num_hidden_layers: needed("block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: metadata.count(&key("attention.head_count_kv"))?.unwrap_or(heads),
            head_dim,
            max_position_embeddings: metadata.count(&key("context_length"))?.unwrap_or(2048),
            rms_norm_eps: metadata.number(&key("attention.layer_norm_rms_epsilon"))?.unwrap_or(1e-6),
            rope_theta: metadata.number(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            rope_scaling: gguf_scaling(metadata, &architecture, checkpoint)?,
            tie_word_embeddings: !checkpoint.contains("output.weight"),
            qkv_bias: checkpoint.contains("blk.0.attn_q.bias"),
            o_bias: checkpoint.contains("blk.0.attn_output.bias"),
            mlp_bias: checkpoint.contains("blk.0.ffn_gate.bias"),
            model_type: architecture,
        };
        config.check()?;
        Ok(config)
    }

    /// Width of all key (or value) heads together.
    pub fn key_value_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Width of all query heads together.
    pub fn query_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    fn check(&self) -> Result<(), LanguageError> {
        let within = |name: &str, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(LanguageError::malformed(name, format!("{value} is not within 1 and {max}")))
            }
        };
        within("num_hidden_layers", self.num_hidden_layers, LAYERS_MAX)?;
        within("hidden_size", self.hidden_size, WIDTH_MAX)?;
        within("intermediate_size", self.intermediate_size, WIDTH_MAX)?;
        within("num_attention_heads", self.num_attention_heads, WIDTH_MAX)?;
        within("num_key_value_heads", self.num_key_value_heads, self.num_attention_heads)?;
        within("head_dim", self.head_dim, WIDTH_MAX)?;
        within("query heads times head_dim", self.query_size(), WIDTH_MAX)?;
        within("vocab_size", self.vocab_size, VOCAB_MAX)?;
        within("max_position_embeddings", self.max_position_embeddings, CONTEXT_MAX)?;
        if !self.head_dim.is_multiple_of(2) {
            return Err(LanguageError::malformed("head_dim", format!("{} is odd", self.head_dim)));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(LanguageError::malformed(
                "num_key_value_heads",
                format!("{} does not divide {}", self.num_key_value_heads, self.num_attention_heads),
            ));
        }
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(LanguageError::malformed(name, value.to_string()))
            }
        };
        positive("rms_norm_eps", self.rms_norm_eps)?;
        positive("rope_theta", self.rope_theta)?;
        match &self.rope_scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("rope factor", *factor),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                positive("rope factor", *factor)?;
                positive("low_freq_factor", *low_freq_factor)?;
                positive("high_freq_factor - low_freq_factor", high_freq_factor - low_freq_factor)?;
                positive("original_max_position_embeddings", *original_max_position_embeddings)
            }
            RopeScaling::Divisors(divisors) => {
                if divisors.len() != self.head_dim / 2 {
                    return Err(LanguageError::TensorShape {
                        name: "rope_freqs.weight".into(),
                        expected: vec![self.head_dim / 2],
                        found: vec![divisors.len()],
                    });
                }
                divisors.iter().try_for_each(|divisor| positive("rope_freqs.weight", f64::from(*divisor)))
            }
        }
    }
}

fn rope_scaling(rope: &Value) -> Result<RopeScaling, LanguageError> {
    let kind =
        rope.get("rope_type").or_else(|| rope.get("type")).and_then(Value::as_str).unwrap_or("default");
    let number = |name: &str| {
        rope.get(name)
            .and_then(Value::as_f64)
            .ok_or_else(|| LanguageError::malformed(format!("rope_scaling.{name}"), "a number is needed"))
    };
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: number("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: number("factor")?,
            low_freq_factor: number("low_freq_factor")?,
            high_freq_factor: number("high_freq_factor")?,
            original_max_position_embeddings: number("original_max_position_embeddings")?,
        }),
        other => Err(LanguageError::unsupported("rope_scaling.rope_type", other)),
    }
}

fn gguf_scaling(
    metadata: &Metadata,
    architecture: &str,
    checkpoint: &Checkpoint,
) -> Result<RopeScaling, LanguageError> {
    if let Some(entry) = checkpoint.tensors().get("rope_freqs.weight") {
        return Ok(RopeScaling::Divisors(checkpoint.read("rope_freqs.weight", &entry.shape.clone())?));
    }
    let key = format!("{architecture}.rope.scaling.type");
    match metadata.text(&key)? {
        None | Some("none") => Ok(RopeScaling::None),
        Some("linear") => {
            let factor = metadata.number(&format!("{architecture}.rope.scaling.factor"))?.unwrap_or(1.0);
            Ok(RopeScaling::Linear { factor })
        }
        Some(other) => Err(LanguageError::unsupported(key, other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> Value {
        json!({
            "model_type": "llama", "vocab_size": 32, "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_act": "silu"
        })
    }

    fn with(key: &str, value: Value) -> Result<LlamaConfig, LanguageError> {
        let mut json = base();
        json[key] = value;
        LlamaConfig::from_hugging_face(&json)
    }

    #[test]
    fn both_spellings_of_rope_are_read() {
        let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_theta": 5e5});
        let old = with("rope_scaling", llama3.clone()).unwrap();
        let new = with("rope_parameters", llama3).unwrap();
        assert_eq!(old.rope_scaling, new.rope_scaling);
        assert_eq!(new.rope_theta, 5e5);
        let linear = with("rope_scaling", json!({"type": "linear", "factor": 2.0})).unwrap();
        assert_eq!(linear.rope_scaling, RopeScaling::Linear { factor: 2.0 });
        assert!(with("rope_scaling", json!({"type": "yarn", "factor": 2.0})).is_err());
    }

    #[test]
    fn qwen_has_biases_on_q_k_and_v_only() {
        let config = with("model_type", json!("qwen2")).unwrap();
        assert!(config.qkv_bias && !config.o_bias && !config.mlp_bias);
    }

    #[test]
    fn impossible_shapes_are_refused_by_name() {
        for (key, value) in [
            ("num_attention_heads", json!(0)),
            ("num_attention_heads", json!(-3)),
            ("num_key_value_heads", json!(3)),
            ("head_dim", json!(3)),
            ("hidden_size", json!(u64::MAX)),
            ("num_hidden_layers", json!(100_000)),
            ("rms_norm_eps", json!(-1.0)),
            ("rope_theta", json!(0)),
            ("hidden_act", json!("gelu")),
            ("model_type", json!("mamba")),
            ("vocab_size", json!("many")),
            ("use_sliding_window", json!(true)),
        ] {
            assert!(with(key, value.clone()).is_err(), "{key} = {value}");
        }
    }
}
