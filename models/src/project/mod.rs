//! Projects, storyboards and books.

pub mod books;
pub mod chapters;
pub mod projects;
pub mod storyboard_clips;
pub mod storyboard_frames;
pub mod storyboard_projects;
pub mod storyboard_renders;
pub mod storyboard_scenes;
