//! Characters: cards, lorebooks, portraits, ideas.

pub(super) mod character_lorebook;
pub(super) mod character_portrait;
pub(super) mod character_suggestions;
pub(super) mod export_character;
pub(super) mod import_character;
