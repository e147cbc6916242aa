//! Pictures by external providers: those that speak Replicate's predictions API, fal's queue, or OpenAI's dialect.

mod draw_here;
mod fail_job;
mod fal_queue;
mod likeness;
mod openai_images;
mod prediction_input;
pub mod prediction_status;
pub mod provider_api;
pub mod start_prediction;
pub mod take_report;
