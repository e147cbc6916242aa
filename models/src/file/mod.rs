//! Buckets and objects of the storage dialect.

pub mod buckets;
pub mod objects;
