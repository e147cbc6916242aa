//! Whether a plan is good enough.

pub mod gate;
pub mod quality;
