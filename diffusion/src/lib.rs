//! How pictures are made: the Stable Diffusion family in burn.
//!
//! [`DiffusionModel::load`] reads a model, [`DiffusionModel::generate`] draws with it. No tables, no HTTP:
//! the caller owns the thread and the device.

mod clip_text_model;
mod clip_tokenizer;
mod clip_vision_model;
mod clip_vocabulary;
mod config;
mod device;
mod edge_lines;
mod error;
mod found_device;
mod frames;
mod generate;
mod guarded;
mod guide_spec;
mod image_processor;
mod latents;
mod lora;
mod model;
pub mod models;
mod noise;
pub mod ops;
mod pillow_resize;
pub mod pipelines;
mod preview;
pub mod prompt;
mod prompt_embedding_cache;
mod refiner;
mod saving;
pub mod schedulers;
mod shared_run;
mod spec;
mod starter;
mod step_report;
mod textual_inversion;
mod tiles;
pub mod training;
mod upscaler;
mod vae_choice;
pub mod weights;

pub use clip_text_model::{ClipTextConfig, ClipTextModel, ClipTextOutput};
pub use clip_tokenizer::{ClipTokenizer, TokenizerFiles};
pub use clip_vision_model::{
    ClipImageProcessor, ClipVisionConfig, ClipVisionModel, ClipVisionOutput, ImageEncoder,
};
pub use device::{DeviceChoice, DeviceFacts};
pub use error::DiffusionError;
pub use frames::FrameSpec;
pub use guide_spec::{ControlSpec, GuideSpec, ImagePromptSpec, MotionSpec, ReferenceSpec};
pub use image_processor::{read_guide_picture, read_init_image, read_mask};
pub use latents::Latents;
pub use lora::{Lora, LoraScale};
pub use model::{DiffusionModel, LoadOptions, ModelKind, ModelSource, WeightType, name_of};
pub use noise::{Noise, NoiseGenerator, slerp};
pub use pipelines::motion::{FRAMES_TOGETHER, FRAMES_TOGETHER_OWN};
pub use pipelines::vae_tiles::VaeTiles;
pub use refiner::Refiner;
pub use saving::Saving;
pub use spec::{GenerateSpec, NUM_IMAGES_MAX, PROMPT_BYTES_MAX, SIDE_PX_MAX};
pub use starter::{ModelAbout, starter_about, starter_model_card};
pub use step_report::StepReport;
pub use textual_inversion::{LearnedWords, TextualInversion};
pub use tiles::{Tile, Tiling};
pub use upscaler::{TilesDone, Upscaler, UpscalerAbout};
