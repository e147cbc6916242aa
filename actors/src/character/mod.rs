//! Characters and what belongs to them.

pub(crate) mod character_scenes;
pub(crate) mod characters;
