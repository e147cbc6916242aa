//! Buckets and objects of the storage dialect.

pub mod buckets;
pub mod objects;
pub mod picture_reports;
pub mod reviewed_pictures;
