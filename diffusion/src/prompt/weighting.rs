//! Tokens of weighted words, cut into rows.

use super::{Fragment, LongPrompts};
use crate::pipelines::stable_diffusion::TextEncoder;
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

/// A token with its weight and the fragment it came from.
type Token = (u32, f64, usize);

/// Lays the tokens of `fragments` out in rows.
pub fn token_rows(
    encoder: &TextEncoder,
    fragments: &[Fragment],
    long_prompts: LongPrompts,
) -> Result<TokenRows, DiffusionError> {
    let tokenizer = &encoder.tokenizer;
    let mut rows = TokenRows { ids: Vec::new(), weights: Vec::new(), fragment: Vec::new() };
    // What follows a break never shares a row with what was before it.
    let mut passages: Vec<Vec<Token>> = vec![Vec::new()];
    for (index, fragment) in fragments.iter().enumerate() {
        let mut ids = encoder.encode(&fragment.text)?;
        if long_prompts == LongPrompts::Truncate {
            ids.truncate(tokenizer.chunk_length());
        } else if fragment.begins_row {
            passages.push(Vec::new());
        }
        if let Some(passage) = passages.last_mut() {
            passage.extend(ids.into_iter().map(|id| (id, fragment.weight, index)));
        }
    }
    // A break at the very end begins nothing.
    if passages.len() > 1 && passages.last().is_some_and(Vec::is_empty) {
        passages.pop();
    }
    for passage in passages {
        let mut rest = passage.as_slice();
        loop {
            if rows.ids.len() >= ROWS_MAX {
                let reason = format!("longer than {ROWS_MAX} rows of {} words", tokenizer.chunk_length());
                return Err(DiffusionError::spec("prompt", reason));
            }
            let at = match long_prompts {
                LongPrompts::Truncate => rest.len().min(tokenizer.chunk_length()),
                LongPrompts::Split => split_point(tokenizer, rest),
            };
            let (chunk, remaining) = rest.split_at(at);
            rows.push(tokenizer, chunk);
            rest = remaining;
            if rest.is_empty() || long_prompts == LongPrompts::Truncate {
                break;
            }
        }
    }
    Ok(rows)
}

impl TokenRows {
    fn push(&mut self, tokenizer: &ClipTokenizer, chunk: &[Token]) {
        let ids: Vec<u32> = chunk.iter().map(|(id, _, _)| *id).collect();
        self.ids.push(tokenizer.row(&ids));
        let mut weights = vec![1.0; tokenizer.max_length];
        let mut origins = vec![None; tokenizer.max_length];
        for (i, (_, weight, fragment)) in chunk.iter().enumerate() {
            weights[i + 1] = *weight;
            origins[i + 1] = Some(*fragment);
        }
        self.weights.push(weights);
        self.fragment.push(origins);
    }
}

/// After the last sentence that fits, else the last phrase, else the last word, else brutally.
fn split_point(tokenizer: &ClipTokenizer, tokens: &[Token]) -> usize {
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
