//! The thread that owns the device. Work comes in through a bounded channel, pictures go out through the work's reply.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use diffusion::{DiffusionError, GenerateSpec};
use image::RgbImage;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::RenderOptions;
use super::draw_pictures::{Memory, draw_pictures};
use super::draw_video::draw_video;
use super::model_choice::ListedModel;
use super::model_shelf::ModelShelf;
use super::payload::{Order, SourceHashes};
use super::progress::{Progress, Step};

/// Pictures drawn side by side at most, unless a setting says otherwise.
const BATCH_MAX: usize = 4;
/// Previews are made at most this often.
const PREVIEW_EVERY: Duration = Duration::from_millis(200);

/// How long before its end the next job is made ready.
const AHEAD: Duration = Duration::from_millis(100);
/// How long the device waits for jobs that it has room for.
const COMPANY_TIME_MAX: Duration = Duration::from_secs(5);

/// Jobs for the device: one, or several whose pictures are drawn side by side.
pub(super) struct Work {
    pub model: ListedModel,
    pub jobs: Vec<Task>,
    /// A way to draw others beside the only one.
    pub room: Option<Room>,
    /// Is told when it is nearly done.
    pub ending: Option<oneshot::Sender<()>>,
}

/// Is told how many others there is room for; they come through `brought`, perhaps none.
pub(super) struct Room {
    pub asked: oneshot::Sender<usize>,
    pub brought: Receiver<Vec<Task>>,
}

/// A job.
pub(super) struct Task {
    pub job: Uuid,
    pub order: Order,
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
    /// Hashes of the pictures that it began with.
    pub sources: SourceHashes,
    pub result: DrawnResult,
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
    },
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

/// The way to the thread. It comes with the first work, and with it the memory of models; one that died is replaced.
pub(super) struct DeviceThread {
    options: RenderOptions,
    progress: Arc<Progress>,
    sender: Option<Sender<Work>>,
}

impl DeviceThread {
    pub fn new(options: RenderOptions, progress: Arc<Progress>) -> DeviceThread {
        DeviceThread { options, progress, sender: None }
    }

    /// Hands work over. If the thread dies with it the replies go too, and whoever waits for them hears of it.
    pub fn send(&mut self, work: Work) -> Result<(), String> {
        let work = match &self.sender {
            None => work,
            Some(sender) => match sender.try_send(work) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err("the device has too much to do".into()),
                Err(TrySendError::Disconnected(work)) => {
                    tracing::error!("the thread that draws died; starting another");
                    work
                }
            },
        };
        let sender = start(self.options.clone(), self.progress.clone())?;
        let sent = sender.try_send(work).map_err(|_| "the device takes no work".to_string());
        self.sender = Some(sender);
        sent
    }
}

/// Starts the thread; one job may wait in the channel while another is drawn.
fn start(options: RenderOptions, progress: Arc<Progress>) -> Result<Sender<Work>, String> {
    let (sender, receiver) = bounded(1);
    std::thread::Builder::new()
        .name("render".into())
        .spawn(move || run(options, &progress, &receiver))
        .map_err(|error| format!("no thread to draw on: {error}"))?;
    Ok(sender)
}

fn run(options: RenderOptions, progress: &Progress, work: &Receiver<Work>) {
    let models_dir = format!("{}/", options.models_dir.display());
    let mut shelf = ModelShelf::new(options);
    let mut last_end: Option<Instant> = None;
    for Work { model, mut jobs, room, ending } in work {
        if let (Some(Room { asked, brought }), Some(first)) = (room, jobs.first()) {
            let free = catch_unwind(AssertUnwindSafe(|| room_beside(&mut shelf, &model, first))).unwrap_or(0);
            if asked.send(free).is_ok() && free > 0 {
                jobs.extend(brought.recv_timeout(COMPANY_TIME_MAX).unwrap_or_default());
            }
        }
        let mut telling = Telling { progress, last_preview: None, ending, first: None };
        let outcomes = outcomes(&mut shelf, &mut telling, &model, &jobs);
        let end = Instant::now();
        for (task, mut outcome) in jobs.into_iter().zip(outcomes) {
            match (&mut outcome, last_end) {
                (Ok(drawn), Some(before)) => {
                    let waited = drawn.taken.saturating_duration_since(before);
                    let made_ready = drawn.began.saturating_duration_since(drawn.taken);
                    tracing::debug!(job = %task.job, ?waited, ?made_ready, "between two jobs");
                    drawn.gap = Some(drawn.began.saturating_duration_since(before));
                }
                // Clients need not know where the server keeps its models.
                (Err(DrawError::Refused(message) | DrawError::Failed(message)), _) => {
                    *message = message.replace(&models_dir, "");
                }
                _ => {}
            }
            let _ = task.reply.send(outcome);
        }
        last_end = Some(end);
    }
}

/// How many jobs like this one may be drawn beside it.
fn room_beside(shelf: &mut ModelShelf, listed: &ListedModel, task: &Task) -> usize {
    if task.order.is_video() {
        return 0;
    }
    let limit = shelf.batch_max();
    // What goes wrong here goes wrong again when it is drawn, and is reported then.
    let Ok(model) = shelf.take(listed) else { return 0 };
    let Ok(spec) = task.order.spec(model) else { return 0 };
    let pictures = limit.unwrap_or_else(|| model.side_by_side(&spec).min(BATCH_MAX));
    (pictures / spec.num_images.max(1)).saturating_sub(1)
}

