//! Templates, presets and configuration.

pub mod merge_config;
pub mod provider_key;
pub mod seed_catalog;
mod starter_negatives;
mod starter_templates;
