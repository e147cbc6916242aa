//! How does a Llama-family model run on a burn device, such as a graphics card?

use burn::module::{Module, Param};
use burn::nn::{Linear, RmsNorm};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::configuration_llama::LlamaConfig;
use super::modeling_llama::{LayerCache, LlamaDecoderLayer, PositionEmbeddings, norm};
use super::rope::Rope;
use crate::causal_lm::{CausalLm, Scores, Step};
use crate::error::LanguageError;
use crate::weights::{LlamaTensors, PackedRows};

/// `LlamaForCausalLM`; fields carry the checkpoint's key names.
#[derive(Module, Debug)]
struct LlamaForCausalLm {
    /// `[vocab, hidden]`, kept as a matrix since it may also be the output.
    embed_tokens: Param<Tensor<2>>,
    layers: Vec<LlamaDecoderLayer>,
    norm: RmsNorm,
    lm_head: Option<Param<Tensor<2>>>,
}

/// A model on a burn device.
pub struct TensorLlama {
    config: LlamaConfig,
    device: Device,
    model: LlamaForCausalLm,
    rope: Rope,
}

/// What one sequence remembers: per layer, keys and values on the device.
#[derive(Debug, Clone)]
pub struct TensorCache {
    layers: Vec<LayerCache>,
    len: usize,
}

impl TensorLlama {
    /// Reads all weights onto `device`.
    pub fn load(tensors: &LlamaTensors<'_>, device: &Device) -> Result<TensorLlama, LanguageError> {
        let config = tensors.config().clone();
        let matrix = |packed: PackedRows| {
            let (rows, width) = (packed.rows(), packed.width);
            let mut numbers = vec![0.0; rows * width];
            packed.unpack(0, &mut numbers);
            Tensor::<2>::from_data(TensorData::new(numbers, [rows, width]), device)
        };
        let vector = |numbers: Vec<f32>| {
            let len = numbers.len();
            Tensor::<1>::from_data(TensorData::new(numbers, [len]), device)
        };
        let fill = |linear: &mut Linear, layer: usize, part: &str| {
            // burn keeps `[in, out]`, transformers `[out, in]`.
            linear.weight = Param::from_tensor(matrix(tensors.layer_weight(layer, part)?).transpose());
            if linear.bias.is_some() {
                linear.bias = Some(Param::from_tensor(vector(tensors.layer_bias(layer, part)?)));
            }
            Ok::<(), LanguageError>(())
        };
        let fill_norm = |norm: &mut RmsNorm, numbers: Vec<f32>| {
            norm.gamma = Param::from_tensor(vector(numbers));
        };
        let mut layers = Vec::new();
        for index in 0..config.num_hidden_layers {
            let mut layer = LlamaDecoderLayer::init(&config, device);
            fill(&mut layer.self_attn.q_proj, index, "q_proj")?;
            fill(&mut layer.self_attn.k_proj, index, "k_proj")?;
            fill(&mut layer.self_attn.v_proj, index, "v_proj")?;
            fill(&mut layer.self_attn.o_proj, index, "o_proj")?;
            fill(&mut layer.mlp.gate_proj, index, "gate_proj")?;
            fill(&mut layer.mlp.up_proj, index, "up_proj")?;
            fill(&mut layer.mlp.down_proj, index, "down_proj")?;
            fill_norm(&mut layer.input_layernorm, tensors.layer_norm(index, "input_layernorm")?);
            fill_norm(
                &mut layer.post_attention_layernorm,
                tensors.layer_norm(index, "post_attention_layernorm")?,
            );
            layers.push(layer);
        }
        let mut last_norm = norm(&config, device);
        fill_norm(&mut last_norm, tensors.norm()?);
        let model = LlamaForCausalLm {
            embed_tokens: Param::from_tensor(matrix(tensors.embed_tokens()?)),
            layers,
            norm: last_norm,
            lm_head: tensors.lm_head()?.map(|packed| Param::from_tensor(matrix(packed))),
        };
        let rope = Rope::new(&config);
        Ok(TensorLlama { config, device: device.clone(), model, rope })
    }

