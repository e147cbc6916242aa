//! Training a LoRA: a low-rank correction of the attention weights that makes a model know a character.
//!
//! ```text
//! pictures ──VAE──▶ latents ┐
//! captions ──text encoder─▶ ├─▶ UNet with W + α/r · up · down ──▶ loss ──autodiff──▶ AdamW on up and down
//! noise and timestep ───────┘
//! ```
//!
//! The networks are those that draw: the correction is added to their weights as tensors that require gradients, and
//! [`crate::ops`] takes burn's own operations wherever a tensor is part of a graph.
//!
//! E. J. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.

mod adamw;
mod adapted;
mod examples;
mod factors;
mod files;
#[cfg(test)]
mod gradients_tests;
mod memory;
mod objective;
mod run;
mod settings;

pub use examples::TrainingPicture;
pub use files::{Checkpoint, lora_metadata};
pub use run::{LoraTrainer, TrainingStep, suited};
pub use settings::{LoraTraining, PICTURES_MAX, PICTURES_MIN};
