//! Prompts: templates, the prompt cache, and models that write and judge.

pub mod ask_model;
pub mod enhance_prompt;
pub mod enhance_request;
pub mod enhance_scene;
pub mod negative_prompt;
pub mod prompt_cache;
pub mod templates;
pub mod try_template;
