//! Prompts, pictures in words, scenes.

pub(super) mod describe_image;
pub(super) mod enhance_prompt;
pub(super) mod get_negative_prompt;
pub(super) mod refresh_prompt_cache;
pub(super) mod scene_narrative;
pub(super) mod score_generation;
pub(super) mod storyboard_ai_assist;
pub(super) mod try_template;
