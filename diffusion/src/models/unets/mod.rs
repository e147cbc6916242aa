//! The denoising networks.

pub mod unet_2d_blocks;
pub mod unet_2d_condition;
pub mod unet_2d_config;
