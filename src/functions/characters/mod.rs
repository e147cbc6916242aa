//! Characters: cards, lorebooks, portraits, ideas.

pub(super) mod character_from_template;
pub(super) mod character_lorebook;
pub(super) mod character_portrait;
pub(super) mod character_suggestions;
pub(super) mod delete_in_use;
pub(super) mod export_character;
pub(super) mod import_character;
