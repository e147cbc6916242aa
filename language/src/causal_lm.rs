//! What must a model be able to do for the engine to speak with it?

use crate::error::LanguageError;

/// Which positions' next-token scores a step should return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// None: the step only fills the memory.
    None,
    /// Those after the last token.
    Last,
    /// Those after every token, one row after the other.
    All,
}

/// New tokens of one sequence, and its memory.
pub struct Step<'a, C> {
    /// The tokens, in order; at least one.
    pub tokens: &'a [u32],
    /// What the sequence remembers of the tokens before.
    pub cache: &'a mut C,
    /// Which scores are wanted.
    pub scores: Scores,
}

/// A language model that reads tokens and scores what may follow.
pub trait CausalLm: Send + 'static {
    /// What a sequence remembers between steps.
    type Cache: Send;

    /// An empty memory.
    fn new_cache(&self) -> Self::Cache;
    /// Tokens that a memory holds.
    fn cache_len(&self, cache: &Self::Cache) -> usize;
    /// Bytes that a memory takes.
    fn cache_bytes(&self, cache: &Self::Cache) -> usize;
    /// Forgets everything from position `len` on, also what a failed step half wrote.
    fn truncate(&self, cache: &mut Self::Cache, len: usize);
    /// Another memory of the first `len` positions.
    fn copy(&self, cache: &Self::Cache, len: usize) -> Self::Cache;
    /// Tokens in the vocabulary.
    fn vocab_size(&self) -> usize;
    /// Longest sequence.
    fn context_tokens(&self) -> usize;
    /// Tokens of one sequence that a step may read with the same scores after each, bit by bit, as if a step read it alone.
    fn same_alone_max(&self) -> usize {
        1
    }
    /// Advances several sequences at once; the answer holds one list of scores per step.
    fn forward(&mut self, steps: &mut [Step<'_, Self::Cache>]) -> Result<Vec<Vec<f32>>, LanguageError>;
}
