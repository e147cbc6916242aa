//! What a prompt says: words with weights, mixtures of prompts, prompts side by side.

mod a1111;
mod compel;
mod edits;
mod encode;
mod weighting;

use serde::{Deserialize, Serialize};

pub use a1111::parse_a1111;
pub use compel::parse_compel;
pub use edits::prompt_of_steps;
pub use encode::{encode_native, encode_prompts, encode_text};

/// What brackets and signs in a prompt mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptSyntax {
    /// Nothing.
    #[default]
    Plain,
    /// Compel: `(red)1.3`, `red++`, `("a", "b").blend(0.7, 0.3)`, `("a", "b").and()`.
    Compel,
    /// A1111: `(red:1.3)`, `((red))`, `[red]`, `BREAK`, with Compel's rule for what a weight does.
    A1111,
    /// A1111 with its own rule: states times weight, the mean restored.
    A1111Native,
}

impl PromptSyntax {
    /// Whether A1111's words mean something: brackets, `BREAK`, `<lora:…>`.
    pub fn is_a1111(self) -> bool {
        matches!(self, Self::A1111 | Self::A1111Native)
    }
}

/// What becomes of words that do not fit into one row of 77.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongPrompts {
    /// Further rows, split at the end of a sentence, a phrase or a word.
    #[default]
    Split,
    /// They are cut off, as diffusers does.
    Truncate,
}

/// Words that share a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    /// The words.
    pub text: String,
    /// 1 is plain.
    pub weight: f64,
    /// Whether they begin a row of their own: `BREAK` in A1111's syntax.
    pub begins_row: bool,
}

impl Fragment {
    /// Words as they are.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), weight: 1.0, begins_row: false }
    }
}

/// One prompt, or a mixture of several.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Weighted words.
    Prompt(Vec<Fragment>),
    /// Several prompts as one.
    Blend {
        /// The prompts.
        prompts: Vec<Vec<Fragment>>,
        /// Their weights.
        weights: Vec<f64>,
        /// Whether the weights are made to sum to 1.
        normalize: bool,
    },
}

/// Prompts side by side, each with its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Conjunction {
    /// The prompts.
    pub parts: Vec<(Part, f64)>,
}

impl Conjunction {
    /// A single prompt of plain words.
    pub fn plain(text: &str) -> Self {
        Self { parts: vec![(Part::Prompt(vec![Fragment::plain(text)]), 1.0)] }
    }
}
