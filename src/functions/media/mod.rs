//! Functions of media of scripts.

pub mod delete_media;
pub mod generate_media;
pub mod generate_video;
pub mod retry_video;
