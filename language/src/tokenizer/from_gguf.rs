//! How is a tokenizer built from the vocabulary that a GGUF file carries?

use std::collections::{BTreeSet, HashMap};

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::{AddedToken, NormalizerWrapper};

use super::pre_tokenizers::PreTokenizer;
use super::{Marks, Spelling, Tokenizer};
use crate::error::LanguageError;
use crate::weights::gguf::{Metadata, MetadataValue};

const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
/// A longer piece never arises from merges; looking for its halves would take time squared.
const PIECE_CHARS_MAX: usize = 64;

pub(super) fn build(metadata: &Metadata) -> Result<Tokenizer, LanguageError> {
    let tokens = metadata
        .texts("tokenizer.ggml.tokens")?
        .ok_or_else(|| LanguageError::malformed("tokenizer.ggml.tokens", "is missing"))?;
    let types = metadata.integers("tokenizer.ggml.token_type")?.unwrap_or_default();
    if !types.is_empty() && types.len() != tokens.len() {
        return Err(LanguageError::malformed(
            "tokenizer.ggml.token_type",
            format!("{} entries for {} tokens", types.len(), tokens.len()),
        ));
    }
    let kind = metadata.text("tokenizer.ggml.model")?.unwrap_or_default();
    let (mut inner, spelling, begins) = match kind {
        "gpt2" => {
            let words = words(metadata)?;
            (byte_level(metadata, tokens, words)?, Spelling::ByteLevel, words.adds_bos)
        }
        "llama" => (sentence_piece(metadata, tokens)?, Spelling::SentencePiece, true),
        other => {
            return Err(LanguageError::unsupported(
                "tokenizer.ggml.model",
                format!("{other:?}; gpt2 and llama are supported"),
            ));
        }
    };
    let added = |wanted: i64, special: bool| {
        tokens
            .iter()
            .zip(types)
            .filter(move |(_, kind)| **kind == wanted)
            .map(move |(text, _)| AddedToken::from(text.clone(), special).normalized(false))
            .collect::<Vec<_>>()
    };
    inner.add_special_tokens(added(CONTROL, true)).map_err(refused)?;
    inner.add_tokens(added(USER_DEFINED, false)).map_err(refused)?;
    // Files without such a token say so by a number that no token has, such as -1; llama.cpp goes on without it too.
    let id = |key: &str| -> Result<Option<u32>, LanguageError> {
        let said = match metadata.get(key) {
            Some(MetadataValue::Integer(number)) => *number,
            _ => metadata.count(key)?.map_or(-1, |count| count as i128),
        };
        let id = u32::try_from(said).ok().filter(|id| (*id as usize) < tokens.len());
        if id.is_none() && metadata.get(key).is_some() {
            tracing::warn!(key, id = %said, tokens = tokens.len(), "no token has this number; it is left out");
        }
        Ok(id)
    };
    let mut ends = BTreeSet::new();
    for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        ends.extend(id(key)?);
    }
    let bos = id("tokenizer.ggml.bos_token_id")?;
    let eos = id("tokenizer.ggml.eos_token_id")?;
    let add_bos = metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(begins);
    Tokenizer::new(inner, spelling, Marks { bos, eos, ends, add_bos })
}

fn byte_level(
    metadata: &Metadata,
    tokens: &[String],
    words: PreTokenizer,
) -> Result<tokenizers::Tokenizer, LanguageError> {
    let merges = metadata
        .texts("tokenizer.ggml.merges")?
        .ok_or_else(|| LanguageError::malformed("tokenizer.ggml.merges", "is missing"))?;
    let mut pairs = Vec::with_capacity(merges.len());
    for merge in merges {
        let (left, right) = merge
            .split_once(' ')
            .ok_or_else(|| LanguageError::malformed("tokenizer.ggml.merges", format!("{merge:?}")))?;
        pairs.push((left.to_string(), right.to_string()));
    }
    let model = BPE::builder()
        .vocab_and_merges(vocabulary(tokens), pairs)
        .ignore_merges(words.whole_words)
        .build()
        .map_err(refused)?;
    let mut inner = tokenizers::Tokenizer::new(model);
    words.apply(&mut inner)?;
    Ok(inner)
}

/// How a byte-level vocabulary cuts texts into words.
fn words(metadata: &Metadata) -> Result<PreTokenizer, LanguageError> {
    let name = metadata.text("tokenizer.ggml.pre")?;
    if name.is_none() {
        tracing::warn!(
            "the file does not say how texts are cut into words (tokenizer.ggml.pre); as GPT-2 does"
        );
    }
    PreTokenizer::named(name.unwrap_or("default"))
}

/// SentencePiece's merges are implicit: two pieces merge when their join is a piece, best score first.
fn sentence_piece(metadata: &Metadata, tokens: &[String]) -> Result<tokenizers::Tokenizer, LanguageError> {
    // Without scores pieces merge in the order of their numbers, as in llama.cpp.
    let none = vec![0.0; tokens.len()];
    let scores = metadata.floats("tokenizer.ggml.scores")?.unwrap_or(&none);
    if scores.len() != tokens.len() {
        return Err(LanguageError::malformed(
            "tokenizer.ggml.scores",
            format!("{} entries for {} tokens", scores.len(), tokens.len()),
        ));
    }
    let numbers: HashMap<&str, usize> =
        tokens.iter().enumerate().map(|(id, text)| (text.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (text, score) in tokens.iter().zip(scores) {
        let inner_boundaries = text.char_indices().map(|(at, _)| at).skip(1);
        if text.chars().nth(PIECE_CHARS_MAX).is_some() {
            continue;
        }
        for at in inner_boundaries {
            let (left, right) = text.split_at(at);
            if let (Some(first), Some(second)) = (numbers.get(left), numbers.get(right)) {
                merges.push((score, *first, *second, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let pairs = merges.iter().map(|(_, _, _, left, right)| (left.to_string(), right.to_string())).collect();
    let unknown = metadata.count("tokenizer.ggml.unknown_token_id")?.unwrap_or(0);
    let mut builder =
        BPE::builder().vocab_and_merges(vocabulary(tokens), pairs).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = tokens.get(unknown) {
        builder = builder.unk_token(unknown.clone());
    }
    let mut inner = tokenizers::Tokenizer::new(builder.build().map_err(refused)?);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
        steps.push(Prepend::new("▁".into()).into());
    }
    steps.push(Replace::new(" ", "▁").map_err(refused)?.into());
    inner.with_normalizer(Some(Normalizers::new(steps))).map_err(refused)?;
    Ok(inner)
}

/// Numbers by text; where a file repeats a token, the first number counts.
fn vocabulary(tokens: &[String]) -> Vocab {
    tokens.iter().enumerate().rev().map(|(id, text)| (text.clone(), id as u32)).collect()
}

/// The bytes of a SentencePiece token.
pub(super) fn piece_bytes(piece: &str) -> Vec<u8> {
    let byte = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    if let Some(byte) = byte.filter(|hex| hex.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
        return vec![byte];
    }
    piece.replace('▁', " ").into_bytes()
}

pub(super) fn refused(error: impl std::fmt::Display) -> LanguageError {
    LanguageError::Tokenizer(error.to_string())
}
