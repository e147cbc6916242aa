//! Pictures for a purpose: scenes, portraits, avatars.

pub mod admin_picture;
pub mod character_portrait;
pub mod chosen_models;
pub mod infotext;
pub mod moderation;
pub mod picture_settings;
pub mod program_picture;
pub mod scene_picture;
pub mod verify_picture;
