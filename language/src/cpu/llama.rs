//! How does a Llama-family model run on the processor, several sequences at a time?

use rayon::prelude::*;

use super::attention::{Heads, Queries, attend};
use super::kernels::{rms_norm, silu_times};
use super::linear::{Linear, PROMPT_ROWS_MIN};
use super::threads::on_reply_threads;
use super::weight_memory::WeightMemory;
use super::{KvCache, KvNumbers};
use crate::causal_lm::{CausalLm, Scores, Step};
use crate::error::LanguageError;
use crate::models::configuration_llama::LlamaConfig;
use crate::models::rope::Rope;
use crate::weights::LlamaTensors;

/// Rows that one task norms or gates; fewer are not worth waking another thread.
const TASK_ROWS: usize = 16;

struct DecoderLayer {
    input_layernorm: Vec<f32>,
    /// q, k and v in one matrix, so that one pass serves all three.
    qkv_proj: Linear,
    o_proj: Linear,
    post_attention_layernorm: Vec<f32>,
    gate_up_proj: Linear,
    down_proj: Linear,
}

/// A model in plain memory; see the module.
pub struct CpuLlama {
    config: LlamaConfig,
    embed_tokens: Linear,
    layers: Vec<DecoderLayer>,
    norm: Vec<f32>,
    /// Absent where the embeddings serve.
    lm_head: Option<Linear>,
    rope: Rope,
    kv_numbers: KvNumbers,
}

impl CpuLlama {
    /// Reads all weights; each is in memory once.
    pub fn load(tensors: &LlamaTensors<'_>) -> Result<CpuLlama, LanguageError> {
        let config = tensors.config().clone();
        let mut memory = WeightMemory::default();
        let embed_tokens = Linear::new(vec![tensors.embed_tokens()?], None, &mut memory);
        let mut joined = |names: &[&str], layer: usize, bias: bool| {
            let mut parts = Vec::new();
            let mut biases = Vec::new();
            for name in names {
                parts.push(tensors.layer_weight(layer, name)?);
                if bias {
                    biases.extend(tensors.layer_bias(layer, name)?);
                }
            }
            Ok::<_, LanguageError>(Linear::new(parts, bias.then_some(biases), &mut memory))
        };
        let mut layers = Vec::new();
        for layer in 0..config.num_hidden_layers {
            layers.push(DecoderLayer {
                input_layernorm: tensors.layer_norm(layer, "input_layernorm")?,
                qkv_proj: joined(&["q_proj", "k_proj", "v_proj"], layer, config.qkv_bias)?,
                o_proj: joined(&["o_proj"], layer, config.o_bias)?,
                post_attention_layernorm: tensors.layer_norm(layer, "post_attention_layernorm")?,
                gate_up_proj: joined(&["gate_proj", "up_proj"], layer, config.mlp_bias)?,
                down_proj: joined(&["down_proj"], layer, config.mlp_bias)?,
            });
        }
        let norm = tensors.norm()?;
        let lm_head = tensors.lm_head()?.map(|weight| Linear::new(vec![weight], None, &mut memory));
        let rope = Rope::new(&config);
        Ok(CpuLlama { config, embed_tokens, layers, norm, lm_head, rope, kv_numbers: KvNumbers::F32 })
    }

    /// Has memories from now on keep their numbers like this; they are exact otherwise.
    pub fn keep_as(&mut self, numbers: KvNumbers) {
        self.kv_numbers = numbers;
    }

