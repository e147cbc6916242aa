//! Jobs: what is asked for, what is made of it, and waiting for its end.

pub mod await_job;
pub(crate) mod character_steering;
pub(crate) mod depicted_characters;
mod enhance_for_job;
pub mod job_assets;
mod job_fields;
mod job_pictures;
mod job_prompts;
pub mod job_request;
mod new_job;
pub(crate) mod price_list;
pub mod queue_job;
