//! How it is spoken: the only crate that knows HTTP.

pub mod app;
pub mod caller;
pub mod config;
pub mod gotrue;
pub mod keys;
pub mod token;
