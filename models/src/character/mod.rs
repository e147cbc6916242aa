//! Characters and what belongs to them.

pub mod card_files;
pub mod character_anchors;
pub mod character_canon;
pub mod character_likes;
pub mod character_loras;
pub mod character_portraits;
pub mod character_reference_images;
pub mod character_scenes;
pub mod character_variant_suggestions;
pub mod character_variants;
pub mod characters;
