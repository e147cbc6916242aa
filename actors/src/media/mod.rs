//! Media of scripts: pictures, clips of sound, and the videos that they become.
//!
//! ```text
//! QueueMedia ─▶ ClaimJob ─▶ audio ─▶ images ─▶ video ─▶ merge ─▶ lip sync ─▶ EndGraph
//!                            each step is kept by RecordNode: files, rows and that it is done in one commit
//! ```

pub(crate) mod before_write;
pub mod failure;
pub mod files;
pub mod jobs;
pub mod queue;
pub mod steps;
