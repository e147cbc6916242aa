//! A model of half a thousand million weights that no one needs to fetch: of the right shape, with random numbers.

use std::path::Path;

use crate::gguf_builder::Gguf;

const LAYERS: u64 = 16;
const HIDDEN: u64 = 1536;
const INNER: u64 = 4096;
const HEADS: u64 = 24;
const SHARED_HEADS: u64 = 8;
const VOCABULARY: u64 = 32_000;
/// GGUF's numbers of types, and bytes of a block of 256 numbers.
const F32: u32 = 0;
const Q4_K: (u32, usize) = (12, 144);

/// Writes such a model with weights of Q4_K to `path`.
pub fn write(path: &Path) {
    let mut tokens: Vec<String> = (0..VOCABULARY).map(|token| format!("token{token}")).collect();
    // What the one merge is made of.
    for (token, text) in ["t", "o", "to"].into_iter().enumerate() {
        tokens[10 + token] = text.to_string();
    }
    let mut file = Gguf::default()
        .key_text("general.architecture", "llama")
        .key_text("general.name", "random half")
        .key_text("tokenizer.ggml.model", "gpt2")
        .key_text("tokenizer.ggml.pre", "smollm")
        .key_texts("tokenizer.ggml.tokens", &tokens)
        .key_integers("tokenizer.ggml.token_type", &vec![1; tokens.len()])
        .key_texts("tokenizer.ggml.merges", &["t o".to_string()])
        .raw_key("llama.attention.layer_norm_rms_epsilon", 6, &1e-5f32.to_le_bytes());
    for (key, number) in [
        ("llama.block_count", LAYERS),
        ("llama.embedding_length", HIDDEN),
        ("llama.feed_forward_length", INNER),
        ("llama.attention.head_count", HEADS),
        ("llama.attention.head_count_kv", SHARED_HEADS),
        ("llama.context_length", 8192),
        ("llama.vocab_size", VOCABULARY),
        ("tokenizer.ggml.bos_token_id", 1),
        ("tokenizer.ggml.eos_token_id", 2),
    ] {
        file = file.key_number(key, number as u32);
    }
    let shared = HIDDEN / HEADS * SHARED_HEADS;
    let mut random = 1u64;
    file = matrix(file, "token_embd.weight", [VOCABULARY, HIDDEN], &mut random);
    file = ones(file, "output_norm.weight");
    for layer in 0..LAYERS {
        for (part, shape) in [
            ("attn_q", [HIDDEN, HIDDEN]),
            ("attn_k", [shared, HIDDEN]),
            ("attn_v", [shared, HIDDEN]),
            ("attn_output", [HIDDEN, HIDDEN]),
            ("ffn_gate", [INNER, HIDDEN]),
            ("ffn_up", [INNER, HIDDEN]),
            ("ffn_down", [HIDDEN, INNER]),
        ] {
            file = matrix(file, &format!("blk.{layer}.{part}.weight"), shape, &mut random);
        }
        file = ones(file, &format!("blk.{layer}.attn_norm.weight"));
        file = ones(file, &format!("blk.{layer}.ffn_norm.weight"));
    }
    std::fs::write(path, file.bytes()).expect("the model can be written");
}

fn matrix(file: Gguf, name: &str, shape: [u64; 2], random: &mut u64) -> Gguf {
    let (kind, block_bytes) = Q4_K;
    let offset = file.data.len() as u64;
    let mut file = file.tensor(name, &shape, kind, Some(offset));
    for _ in 0..shape[0] * shape[1] / 256 {
        let start = file.data.len();
        while file.data.len() < start + block_bytes {
            // Marsaglia's xorshift.
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            file.data.extend(random.to_le_bytes());
        }
        // Scales and minima in half precision by which numbers spread by a sixtieth around zero.
        let block = &mut file.data[start..];
        block[1] = 0x05;
        block[3] = 0x11;
    }
    file
}

fn ones(file: Gguf, name: &str) -> Gguf {
    let offset = file.data.len() as u64;
    let mut file = file.tensor(name, &[HIDDEN], F32, Some(offset));
    file.data.extend((0..HIDDEN).flat_map(|_| 1f32.to_le_bytes()));
    file
}
