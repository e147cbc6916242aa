//! Where weights come from: safetensors files, whole or in shards, by diffusers' or the original names.

pub mod component;
pub mod load;
pub mod safetensors;

pub use component::ComponentWeights;
