//! `transformers.models.clip`: the text encoders.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use serde::Deserialize;

use crate::DiffusionError;
use crate::config::{bounded, only};
use crate::ops;
use crate::ops::layers::{Linear, LinearConfig};

/// The keys of `text_encoder/config.json` that shape the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ClipTextConfig {
    pub architectures: Vec<String>,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub layer_norm_eps: f64,
    pub hidden_act: String,
    pub projection_dim: usize,
    pub eos_token_id: i64,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            architectures: vec!["CLIPTextModel".into()],
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            layer_norm_eps: 1e-5,
            hidden_act: "quick_gelu".into(),
            projection_dim: 512,
            eos_token_id: 49407,
        }
    }
}

/// `CLIPTextModel`, and `CLIPTextModelWithProjection` where there is a projection.
#[derive(Module, Debug)]
pub struct ClipTextModel {
    text_model: ClipTextTransformer,
    text_projection: Option<Linear>,
    #[module(skip)]
    eos_token_id: i64,
}

/// `CLIPTextTransformer`.
#[derive(Module, Debug)]
pub struct ClipTextTransformer {
    embeddings: ClipTextEmbeddings,
    encoder: ClipEncoder,
    final_layer_norm: LayerNorm,
}

/// `CLIPTextEmbeddings`.
#[derive(Module, Debug)]
pub struct ClipTextEmbeddings {
    token_embedding: Embedding,
    position_embedding: Embedding,
}

/// `CLIPEncoder`.
#[derive(Module, Debug)]
pub struct ClipEncoder {
    layers: Vec<ClipEncoderLayer>,
}

/// `CLIPEncoderLayer`.
#[derive(Module, Debug)]
pub struct ClipEncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: ClipAttention,
    layer_norm2: LayerNorm,
    mlp: ClipMlp,
}

/// `CLIPAttention`.
#[derive(Module, Debug)]
pub struct ClipAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: usize,
}

/// `CLIPMLP`.
#[derive(Module, Debug)]
pub struct ClipMlp {
    fc1: Linear,
    fc2: Linear,
    quick: bool,
}

/// What an encoder says about a batch of token ids.
#[derive(Debug, Clone)]
pub struct ClipTextOutput {
    /// `[batch, n, width]` at the input and after every layer, without the final norm.
    pub hidden_states: Vec<Tensor<3>>,
    /// `[batch, n, width]`, the last of them after the final norm.
    pub last_hidden_state: Tensor<3>,
    /// `[batch, width]`: the row of the first end token.
    pub pooler_output: Tensor<2>,
    /// `[batch, projection]`, where the model has a projection.
    pub text_embeds: Option<Tensor<2>>,
}

impl ClipTextConfig {
    fn check(&self, file: &str) -> Result<(), DiffusionError> {
        bounded(file, "vocab_size", self.vocab_size, 1 << 20)?;
        bounded(file, "hidden_size", self.hidden_size, 16_384)?;
        bounded(file, "intermediate_size", self.intermediate_size, 65_536)?;
        bounded(file, "num_hidden_layers", self.num_hidden_layers, 128)?;
        bounded(file, "num_attention_heads", self.num_attention_heads, 1024)?;
        bounded(file, "max_position_embeddings", self.max_position_embeddings, 8192)?;
        bounded(file, "projection_dim", self.projection_dim, 16_384)?;
        only(file, "hidden_act", &self.hidden_act, &["quick_gelu", "gelu"])?;
        if self.max_position_embeddings < 3 {
            return Err(DiffusionError::config(file, "max_position_embeddings", "must be 3 or more"));
        }
        match self.hidden_size % self.num_attention_heads {
            0 => Ok(()),
            _ => Err(DiffusionError::config(file, "num_attention_heads", "does not divide hidden_size")),
        }
    }

    /// A network whose weights are still to be loaded; `file` is how errors call the configuration.
    pub fn init(&self, file: &str, device: &Device) -> Result<ClipTextModel, DiffusionError> {
        self.check(file)?;
        let width = self.hidden_size;
        let norm = || LayerNormConfig::new(width).with_epsilon(self.layer_norm_eps).init(device);
        let layer = LayerShape {
            width,
            inner: self.intermediate_size,
            heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
            quick: self.hidden_act == "quick_gelu",
        };
        let projects = self.architectures.iter().any(|name| name == "CLIPTextModelWithProjection");
        Ok(ClipTextModel {
            text_model: ClipTextTransformer {
                embeddings: ClipTextEmbeddings {
                    token_embedding: EmbeddingConfig::new(self.vocab_size, width).init(device),
                    position_embedding: EmbeddingConfig::new(self.max_position_embeddings, width)
                        .init(device),
                },
                encoder: ClipEncoder {
                    layers: (0..self.num_hidden_layers).map(|_| layer.init(device)).collect(),
                },
                final_layer_norm: norm(),
            },
            text_projection: projects
                .then(|| LinearConfig::new(width, self.projection_dim).with_bias(false).init(device)),
            eos_token_id: self.eos_token_id,
        })
    }
}

impl ClipTextModel {
    /// Encodes rows of ids of one length. Where `hidden` is given, no token looks at a position that it
    /// marks true, as Compel wants for words that count less.
    pub fn forward(&self, ids: &[Vec<u32>], hidden: Option<&[Vec<bool>]>, device: &Device) -> ClipTextOutput {
        self.forward_embedded(self.token_embeddings(ids, device), ids, hidden, device)
    }

    /// The vectors of ids without their positions, `[batch, n, width]`.
    pub(crate) fn token_embeddings(&self, ids: &[Vec<u32>], device: &Device) -> Tensor<3> {
        self.text_model.embeddings.token_embedding.forward(int_rows(ids, device))
    }

