//! Storyboards: scenes in order, clips and what becomes of them, films.

pub mod apply_plan;
pub mod arrange_scenes;
pub mod clip_kinds;
pub mod clip_result;
pub mod film_render;
pub mod keep_frame;
pub(crate) mod scene_order;
