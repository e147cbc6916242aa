//! What stands in for a language model where none is asked: rules over the text alone, the same for the same text.

pub mod characters;
pub mod critic;
pub mod looks;
pub mod metaphors;
pub mod panels;
pub mod scene;
pub mod script;
