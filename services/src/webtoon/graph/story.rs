//! What the nodes of a StoryBuild know of the story.

use super::StoryBuild;
use super::run::Step;

/// How often a script is written again.
pub const RETRIES_MAX: u32 = 3;

/// What nodes know of the story.
pub struct Story<'s> {
    /// What is asked for.
    pub build: &'s StoryBuild,
    /// The genre.
    pub genre: String,
    /// Panels of a scene.
    pub panels: u32,
    /// How far it has come.
    pub step: Step,
}

impl Story<'_> {
    /// The step of a number.
    pub fn step(&self, number: u32) -> Step {
        Step { number, ..self.step }
    }
}
