//! A story's text.

pub mod chunker;
pub mod estimate;
pub mod importance;
pub mod words;
