//! What goes to the device and what comes back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use diffusion::{DiffusionError, GenerateSpec};
use image::RgbImage;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::model_choice::ListedModel;
use super::motion_choice::ChosenMotion;
use super::payload::{RenderRequest, SourceHashes};
use super::picture_record::{ComputedWith, RecordedRefiner};
use super::train::TrainingSlice;
use crate::job_scheduler::{HiresPass, PasteWork};

/// Jobs for the device: one, or several whose pictures are drawn side by side.
pub(super) struct Work {
    pub model: ListedModel,
    pub jobs: Vec<Task>,
    /// A slice of a training, in place of jobs.
    pub training: Option<TrainingSlice>,
    /// A way to draw others beside the only one.
    pub slots: Option<BatchSlots>,
    /// Gets a message when the work is nearly done.
    pub ending: Option<oneshot::Sender<()>>,
}

/// Places beside the first job of a batch.
pub(super) struct BatchSlots {
    /// Where the device says how many there are.
    pub free: oneshot::Sender<usize>,
    /// Jobs that take them, perhaps none.
    pub tasks: Receiver<Vec<Task>>,
}

/// A job.
pub(super) struct Task {
    pub job: Uuid,
    pub request: RenderRequest,
    pub cancel: Arc<AtomicBool>,
    pub reply: oneshot::Sender<Result<Drawn, DrawError>>,
}

impl Task {
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// What was drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    pub spec: GenerateSpec,
    pub model: String,
    pub weights_hash: String,
    /// How it was computed.
    pub computed: ComputedWith,
    /// Hashes of the pictures that it began with.
    pub sources: SourceHashes,
    /// The second pass that its pictures had.
    pub hires: Option<HiresPass>,
    /// The part that was drawn, where it was put back into a whole.
    pub paste: Option<PasteWork>,
    /// The model that drew the last steps.
    pub refiner: Option<RecordedRefiner>,
    pub result: DrawnResult,
    /// What of the job was drawn otherwise than its sender may expect.
    pub warnings: Vec<String>,
    pub took: Duration,
    /// When the device took it up.
    pub taken: Instant,
    /// When its first step began.
    pub began: Instant,
    /// How long the device did nothing between the job before and that step.
    pub gap: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum DrawnResult {
    /// Pictures; the first has the spec's seed, each later one the next.
    Pictures(Vec<RgbImage>),
    /// A picture that was made larger.
    Upscaled {
        /// It.
        picture: RgbImage,
        /// How many times longer its sides became.
        scale: f64,
        /// A1111's text of the picture before, if it had one, and of this.
        parameters: String,
    },
    /// A video.
    Video {
        /// The file.
        mp4: Vec<u8>,
        /// Its first frame.
        first: RgbImage,
        /// How many frames it has.
        frames: u64,
        /// How many of them a second.
        fps: u64,
        /// How long it is, in seconds, rounded up.
        seconds: i64,
        /// The motion module that moves it; none where its frames lie between key frames.
        motion: Option<ChosenMotion>,
    },
}

/// Why nothing was drawn.
#[derive(Debug)]
pub enum DrawError {
    /// The job cannot be followed; another attempt would not help.
    Refused(String),
    /// The device or the model failed; another attempt may help.
    Failed(String),
    /// The device has too little memory; less at a time may help.
    OutOfMemory(String),
    /// The device's driver failed for good; another device may draw it.
    DeviceLost(String),
    /// The job was cancelled.
    Cancelled,
}

impl DrawError {
    /// Whether the device is at fault, or may be, and what it holds with it.
    pub(super) fn is_of_device(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::OutOfMemory(_) | Self::DeviceLost(_))
    }
}

/// Whether to go on: not when all of them are cancelled.
pub(super) fn unless_cancelled(jobs: &[&Task]) -> ControlFlow<()> {
    store::crash::point("job_rendering");
    match jobs.iter().all(|task| task.is_cancelled()) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// What a failure means for the job: broken files and fields stay broken, the device may recover.
pub(super) fn explained(error: DiffusionError) -> DrawError {
    match error {
        DiffusionError::Cancelled { .. } => DrawError::Cancelled,
        DiffusionError::OutOfMemory(message) => DrawError::OutOfMemory(message),
        DiffusionError::DeviceLost(_) => DrawError::DeviceLost(error.to_string()),
        DiffusionError::Backend(_) | DiffusionError::Io { .. } => DrawError::Failed(error.to_string()),
        other => DrawError::Refused(other.to_string()),
    }
}
