//! Jobs and what they produce.

pub mod audio_generations;
pub mod exports;
pub mod image_generations;
pub mod images;
pub mod jobs;
pub mod queue_entries;
pub mod video_generations;
pub mod videos;
pub mod workspace_assets;