    fn positions(&mut self, first: usize, tokens: usize) -> PositionEmbeddings {
        self.rope.extend_to(first + tokens);
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in first..first + tokens {
            let (cosines, sines) = self.rope.at(position);
            for _half in 0..2 {
                cos.extend_from_slice(cosines);
                sin.extend_from_slice(sines);
            }
        }
        let tensor = |numbers: Vec<f32>| {
            Tensor::<4>::from_data(
                TensorData::new(numbers, [1, 1, tokens, self.config.head_dim]),
                &self.device,
            )
        };
        PositionEmbeddings { cos: tensor(cos), sin: tensor(sin) }
    }

    /// Later positions are hidden from earlier tokens; one token alone sees everything.
    fn mask(&self, first: usize, tokens: usize) -> Option<Tensor<4>> {
        if tokens == 1 {
            return None;
        }
        let seen = first + tokens;
        let row = |token: usize| {
            (0..seen).map(move |position| if position <= first + token { 0.0 } else { -1.0e9 })
        };
        let numbers: Vec<f32> = (0..tokens).flat_map(row).collect();
        Some(Tensor::from_data(TensorData::new(numbers, [1, 1, tokens, seen]), &self.device))
    }

    fn step(&mut self, step: &mut Step<'_, TensorCache>) -> Result<Vec<f32>, LanguageError> {
        let (first, tokens) = (step.cache.len, step.tokens.len());
        if let Some(token) = step.tokens.iter().find(|token| **token as usize >= self.config.vocab_size) {
            return Err(LanguageError::malformed("token", format!("{token} of {}", self.config.vocab_size)));
        }
        let positions = self.positions(first, tokens);
        let mask = self.mask(first, tokens);
        let ids: Vec<i64> = step.tokens.iter().map(|token| i64::from(*token)).collect();
        let ids = Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(ids, [tokens]), &self.device);
        let mut hidden = self.model.embed_tokens.val().select(0, ids).unsqueeze::<3>();
        for (layer, cache) in self.model.layers.iter().zip(&mut step.cache.layers) {
            hidden = layer.forward(hidden, &positions, mask.as_ref(), cache);
        }
        step.cache.len += tokens;
        let width = self.config.hidden_size;
        let rows = match step.scores {
            Scores::None => return Ok(Vec::new()),
            Scores::Last => hidden.slice([0..1, tokens - 1..tokens, 0..width]),
            Scores::All => hidden,
        };
        let [_, count, _] = rows.dims();
        let rows = self.model.norm.forward(rows).reshape([count, width]);
        let head = self.model.lm_head.as_ref().unwrap_or(&self.model.embed_tokens);
        rows.matmul(head.val().transpose())
            .into_data()
            .convert_dtype(DType::F32)
            .try_into_vec::<f32>()
            .map_err(|error| LanguageError::malformed("scores", format!("{error:?}")))
    }
}

impl CausalLm for TensorLlama {
    type Cache = TensorCache;

    fn new_cache(&self) -> TensorCache {
        TensorCache { layers: vec![None; self.config.num_hidden_layers], len: 0 }
    }

    fn cache_len(&self, cache: &TensorCache) -> usize {
        cache.len
    }

    fn cache_bytes(&self, cache: &TensorCache) -> usize {
        2 * self.config.num_hidden_layers * self.config.key_value_size() * cache.len * size_of::<f32>()
    }

    fn truncate(&self, cache: &mut TensorCache, len: usize) {
        cache.len = cache.len.min(len);
        let (heads, dim) = (self.config.num_key_value_heads, self.config.head_dim);
        for layer in &mut cache.layers {
            *layer = layer.take().filter(|_| cache.len > 0).map(|(keys, values)| {
                let cut = |x: Tensor<4>| x.slice([0..1, 0..heads, 0..cache.len, 0..dim]);
                (cut(keys), cut(values))
            });
        }
    }

    fn copy(&self, cache: &TensorCache, len: usize) -> TensorCache {
        let mut copy = cache.clone();
        self.truncate(&mut copy, len);
        copy
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context_tokens(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn forward(&mut self, steps: &mut [Step<'_, TensorCache>]) -> Result<Vec<Vec<f32>>, LanguageError> {
        steps.iter_mut().map(|step| self.step(step)).collect()
    }
}
