//! Functions of storyboards.

pub mod approve_scene_picture;
pub mod draw_scene;
pub mod extract_frame;
pub mod make_clip;
pub mod order_scenes;
pub mod render_storyboard;
