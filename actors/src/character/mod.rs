//! Characters and what belongs to them.

pub(crate) mod canonical_codes;
pub mod card_columns;
pub mod card_rating;
pub(crate) mod character_scenes;
pub(crate) mod characters;
pub mod consistency;
pub mod import_character;
pub(crate) mod likes;
pub mod mend_scenes;
pub(crate) mod primaries;
pub(crate) mod reference_images;
pub mod starter_characters;
pub(crate) mod variants;