    /// [`forward`](Self::forward) with vectors in the place of tokens; `ids` say where the text ends.
    pub(crate) fn forward_embedded(
        &self,
        tokens: Tensor<3>,
        ids: &[Vec<u32>],
        hidden: Option<&[Vec<bool>]>,
        device: &Device,
    ) -> ClipTextOutput {
        let (batch, length) = (ids.len(), ids.first().map_or(0, Vec::len));
        let embeddings = &self.text_model.embeddings;
        let positions = embeddings.position_embedding.weight.val().narrow(0, 0, length);
        let mut x = tokens + positions.unsqueeze::<3>();

        let mask = attention_mask(batch, length, hidden, device);
        let mut hidden_states = vec![x.clone()];
        for layer in &self.text_model.encoder.layers {
            x = layer.forward(x, Some(mask.clone()));
            hidden_states.push(x.clone());
        }
        let last_hidden_state = self.final_layer_norm(x);
        let pooled = (0..batch).map(|row| {
            let end = self.end_position(&ids[row]);
            last_hidden_state.clone().narrow(0, row, 1).narrow(1, end, 1).squeeze_dim::<2>(1)
        });
        let pooler_output = Tensor::cat(pooled.collect(), 0);
        let text_embeds = self.text_projection.as_ref().map(|layer| layer.forward(pooler_output.clone()));
        ClipTextOutput { hidden_states, last_hidden_state, pooler_output, text_embeds }
    }

    /// The norm after the last layer, for those who take the states of an earlier one.
    pub fn final_layer_norm(&self, x: Tensor<3>) -> Tensor<3> {
        self.text_model.final_layer_norm.forward(x)
    }

    /// Whether it has a projection, and so makes one vector of a whole text.
    pub fn projects(&self) -> bool {
        self.text_projection.is_some()
    }

    /// Width of the states.
    pub fn hidden_size(&self) -> usize {
        self.text_model.final_layer_norm.gamma.dims()[0]
    }

    /// How many layers it has.
    pub fn layers(&self) -> usize {
        self.text_model.encoder.layers.len()
    }

    /// How many tokens fit, with those for start and end.
    pub fn max_length(&self) -> usize {
        self.text_model.embeddings.position_embedding.weight.dims()[0]
    }

    /// How many rows the token table has.
    pub fn vocab_size(&self) -> usize {
        self.text_model.embeddings.token_embedding.weight.dims()[0]
    }

    /// Where the pooled output is taken. Old configurations name 2, which is no end token; there the largest id is meant, as
    /// in transformers. With learned words, whose ids come after the end token's, that is the place of one of them, there too.
    fn end_position(&self, ids: &[u32]) -> usize {
        let wanted = match self.eos_token_id {
            2 => ids.iter().max().copied().map(i64::from),
            id => Some(id),
        };
        ids.iter().position(|&id| Some(i64::from(id)) == wanted).unwrap_or(0)
    }
}

/// Shape of a [`ClipEncoderLayer`], of texts as of pictures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerShape {
    pub width: usize,
    pub inner: usize,
    pub heads: usize,
    pub eps: f64,
    /// Whether GELU is approximated as CLIP's first models did.
    pub quick: bool,
}

impl LayerShape {
    /// A layer whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> ClipEncoderLayer {
        let width = self.width;
        let norm = || LayerNormConfig::new(width).with_epsilon(self.eps).init(device);
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        ClipEncoderLayer {
            layer_norm1: norm(),
            self_attn: ClipAttention {
                q_proj: linear(width, width),
                k_proj: linear(width, width),
                v_proj: linear(width, width),
                out_proj: linear(width, width),
                heads: self.heads,
            },
            layer_norm2: norm(),
            mlp: ClipMlp {
                fc1: linear(width, self.inner),
                fc2: linear(self.inner, width),
                quick: self.quick,
            },
        }
    }
}

impl ClipEncoderLayer {
    /// `[batch, n, width]` → the same; where `mask` is true nothing is looked at.
    pub(crate) fn forward(&self, hidden: Tensor<3>, mask: Option<Tensor<4, Bool>>) -> Tensor<3> {
        let x = self.layer_norm1.forward(hidden.clone());
        let attention = &self.self_attn;
        let (query, key) = (attention.q_proj.forward(x.clone()), attention.k_proj.forward(x.clone()));
        let value = attention.v_proj.forward(x);
        let x = match mask {
            Some(mask) => ops::masked_attention(query, key, value, attention.heads, Some(mask)),
            None => ops::attention(query, key, value, attention.heads),
        };
        let hidden = attention.out_proj.forward(x) + hidden;
        let x = self.mlp.fc1.forward(self.layer_norm2.forward(hidden.clone()));
        let x = if self.mlp.quick { ops::quick_gelu(x) } else { ops::gelu(x) };
        self.mlp.fc2.forward(x) + hidden
    }
}

fn int_rows(ids: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i32> = ids.iter().flatten().map(|&id| id as i32).collect();
    let length = ids.first().map_or(0, Vec::len);
    Tensor::from_data(TensorData::new(flat, [ids.len(), length]), device)
}

/// True where a token (row) may not look: to its right, and at hidden positions.
fn attention_mask(
    batch: usize,
    length: usize,
    hidden: Option<&[Vec<bool>]>,
    device: &Device,
) -> Tensor<4, Bool> {
    let mut mask = Vec::with_capacity(batch * length * length);
    for row in 0..batch {
        for from in 0..length {
            mask.extend((0..length).map(|to| to > from || hidden.is_some_and(|hidden| hidden[row][to])));
        }
    }
    Tensor::from_data(TensorData::new(mask, [batch, 1, length, length]), device)
}
