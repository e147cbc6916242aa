//! Storyboards: pictures and clips of scenes, frames, films, and what a model proposes.

pub mod apply_proposal;
pub mod approve_picture;
pub mod clip_frame;
pub mod draw_scene;
pub mod film;
pub mod make_clip;
pub mod owned;
