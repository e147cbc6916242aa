//! Templates, presets and configuration.

pub mod merge_config;
pub mod sow;
mod starter_negatives;
mod starter_templates;
