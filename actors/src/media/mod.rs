//! Media of scripts: pictures, clips of sound, and the videos that they become.

pub(crate) mod before_write;
pub mod failure;
pub mod steps;
