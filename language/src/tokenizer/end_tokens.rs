//! Which tokens end a turn by their looks? Files name one end, and models say others.

use std::collections::BTreeSet;

use tokenizers::AddedToken;

use super::from_gguf::refused;
use crate::error::LanguageError;

/// Tokens that end a turn in every model that has them, whatever their type in the file: the list of llama.cpp
/// (`llama-vocab.cpp`, `special_eog_ids`), and DeepSeek's.
const ENDS: [&str; 20] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_utterance>",
    "<turn|>",
    "<｜end▁of▁sentence｜>",
];

/// The ends that a vocabulary has. Those that it takes for words become marks, and the log says so.
pub(super) fn mark_ends(inner: &mut tokenizers::Tokenizer) -> Result<BTreeSet<u32>, LanguageError> {
    let added = inner.get_added_tokens_decoder();
    let mut ends = BTreeSet::new();
    for text in ENDS {
        let Some(id) = inner.token_to_id(text) else { continue };
        ends.insert(id);
        if !added.get(&id).is_some_and(|token| token.special) {
            tracing::warn!(token = text, "an end of turn that the vocabulary takes for a word; it is a mark");
            let token = AddedToken::from(text, true).normalized(false);
            inner.add_special_tokens(vec![token]).map_err(refused)?;
        }
    }
    Ok(ends)
}
