//! What a run tells while it draws.

use std::ops::ControlFlow;
use std::time::Instant;

use image::RgbImage;

use crate::DiffusionError;

/// Where a run stands.
pub struct StepReport<'a> {
    /// Steps done, from 1; the same again, or 0, between windows of a video's frames.
    pub step: usize,
    /// Steps in all; twice as many for Heun.
    pub steps: usize,
    /// Index of the first picture that is being drawn.
    pub image: usize,
    /// How many pictures are being drawn side by side.
    pub together: usize,
    /// When the step began.
    pub began: Instant,
    /// Makes a small picture of one of those that are being drawn, by its place among them.
    pub(crate) draw: &'a dyn Fn(usize) -> Result<RgbImage, DiffusionError>,
}

impl StepReport<'_> {
    /// A small picture of what the first of the pictures is becoming, made only when asked for.
    pub fn preview(&self) -> Result<RgbImage, DiffusionError> {
        (self.draw)(0)
    }

    /// The same of another of the pictures that are being drawn, by its index among all of the run.
    pub fn preview_of(&self, image: usize) -> Result<RgbImage, DiffusionError> {
        (self.draw)(image.saturating_sub(self.image).min(self.together.saturating_sub(1)))
    }
}

impl std::fmt::Debug for StepReport<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "step {} of {}", self.step, self.steps)
    }
}

/// Is asked after every step whether to go on.
pub type OnStep<'a> = &'a mut dyn FnMut(&StepReport<'_>) -> ControlFlow<()>;
