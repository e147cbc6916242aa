//! Buckets and objects of the storage dialect.

pub mod buckets;
pub mod objects;
pub mod picture_reports;
pub mod pictures_of_minors;
pub mod reviewed_pictures;
