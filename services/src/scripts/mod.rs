//! Scripts of chapters: writing, judging, comparing them.

pub mod difference;
pub mod evaluate;
pub mod find;
pub mod generate;
pub mod text;