    /// The model's shape.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The model's rotary frequencies.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The residual stream after the embeddings and after each layer, the last one normed, of a whole sequence; as
    /// transformers' `output_hidden_states`.
    pub fn hidden_states(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, LanguageError> {
        let mut cache = self.new_cache();
        let mut states = Vec::new();
        let mut steps = [Step { tokens, cache: &mut cache, scores: Scores::None }];
        let hidden = on_reply_threads(|| self.run(&mut steps, &mut |state| states.push(state.to_vec())))?;
        states.pop();
        states.push(self.normed(&hidden, &self.norm));
        Ok(states)
    }

    fn normed(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let width = self.config.hidden_size;
        let mut out = vec![0.0; x.len()];
        let rows = x.par_chunks_exact(width).zip(out.par_chunks_exact_mut(width));
        rows.with_min_len(TASK_ROWS).for_each(|(x, out)| rms_norm(x, weight, self.config.rms_norm_eps, out));
        out
    }

    fn embedded(&self, steps: &[Step<'_, KvCache>]) -> Result<Vec<f32>, LanguageError> {
        let mut hidden = Vec::new();
        for token in steps.iter().flat_map(|step| step.tokens) {
            if !self.embed_tokens.push_row(*token as usize, &mut hidden) {
                return Err(LanguageError::malformed(
                    "token",
                    format!("{token} of {}", self.config.vocab_size),
                ));
            }
        }
        Ok(hidden)
    }

    /// All layers over all rows; `observe` sees the residual stream before the first layer and after each.
    fn run(
        &mut self,
        steps: &mut [Step<'_, KvCache>],
        observe: &mut (dyn FnMut(&[f32]) + Send),
    ) -> Result<Vec<f32>, LanguageError> {
        let end = steps.iter().map(|step| step.cache.len() + step.tokens.len()).max().unwrap_or(0);
        self.rope.extend_to(end);
        let mut hidden = self.embedded(steps)?;
        let of_prompts: Vec<bool> = steps
            .iter()
            .flat_map(|step| std::iter::repeat_n(step.tokens.len() >= PROMPT_ROWS_MIN, step.tokens.len()))
            .collect();
        observe(&hidden);
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = self.normed(&hidden, &layer.input_layernorm);
            let qkv = layer.qkv_proj.forward(&normed, &of_prompts);
            let attended = self.attention(index, steps, &qkv);
            add(&mut hidden, &layer.o_proj.forward(&attended, &of_prompts));

            let normed = self.normed(&hidden, &layer.post_attention_layernorm);
            let gate_up = layer.gate_up_proj.forward(&normed, &of_prompts);
            let inner = self.config.intermediate_size;
            let mut gated = vec![0.0; gate_up.len() / 2];
            let rows = gate_up.par_chunks_exact(2 * inner).zip(gated.par_chunks_exact_mut(inner));
            rows.with_min_len(TASK_ROWS)
                .for_each(|(both, out)| silu_times(&both[..inner], &both[inner..], out));
            add(&mut hidden, &layer.down_proj.forward(&gated, &of_prompts));
            observe(&hidden);
        }
        for step in steps {
            step.cache.advance(step.tokens.len());
        }
        Ok(hidden)
    }

    /// Remembers the rows' keys and values, then attends; `qkv` is `[rows, q + k + v]`.
    fn attention(&self, layer: usize, steps: &mut [Step<'_, KvCache>], qkv: &[f32]) -> Vec<f32> {
        let (query_size, key_size) = (self.config.query_size(), self.config.key_value_size());
        let head_dim = self.config.head_dim;
        let row_size = query_size + 2 * key_size;
        let positions: Vec<usize> =
            steps.iter().flat_map(|step| step.cache.len()..step.cache.len() + step.tokens.len()).collect();
        let mut queries = vec![0.0; positions.len() * query_size];
        let mut keys = vec![0.0; positions.len() * key_size];
        let turned = queries.par_chunks_exact_mut(query_size).zip(keys.par_chunks_exact_mut(key_size));
        let rows = qkv.par_chunks_exact(row_size).zip(&positions);
        turned.zip(rows).with_min_len(TASK_ROWS).for_each(|((queries, keys), (row, position))| {
            queries.copy_from_slice(&row[..query_size]);
            keys.copy_from_slice(&row[query_size..query_size + key_size]);
            for head in queries.chunks_exact_mut(head_dim).chain(keys.chunks_exact_mut(head_dim)) {
                self.rope.turn(head, *position);
            }
        });
        let mut rows = keys.chunks_exact(key_size).zip(qkv.chunks_exact(row_size));
        for step in steps.iter_mut() {
            for (key, row) in rows.by_ref().take(step.tokens.len()) {
                step.cache.push(layer, key, &row[query_size + key_size..]);
            }
        }
        let sequences: Vec<_> = steps
            .iter()
            .map(|step| Queries { cache: step.cache, first: step.cache.len(), rows: step.tokens.len() })
            .collect();
        let heads = Heads {
            layer,
            head_dim,
            count: self.config.num_attention_heads,
            group: self.config.num_attention_heads / self.config.num_key_value_heads,
        };
        let mut out = vec![0.0; queries.len()];
        attend(&sequences, heads, &queries, &mut out);
        out
    }
}

impl CausalLm for CpuLlama {
    type Cache = KvCache;

    fn new_cache(&self) -> KvCache {
        KvCache::new(&self.config, self.kv_numbers)
    }

    fn cache_len(&self, cache: &KvCache) -> usize {
        cache.len()
    }

    fn cache_bytes(&self, cache: &KvCache) -> usize {
        cache.bytes()
    }

    fn truncate(&self, cache: &mut KvCache, len: usize) {
        cache.truncate(len);
    }

    fn copy(&self, cache: &KvCache, len: usize) -> KvCache {
        cache.beginning(len)
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn context_tokens(&self) -> usize {
        self.config.max_position_embeddings
    }

    fn same_alone_max(&self) -> usize {
        PROMPT_ROWS_MIN - 1
    }

    fn forward(&mut self, steps: &mut [Step<'_, KvCache>]) -> Result<Vec<Vec<f32>>, LanguageError> {
        on_reply_threads(|| self.step(steps))
    }
}

impl CpuLlama {
    fn step(&mut self, steps: &mut [Step<'_, KvCache>]) -> Result<Vec<Vec<f32>>, LanguageError> {
        let hidden = self.run(steps, &mut |_| {})?;
        let width = self.config.hidden_size;
        let mut wanted = Vec::new();
        let mut counts = Vec::new();
        let mut rows = hidden.chunks_exact(width);
        for step in steps.iter() {
            let skip = match step.scores {
                Scores::None => step.tokens.len(),
                Scores::Last => step.tokens.len().saturating_sub(1),
                Scores::All => 0,
            };
            let own = rows.by_ref().take(step.tokens.len()).skip(skip).collect::<Vec<_>>();
            counts.push(own.len());
            wanted.extend(own.concat());
        }
        let head = self.lm_head.as_ref().unwrap_or(&self.embed_tokens);
        let mut scores = head.forward(&self.normed(&wanted, &self.norm), &vec![false; wanted.len() / width]);
        if counts.len() == 1 {
            return Ok(vec![scores]);
        }
        let mut split = Vec::new();
        for count in counts {
            let rest = scores.split_off(count * head.out_features());
            split.push(std::mem::replace(&mut scores, rest));
        }
        Ok(split)
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}
