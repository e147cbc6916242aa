//! Pictures to latents and back.

pub mod autoencoder_kl;
pub mod autoencoder_tiny;
pub mod vae;
