//! Where weights come from: safetensors files, whole or in shards, by diffusers' or the original names.

pub mod checkpoint;
pub mod component;
pub mod controlnet_file;
pub mod inspect;
pub mod ip_adapter_file;
pub mod load;
pub mod motion_file;
mod open_checkpoint;
pub mod published;
pub mod safetensors;
pub mod upscaler_file;
pub mod vae_file;

pub use component::ComponentWeights;
pub use inspect::{Inspection, inspect, memory_bytes, outline, verify};
