//! What a picture is drawn from.

pub mod codes;
pub mod prompt;
pub mod references;
pub mod style;
