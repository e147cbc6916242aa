//! GGUF files, written field by field.

// Each test binary uses a part of it.
#![allow(dead_code)]

/// Writes GGUF files field by field.
#[derive(Default, Clone)]
pub struct Gguf {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    pub data: Vec<u8>,
}

impl Gguf {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    pub fn raw_key(mut self, key: &str, kind: u32, value: &[u8]) -> Gguf {
        Gguf::text(&mut self.keys, key);
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(value);
        self.key_count += 1;
        self
    }

    pub fn key_text(self, key: &str, text: &str) -> Gguf {
        let mut value = Vec::new();
        Gguf::text(&mut value, text);
        self.raw_key(key, 8, &value)
    }

    pub fn key_number(self, key: &str, number: u32) -> Gguf {
        self.raw_key(key, 4, &number.to_le_bytes())
    }

    pub fn key_integers(self, key: &str, integers: &[i32]) -> Gguf {
        let mut value = 5u32.to_le_bytes().to_vec();
        value.extend((integers.len() as u64).to_le_bytes());
        integers.iter().for_each(|integer| value.extend(integer.to_le_bytes()));
        self.raw_key(key, 9, &value)
    }

    pub fn key_texts(self, key: &str, texts: &[String]) -> Gguf {
        let mut value = 8u32.to_le_bytes().to_vec();
        value.extend((texts.len() as u64).to_le_bytes());
        texts.iter().for_each(|text| Gguf::text(&mut value, text));
        self.raw_key(key, 9, &value)
    }

    pub fn tensor(mut self, name: &str, shape: &[u64], kind: u32, offset: Option<u64>) -> Gguf {
        Gguf::text(&mut self.tensors, name);
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|dimension| self.tensors.extend(dimension.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(offset.unwrap_or(self.data.len() as u64).to_le_bytes());
        self.tensor_count += 1;
        if offset.is_none() {
            let numbers: u64 = shape.iter().product();
            self.data.extend((0..numbers).flat_map(|i| ((i % 13) as f32 / 13.0 - 0.5).to_le_bytes()));
            self.data.resize(self.data.len().next_multiple_of(32), 0);
        }
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.key_count.to_le_bytes());
        out.extend(&self.keys);
        out.extend(&self.tensors);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&self.data);
        out
    }
}

pub fn vocabulary() -> Vec<String> {
    let letters = ('a'..='z').map(String::from);
    letters.chain(["Ġ".to_string(), "<end>".to_string()]).collect()
}

/// The keys of a one-layer model with 28 tokens, except for what `without` names.
fn keys(without: &str) -> Gguf {
    let mut file = Gguf::default()
        .key_text("general.architecture", "llama")
        .key_text("tokenizer.ggml.model", "gpt2")
        .key_texts("tokenizer.ggml.tokens", &vocabulary())
        .key_texts("tokenizer.ggml.merges", &[]);
    for (key, number) in [
        ("llama.block_count", 1),
        ("llama.embedding_length", 8),
        ("llama.feed_forward_length", 16),
        ("llama.attention.head_count", 2),
        ("llama.attention.head_count_kv", 1),
        ("llama.context_length", 64),
        ("tokenizer.ggml.eos_token_id", 27),
    ] {
        if key != without {
            file = file.key_number(key, number);
        }
    }
    file
}

/// The tensors of that model.
fn tensors() -> Vec<(&'static str, Vec<u64>)> {
    vec![
        ("token_embd.weight", vec![28, 8]),
        ("output_norm.weight", vec![8]),
        ("blk.0.attn_norm.weight", vec![8]),
        ("blk.0.ffn_norm.weight", vec![8]),
        ("blk.0.attn_q.weight", vec![8, 8]),
        ("blk.0.attn_k.weight", vec![4, 8]),
        ("blk.0.attn_v.weight", vec![4, 8]),
        ("blk.0.attn_output.weight", vec![8, 8]),
        ("blk.0.ffn_gate.weight", vec![16, 8]),
        ("blk.0.ffn_up.weight", vec![16, 8]),
        ("blk.0.ffn_down.weight", vec![8, 16]),
    ]
}

/// A whole one-layer model with 28 tokens, except for what `without` names.
pub fn tiny(without: &str) -> Gguf {
    let wanted = tensors().into_iter().filter(|(name, _)| *name != without);
    wanted.fold(keys(without), |file, (name, shape)| file.tensor(name, &shape, 0, None))
}

/// The same in two parts.
pub fn split() -> [Gguf; 2] {
    let tensors = tensors();
    let count = tensors.len() as u32;
    let part = |file: Gguf, number: u16| {
        file.raw_key("split.no", 2, &number.to_le_bytes())
            .raw_key("split.count", 2, &2u16.to_le_bytes())
            .raw_key("split.tensors.count", 5, &count.to_le_bytes())
    };
    let mut parts = [part(keys(""), 0), part(Gguf::default(), 1)];
    for (place, (name, shape)) in tensors.into_iter().enumerate() {
        let file = std::mem::take(&mut parts[place % 2]);
        parts[place % 2] = file.tensor(name, &shape, 0, None);
    }
    parts
}
