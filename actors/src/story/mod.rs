//! Stories of webtoons: what holds for scenes, artifacts and episodes with every writer.

pub(crate) mod artifacts;
pub(crate) mod environments;
pub(crate) mod episode_scenes;
pub(crate) mod scenes;
pub(crate) mod stories;
pub(crate) mod style_names;
