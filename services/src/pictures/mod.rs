//! Pictures for a purpose: scenes, portraits, avatars.

pub mod admin_picture;
pub mod character_portrait;
pub mod scene_picture;
