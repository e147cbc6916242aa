//! From prompt to picture.

pub mod denoise;
pub mod encode_prompt;
pub mod guidance;
pub mod guides;
pub mod motion;
pub mod refine;
pub mod stable_diffusion;
pub mod vae_tiles;
mod vae_tiling;
