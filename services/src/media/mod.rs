//! Media of scripts: what is said becomes sound, what is seen pictures, and both a video.
//!
//! ```text
//! order, retry ─▶ the queue ─▶ worker ─▶ steps: audio ─▶ images ─▶ video ─▶ merge ─▶ lip sync
//!                                  │        │        └ jobs of pictures, drawn as any other
//!                                  │        └ speech: a server, or espeak-ng on this machine
//!                                  └─▶ pieces alone
//! ```

pub mod alone;
mod audio_piece;
mod counted_call;
pub mod delete;
mod image_piece;
mod lip_sync;
mod merge;
pub mod order;
mod picture_video;
mod piece;
pub mod pieces;
pub mod retry;
mod run;
pub mod speech;
mod steps;
pub mod worker;
