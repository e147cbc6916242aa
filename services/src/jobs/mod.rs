//! Jobs: what is asked for, what is made of it, and waiting for its end.

mod ab_test;
pub mod await_job;
mod character_lora;
pub(crate) mod character_steering;
pub mod depicted_characters;
mod enhance_for_job;
mod enhancement_preset;
pub mod follow_job;
pub mod job_assets;
mod job_fields;
pub(crate) mod job_guides;
pub(crate) mod job_metadata;
mod job_pictures;
pub(crate) mod job_prompts;
pub mod job_request;
mod new_job;
pub(crate) mod painted_part;
pub(crate) mod picture_model;
pub(crate) mod price_list;
pub mod queue_job;
mod refining;
pub(crate) mod run_queue;
pub(crate) mod selected_model;
pub mod train_lora;
mod upscaling;
mod video_duration;
mod without_effect;
