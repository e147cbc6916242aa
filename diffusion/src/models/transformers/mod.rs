//! Transformers over pictures.

pub mod transformer_2d;
