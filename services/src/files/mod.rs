//! Pictures that callers name: stored files and URLs.

pub mod fetch_picture;
pub(crate) mod file_hash;
pub mod open_address;
pub mod picture_for_model;
pub mod picture_kind;
pub mod reference_picture;
pub mod stored_address;
pub mod thumbnails;
