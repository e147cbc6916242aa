//! How pictures are made: the Stable Diffusion family in burn.

mod clip_text_model;
mod clip_tokenizer;
mod config;
mod device;
mod error;
pub mod models;
mod noise;
mod ops;
pub mod pipelines;
pub mod prompt;
pub mod schedulers;
pub mod weights;

pub use clip_text_model::{ClipTextConfig, ClipTextModel, ClipTextOutput};
pub use clip_tokenizer::{ClipTokenizer, TokenizerFiles};
pub use device::DeviceChoice;
pub use error::DiffusionError;
pub use noise::{Noise, NoiseGenerator, slerp};
