//! Exports: scenes and episodes as files that people read.
//!
//! ```text
//! begin, finalize, generate_video ─▶ a row of exports, and a job where a file is made ─▶ worker.rs
//!        │                                                                                  │
//!    scenes.rs: which picture, layers and bubbles a scene has                       make.rs: crate pages
//! ```

pub mod ask;
pub mod make;
pub mod options;
pub mod scenes;
pub mod share;
pub mod worker;
