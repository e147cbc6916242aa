//! What an account may do with all that is its own.

pub mod export_data;
