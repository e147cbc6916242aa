//! The thread that owns the device. Work comes in through a bounded channel, pictures go out through the work's reply.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use diffusion::{DiffusionError, GenerateSpec, StepReport};
use image::RgbImage;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::RenderOptions;
use super::model_choice::ListedModel;
use super::model_shelf::ModelShelf;
use super::payload::Order;
use super::picture::{Origin, png, preview_png, thumbnail_webp};
use super::progress::{Progress, Step};

/// Previews are made at most this often.
const PREVIEW_EVERY: Duration = Duration::from_millis(200);

/// One job for the device.
pub(super) struct Work {
    pub job: Uuid,
    pub order: Order,
    pub model: ListedModel,
    pub cancel: Arc<AtomicBool>,
    pub reply: oneshot::Sender<Result<Drawn, DrawError>>,
}

/// What was drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    pub spec: GenerateSpec,
    pub weights_hash: String,
    pub pictures: Vec<DrawnPicture>,
    pub took: Duration,
}

/// One picture as files.
#[derive(Debug)]
pub(super) struct DrawnPicture {
    pub seed: u64,
    pub png: Vec<u8>,
    pub thumbnail: Vec<u8>,
}

/// Why nothing was drawn.
#[derive(Debug)]
pub(super) enum DrawError {
    /// The job cannot be followed; another attempt would not help.
    Refused(String),
    /// The device or the model failed; another attempt may help.
    Failed(String),
    /// The job was cancelled.
    Cancelled,
}

/// Starts the thread; one job may wait in the channel while another is drawn.
pub(super) fn start(options: RenderOptions, progress: Arc<Progress>) -> Result<Sender<Work>, String> {
    let (sender, receiver) = bounded(1);
    std::thread::Builder::new()
        .name("render".into())
        .spawn(move || run(options, &progress, &receiver))
        .map_err(|error| format!("no thread to draw on: {error}"))?;
    Ok(sender)
}

fn run(options: RenderOptions, progress: &Progress, work: &Receiver<Work>) {
    let mut shelf = ModelShelf::new(options);
    for work in work {
        let outcome = catch_unwind(AssertUnwindSafe(|| draw(&mut shelf, progress, &work)))
            .unwrap_or_else(|_| Err(DrawError::Failed("the device failed while drawing".into())));
        if matches!(outcome, Err(DrawError::Failed(_))) {
            shelf.drop_model(&work.model);
        }
        let _ = work.reply.send(outcome);
    }
}

fn draw(shelf: &mut ModelShelf, progress: &Progress, work: &Work) -> Result<Drawn, DrawError> {
    if work.cancel.load(Ordering::Relaxed) {
        return Err(DrawError::Cancelled);
    }
    let model = shelf.take(&work.model).map_err(explained)?;
    let spec = work.order.spec(model).map_err(DrawError::Refused)?;
    let started = Instant::now();
    let mut last_preview: Option<Instant> = None;
    let mut on_step = |report: &StepReport<'_>| {
        store::crash::point("job_rendering");
        if work.cancel.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if progress.is_watched(work.job) {
            let due = last_preview.is_none_or(|last| last.elapsed() >= PREVIEW_EVERY);
            let preview = due.then(|| report.preview().ok().as_ref().and_then(preview_png)).flatten();
            if due {
                last_preview = Some(Instant::now());
            }
            let (step, steps, image) = (report.step, report.steps, report.image);
            progress.tell(work.job, Step { step, steps, image, preview_png: preview.map(Arc::new) });
        }
        ControlFlow::Continue(())
    };
    let pictures = model.generate(&spec, &mut on_step).map_err(explained)?;
    let took = started.elapsed();
    let hash = model.weights_hash().to_string();
    let files: Result<Vec<DrawnPicture>, String> = pictures
        .iter()
        .enumerate()
        .map(|(index, picture)| files(picture, &spec, index as u64, &work.model.name, &hash))
        .collect();
    Ok(Drawn { pictures: files.map_err(DrawError::Failed)?, weights_hash: hash, spec, took })
}

fn files(
    picture: &RgbImage,
    spec: &GenerateSpec,
    index: u64,
    model: &str,
    weights_hash: &str,
) -> Result<DrawnPicture, String> {
    let seed = spec.seed.wrapping_add(index);
    let origin = Origin { spec, seed, model, weights_hash };
    Ok(DrawnPicture { seed, png: png(picture, &origin)?, thumbnail: thumbnail_webp(picture)? })
}

/// What a failure means for the job: broken files and fields stay broken, the device may recover.
fn explained(error: DiffusionError) -> DrawError {
    match error {
        DiffusionError::Cancelled { .. } => DrawError::Cancelled,
        DiffusionError::Backend(_) | DiffusionError::Io { .. } => DrawError::Failed(error.to_string()),
        other => DrawError::Refused(other.to_string()),
    }
}
