//! Stories of webtoons: what holds for scenes, artifacts and episodes with every writer.

pub(crate) mod artifacts;
pub(crate) mod environments;
pub(crate) mod episode_scenes;
mod import_project;
pub(crate) mod scenes;
mod set_episode_scenes;
pub(crate) mod stories;
pub(crate) mod style_names;

pub use import_project::ImportProject;
pub use set_episode_scenes::SetEpisodeScenes;
