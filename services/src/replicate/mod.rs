//! Pictures by an external provider that speaks Replicate's predictions API.

mod likeness;
mod prediction_input;
pub mod prediction_status;
pub mod start_prediction;
pub mod take_report;
