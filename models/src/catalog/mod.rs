//! Providers, models, templates, presets and configuration.

pub mod api_models;
pub mod api_providers;
pub mod character_templates;
pub mod compel_configs;
pub mod enhancement_presets;
pub mod installed;
pub mod motion_presets;
pub mod negative_prompts;
pub mod preset_ratings;
pub mod prompt_templates;
pub mod seeds;
pub mod style_presets;
pub mod system_config;
pub mod tag_presets;
