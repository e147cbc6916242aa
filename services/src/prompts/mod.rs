//! Prompts: templates, the prompt cache, and models that write and judge.

pub mod ask_model;
pub mod enhance_prompt;
mod enhance_request;
mod enhance_scene;
pub mod negative_prompt;
pub mod prompt_cache;
pub mod templates;
