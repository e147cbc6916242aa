//! `transformers.CLIPTokenizer`, the fast one: byte-level pairs of lower-case words.

use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::DiffusionError;
use crate::config::{parse_json, read_text};

/// Contractions, words, single digits, and runs of the rest.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Turns prompts into token ids.
#[derive(Debug)]
pub struct ClipTokenizer {
    tokenizer: Tokenizer,
    /// Starts every row.
    pub bos: u32,
    /// Ends every row.
    pub eos: u32,
    /// Fills a row after its end.
    pub pad: u32,
    /// Length of a row.
    pub max_length: usize,
    /// The largest id that can come out.
    pub largest_id: u32,
}

/// The files of a tokenizer folder as text.
#[derive(Debug, Clone, Copy)]
pub struct TokenizerFiles<'a> {
    /// `vocab.json`.
    pub vocab: &'a str,
    /// `merges.txt`.
    pub merges: &'a str,
    /// `tokenizer_config.json`, if there is one.
    pub config: Option<&'a str>,
    /// `special_tokens_map.json`, if there is one.
    pub special_tokens: Option<&'a str>,
}

impl ClipTokenizer {
    /// Reads `vocab.json`, `merges.txt` and what names the special tokens.
    pub fn open(folder: &Path) -> Result<Self, DiffusionError> {
        let optional = |name: &str| match folder.join(name) {
            path if path.is_file() => read_text(&path).map(Some),
            _ => Ok(None),
        };
        let name = folder.file_name().map_or("tokenizer".into(), |name| name.to_string_lossy());
        Self::from_files(
            &name,
            TokenizerFiles {
                vocab: &read_text(&folder.join("vocab.json"))?,
                merges: &read_text(&folder.join("merges.txt"))?,
                config: optional("tokenizer_config.json")?.as_deref(),
                special_tokens: optional("special_tokens_map.json")?.as_deref(),
            },
        )
    }

    /// The same from texts; `name` is how errors call the tokenizer.
    pub fn from_files(name: &str, files: TokenizerFiles<'_>) -> Result<Self, DiffusionError> {
        let bad = |field: &str, reason: String| DiffusionError::config(name, field, reason);
        let vocab: std::collections::HashMap<String, u32> = parse_json(files.vocab, name)?;
        let vocab: Vocab = vocab.into_iter().collect();
        let merges: Merges = files
            .merges
            .lines()
            .filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
            .map(|line| match line.split_once(' ') {
                Some((left, right)) => Ok((left.to_string(), right.trim_end().to_string())),
                None => Err(bad("merges.txt", format!("{line:?} is not a pair"))),
            })
            .collect::<Result<_, _>>()?;

        let config: Value = files.config.map_or(Ok(Value::Null), |text| parse_json(text, name))?;
        let special: Value = files.special_tokens.map_or(Ok(Value::Null), |text| parse_json(text, name))?;
        let token = |key: &str| [&special[key], &config[key]].into_iter().find_map(token_content);
        let bos = token("bos_token").unwrap_or_else(|| "<|startoftext|>".into());
        let eos = token("eos_token").unwrap_or_else(|| "<|endoftext|>".into());
        let unknown = token("unk_token").unwrap_or_else(|| eos.clone());
        let pad = token("pad_token").unwrap_or_else(|| eos.clone());
        let id = |token: &str| {
            vocab.get(token).copied().ok_or_else(|| bad("vocab.json", format!("lacks the token {token:?}")))
        };
        let (bos_id, eos_id, pad_id, largest_id) =
            (id(&bos)?, id(&eos)?, id(&pad)?, vocab.values().copied().max().unwrap_or(0));
        let max_length = match config["model_max_length"].as_u64() {
            Some(length @ 3..=1024) => length as usize,
            Some(length) => return Err(bad("model_max_length", format!("{length} is not within 3 to 1024"))),
            None => 77,
        };
        let broken = |error: tokenizers::Error| bad("tokenizer", error.to_string());
        let model = BPE::builder()
            .vocab_and_merges(vocab, merges)
            .continuing_subword_prefix(String::new())
            .end_of_word_suffix("</w>".into())
            .unk_token(unknown.clone())
            .build()
            .map_err(broken)?;
        let mut tokenizer = Tokenizer::new(model);
        let one_space = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(broken)?;
        tokenizer
            .with_normalizer(Some(Normalizers::new(vec![NFC.into(), one_space.into(), Lowercase.into()])))
            .map_err(broken)?;
        let words = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true)
            .map_err(broken)?;
        tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![
            words.into(),
            ByteLevel::new(false, true, true).into(),
        ])));
        tokenizer
            // All of them split words, the padding too: Stable Diffusion 2 pads with "!".
            .add_special_tokens(
                [bos, eos, unknown, pad].map(|token| AddedToken::from(token, true).normalized(true)),
            )
            .map_err(broken)?;
        Ok(Self { tokenizer, bos: bos_id, eos: eos_id, pad: pad_id, max_length, largest_id })
    }

    /// The ids of a text, as many as there are, without start and end.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DiffusionError> {
        match self.tokenizer.encode(text, false) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(DiffusionError::spec("prompt", error.to_string())),
        }
    }

    /// The token of an id, as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// One row of `max_length`: start, as many ids as fit, end, padding.
    pub fn encode_row(&self, text: &str) -> Result<Vec<u32>, DiffusionError> {
        Ok(self.row(&self.encode(text)?))
    }

    /// [`encode_row`](Self::encode_row) of ids already known.
    pub fn row(&self, ids: &[u32]) -> Vec<u32> {
        let mut row = Vec::with_capacity(self.max_length);
        row.push(self.bos);
        row.extend(ids.iter().take(self.chunk_length()));
        row.push(self.eos);
        row.resize(self.max_length, self.pad);
        row
    }

    /// How many ids of a text fit into a row.
    pub fn chunk_length(&self) -> usize {
        self.max_length - 2
    }
}

/// A special token is written as a text or as an object around it.
fn token_content(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value["content"].as_str()).map(String::from)
}
