//! Templates, presets and configuration.

pub mod installed_models;
pub mod local_provider;
pub mod merge_config;
pub mod model_history;
pub mod preset_use;
pub mod provider_key;
pub mod seed_catalog;
mod starter_motions;
mod starter_negatives;
mod starter_storyboard;
mod starter_styles;
mod starter_templates;
pub(crate) mod styles;