type Outcome = Result<Drawn, DrawError>;

/// What comes of each job. When several fail together each is drawn again alone: only one of them need be at fault.
fn outcomes(
    shelf: &mut ModelShelf,
    telling: &mut Telling<'_>,
    model: &ListedModel,
    jobs: &[Task],
) -> Vec<Outcome> {
    let drawn = catch_unwind(AssertUnwindSafe(|| draw(shelf, telling, model, jobs)));
    let error = match drawn {
        Ok(Ok(outcomes)) => return outcomes,
        Ok(Err(error)) => error,
        Err(_) => DrawError::Failed("the device failed while drawing".into()),
    };
    if matches!(error, DrawError::Failed(_)) {
        shelf.drop_model(model);
    }
    match jobs {
        [_] => vec![Err(error)],
        _ => {
            jobs.iter().flat_map(|task| outcomes(shelf, telling, model, std::slice::from_ref(task))).collect()
        }
    }
}

fn draw(
    shelf: &mut ModelShelf,
    telling: &mut Telling<'_>,
    listed: &ListedModel,
    jobs: &[Task],
) -> Result<Vec<Outcome>, DrawError> {
    if jobs.iter().all(Task::is_cancelled) {
        return Ok(jobs.iter().map(|_| Err(DrawError::Cancelled)).collect());
    }
    let (bytes_max, drawing_bytes_max) = (shelf.bytes_max(), shelf.drawing_bytes_max());
    let model = shelf.take(listed).map_err(explained)?;
    let drawn = match jobs {
        [task] if task.order.is_video() => {
            vec![draw_video(model, &listed.name, task, drawing_bytes_max, telling)]
        }
        _ => {
            let memory = Memory { bytes_max, drawing_bytes_max };
            draw_pictures(model, &listed.name, jobs, memory, telling)?
        }
    };
    match drawn.as_slice() {
        // A failure of the only one is for the caller to act on.
        [Err(DrawError::Failed(message))] => Err(DrawError::Failed(message.clone())),
        _ => Ok(drawn),
    }
}

/// Tells whoever watches, with a preview now and then, and the dispatcher when the end is near.
pub(super) struct Telling<'a> {
    progress: &'a Progress,
    last_preview: Option<Instant>,
    ending: Option<oneshot::Sender<()>>,
    /// When the first step that was told had been done, and which it was.
    first: Option<(Instant, usize)>,
}

impl Telling<'_> {
    /// So much is done of a run; the end is near when the rest should take no longer than getting the next job ready.
    pub fn done(&mut self, step: usize, steps: usize) {
        let (since, first) = *self.first.get_or_insert((Instant::now(), step));
        let each = since.elapsed() / step.saturating_sub(first).max(1) as u32;
        let left = each * u32::try_from(steps.saturating_sub(step)).unwrap_or(u32::MAX).min(10_000);
        if step >= steps || (step > first && left <= AHEAD) {
            let _ = self.ending.take().map(|ending| ending.send(()));
        }
    }

    /// A step of each job. `preview` is asked for a job by its place among them.
    pub fn step(
        &mut self,
        jobs: impl Iterator<Item = (Uuid, Step)>,
        preview: &dyn Fn(usize) -> Option<RgbImage>,
    ) {
        let due = self.last_preview.is_none_or(|last| last.elapsed() >= PREVIEW_EVERY);
        let mut shown = false;
        for (place, (job, step)) in jobs.enumerate() {
            if self.progress.is_watched(job) {
                let picture = due.then(|| preview(place)).flatten();
                let preview_png = picture.as_ref().and_then(super::picture::preview_png).map(Arc::new);
                shown |= due;
                self.progress.tell(job, Step { preview_png, ..step });
            }
        }
        if shown {
            self.last_preview = Some(Instant::now());
        }
    }
}

/// Whether to go on: not when nobody wants the result any more.
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
        DiffusionError::Backend(_) | DiffusionError::Io { .. } => DrawError::Failed(error.to_string()),
        other => DrawError::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::model_choice::model_named;

    #[test]
    fn a_thread_that_died_is_replaced() {
        let options = RenderOptions {
            models_dir: "nowhere".into(),
            model: None,
            device: diffusion::DeviceChoice::Cpu,
            weight_type: diffusion::WeightType::F32,
            memory_bytes_max: 1 << 30,
            drawing_bytes_max: None,
            pixels_max: 1 << 20,
            batch_max: None,
            videos: false,
        };
        let mut device = DeviceThread::new(options, Arc::new(Progress::default()));
        let (dead, _) = bounded(1);
        device.sender = Some(dead);
        let (tell, ending) = oneshot::channel();
        let model = model_named(std::path::Path::new("nowhere"), None).expect("the starter");
        let work = Work { model, jobs: Vec::new(), room: None, ending: Some(tell) };
        device.send(work).expect("another thread takes it");
        // The work was taken and ended: what it held is gone.
        assert!(ending.blocking_recv().is_err());
    }
}
