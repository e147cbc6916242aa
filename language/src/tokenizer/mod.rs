//! How does text become tokens and tokens bytes?

mod byte_level;
mod end_tokens;
mod from_gguf;
mod pre_tokenizers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::error::LanguageError;
use crate::weights::gguf::Metadata;
use crate::weights::safetensors::{read_json, read_small};

/// Texts longer than this are refused before they are tokenised.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// How the vocabulary spells bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// GPT-2's: every byte is a printable character.
    ByteLevel,
    /// SentencePiece's: `▁` is a space and `<0x0A>` a byte.
    SentencePiece,
}

/// A model's own vocabulary and special tokens.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Bytes of the longest token.
    longest: usize,
    /// The bytes that each token stands for.
    bytes: Vec<Vec<u8>>,
    special: BTreeSet<u32>,
    by_text: BTreeMap<String, u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    ends: BTreeSet<u32>,
    add_bos: bool,
}

/// Which tokens begin and end texts.
#[derive(Debug, Default, Clone)]
struct Marks {
    bos: Option<u32>,
    eos: Option<u32>,
    ends: BTreeSet<u32>,
    add_bos: bool,
}

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file describes.
    pub fn from_gguf(metadata: &Metadata) -> Result<Tokenizer, LanguageError> {
        from_gguf::build(metadata)
    }

    /// Builds the tokenizer of a Hugging Face folder, from `tokenizer.json` and the configurations beside it.
    pub fn from_hugging_face(folder: &Path) -> Result<Tokenizer, LanguageError> {
        let path = folder.join("tokenizer.json");
        let bytes = read_small(&path)?;
        let inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|error| LanguageError::Tokenizer(format!("tokenizer.json: {error}")))?;
        let json: Value = serde_json::from_slice(&bytes)
            .map_err(|error| LanguageError::malformed("tokenizer.json", error.to_string()))?;
        let spelling = if json["decoder"].to_string().contains("ByteLevel")
            || json["pre_tokenizer"].to_string().contains("ByteLevel")
        {
            Spelling::ByteLevel
        } else {
            Spelling::SentencePiece
        };
        let mut marks = Marks::default();
        if let Some(config) = read_json(folder, "tokenizer_config.json")? {
            let token = |name: &str| {
                let value = &config[name];
                let text = value.as_str().or_else(|| value["content"].as_str())?;
                inner.token_to_id(text)
            };
            marks.bos = token("bos_token");
            marks.eos = token("eos_token");
            marks.ends.extend(marks.eos);
            marks.add_bos = config["add_bos_token"].as_bool().unwrap_or(false);
        }
        // A chat model may end its turns with another token than the one in the tokenizer's configuration.
        for name in ["generation_config.json", "config.json"] {
            if let Some(config) = read_json(folder, name)? {
                let ids = match &config["eos_token_id"] {
                    Value::Array(ids) => ids.clone(),
                    single => vec![single.clone()],
                };
                marks
                    .ends
                    .extend(ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()));
            }
        }
        Tokenizer::new(inner, spelling, marks)
    }

    fn new(
        mut inner: tokenizers::Tokenizer,
        spelling: Spelling,
        mut marks: Marks,
    ) -> Result<Tokenizer, LanguageError> {
        marks.ends.extend(end_tokens::mark_ends(&mut inner)?);
        let added = inner.get_added_tokens_decoder();
        let vocab = inner.get_vocab(true);
        let len = vocab.values().max().map_or(0, |id| *id as usize + 1);
        if len > 1 << 22 {
            return Err(LanguageError::Tokenizer(format!("token ids up to {len}")));
        }
        let mut bytes = vec![Vec::new(); len];
        for (text, id) in &vocab {
            bytes[*id as usize] = match (added.contains_key(id), spelling) {
                (true, _) => text.as_bytes().to_vec(),
                (false, Spelling::ByteLevel) => byte_level::bytes_of(text),
                (false, Spelling::SentencePiece) => from_gguf::piece_bytes(text),
            };
        }
        let special: BTreeSet<u32> =
            added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let by_text: BTreeMap<String, u32> =
            added.iter().map(|(id, token)| (token.content.clone(), *id)).collect();
        let longest = bytes.iter().map(Vec::len).max().unwrap_or_default();
        Ok(Tokenizer {
            inner,
            bytes,
            longest,
            special,
            by_text,
            bos: marks.bos,
            eos: marks.eos,
            ends: marks.ends,
            add_bos: marks.add_bos,
        })
    }

    /// Tokens of `text`; special tokens spelled out in it become themselves, and none is added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(LanguageError::Tokenizer(format!("a text of {} bytes", text.len())));
        }
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|error| LanguageError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// As many tokens a text has at least, without taking it apart: no token is longer than the longest.
    pub fn at_least(&self, text: &str) -> usize {
        text.len() / self.longest.max(1)
    }

    /// The text of `tokens`; bytes that are not UTF-8 become replacement characters.
    pub fn decode(&self, tokens: &[u32], skip_special: bool) -> String {
        let mut bytes = Vec::new();
        for token in tokens {
            if !(skip_special && self.is_special(*token)) {
                bytes.extend_from_slice(self.token_bytes(*token));
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that a token stands for; none for a number beyond the vocabulary.
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether a token is a mark rather than text.
    pub fn is_special(&self, token: u32) -> bool {
        self.special.contains(&token)
    }

    /// Whether a token ends a turn.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// All tokens that end a turn.
    pub fn ends(&self) -> &BTreeSet<u32> {
        &self.ends
    }

    /// The token that begins a text, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that the files themselves name as the end of a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// `tokens` with [`Tokenizer::bos`] before them, once, where the files ask for it and no template has put it there.
    pub fn with_bos(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        let Some(bos) = self.bos.filter(|_| self.add_bos) else { return tokens };
        let written = tokens.iter().take_while(|token| **token == bos).count();
        match written {
            0 => tokens.insert(0, bos),
            _ => drop(tokens.drain(1..written)),
        }
        tokens
    }

    /// Whether texts are to begin with [`Tokenizer::bos`].
    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    /// The number of an added token such as `<|im_end|>`.
    pub fn added_token(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    /// Tokens known, counting gaps in the numbering.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no tokens at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
