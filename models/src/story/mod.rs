//! Stories, scenes, episodes and scripts.

pub mod artifacts;
pub mod dialogue_layers;
pub mod environment_anchors;
pub mod episode_assets;
pub mod episode_scenes;
pub mod episodes;
pub mod layers;
pub mod scenes;
pub mod scripts;
pub mod stories;
pub mod story_characters;
