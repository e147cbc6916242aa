//! Tokens of weighted words, cut into rows.

use super::{Fragment, LongPrompts};
use crate::{ClipTokenizer, DiffusionError};

/// A prompt never takes more rows than this.
const ROWS_MAX: usize = 32;

/// Rows of ids with the weight of each token and the fragment it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRows {
    /// Rows of full length.
    pub ids: Vec<Vec<u32>>,
    /// As `ids`.
    pub weights: Vec<Vec<f64>>,
    /// As `ids`; none for start, end and padding.
    pub fragment: Vec<Vec<Option<usize>>>,
}

/// Lays the tokens of `fragments` out in rows.
pub fn token_rows(
    tokenizer: &ClipTokenizer,
    fragments: &[Fragment],
    long_prompts: LongPrompts,
) -> Result<TokenRows, DiffusionError> {
    let mut tokens = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        let mut ids = tokenizer.encode(&fragment.text)?;
        if long_prompts == LongPrompts::Truncate {
            ids.truncate(tokenizer.chunk_length());
        }
        tokens.extend(ids.into_iter().map(|id| (id, fragment.weight, index)));
    }
    let mut rows = TokenRows { ids: Vec::new(), weights: Vec::new(), fragment: Vec::new() };
    let mut rest = tokens.as_slice();
    loop {
        let at = match long_prompts {
            LongPrompts::Truncate => rest.len().min(tokenizer.chunk_length()),
            LongPrompts::Split => split_point(tokenizer, rest),
        };
        let (chunk, remaining) = rest.split_at(at);
        let ids: Vec<u32> = chunk.iter().map(|(id, _, _)| *id).collect();
        rows.ids.push(tokenizer.row(&ids));
        let mut weights = vec![1.0; tokenizer.max_length];
        let mut origins = vec![None; tokenizer.max_length];
        for (i, (_, weight, fragment)) in chunk.iter().enumerate() {
            weights[i + 1] = *weight;
            origins[i + 1] = Some(*fragment);
        }
        rows.weights.push(weights);
        rows.fragment.push(origins);
        rest = remaining;
        if rest.is_empty() || long_prompts == LongPrompts::Truncate {
            return Ok(rows);
        }
        if rows.ids.len() >= ROWS_MAX {
            let reason = format!("longer than {ROWS_MAX} rows of {} words", tokenizer.chunk_length());
            return Err(DiffusionError::spec("prompt", reason));
        }
    }
}

/// After the last sentence that fits, else the last phrase, else the last word, else brutally.
fn split_point(tokenizer: &ClipTokenizer, tokens: &[(u32, f64, usize)]) -> usize {
    let length = tokenizer.chunk_length();
    if tokens.len() <= length {
        return tokens.len();
    }
    let ends = |wanted: &dyn Fn(&str) -> bool| {
        (0..length).rev().find(|&i| tokenizer.token(tokens[i].0).is_some_and(|token| wanted(&token)))
    };
    ends(&|token| token == ".</w>")
        .or_else(|| ends(&|token| [".</w>", ",</w>", ";</w>", ":</w>"].contains(&token)))
        .or_else(|| ends(&|token| token.ends_with("</w>")))
        .map_or(length, |index| index + 1)
}
