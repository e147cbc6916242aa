//! The thread that owns the device. Work comes in through a bounded channel, pictures go out through the work's reply.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use diffusion::{DeviceChoice, Refiner, Saving, WeightType};
use language::give_way_by;

use super::RenderOptions;
use super::draw_pictures::{Memory, draw_pictures};
use super::draw_video::draw_video;
use super::model_cache::ModelCache;
use super::model_choice::{ListedModel, model_named};
use super::progress::Progress;
use super::progress_reporter::ProgressReporter;
use super::train::{InHand, SliceEnd, TrainingOrder, TrainingSlice};
use super::upscale::{UpscalerCache, upscale_picture};
use super::work::{BatchSlots, DrawError, Drawn, Task, Work, explained};

/// Pictures drawn side by side at most, unless a setting says otherwise.
const BATCH_MAX: usize = 4;
/// How long the device waits for jobs to fill the slots that are free.
const BATCH_WAIT_MAX: Duration = Duration::from_secs(5);

/// What is said of a picture that the device had too little memory for.
const SMALL_TILES: &str = "the device had too little memory: the picture was decoded in small tiles, and colours may differ a little";

/// What is said of a picture whose device failed for good, or had done so before.
const INSTEAD: &str =
    "the device's driver failed for good: the processor drew this, and does until the next start";

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

    /// Hands work over. If the thread dies with it the replies go too, and those that wait for them hear of it.
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
        .spawn(move || {
            give_way_by(options.niceness);
            run(options, &progress, &receiver);
        })
        .map_err(|error| format!("no thread to draw on: {error}"))?;
    Ok(sender)
}

fn run(options: RenderOptions, progress: &Progress, work: &Receiver<Work>) {
    let models_dir = format!("{}/", options.models_dir.display());
    let named = options.device;
    let mut upscalers = UpscalerCache::new(options.device);
    let mut models = ModelCache::new(options);
    let mut last_end: Option<Instant> = None;
    let (mut in_hand, mut trained) = (InHand::default(), None);
    for Work { model, mut jobs, training, slots, ending } in work {
        // It may have been lost to another thread's work, or to the thread before this one.
        if let Some(reason) = models.device().lost() {
            leave_device(&mut models, &mut upscalers, &reason);
        }
        if let Some(TrainingSlice { order, reply }) = training {
            let mut reporter = ProgressReporter::new(progress, ending);
            let (caches, taken_up) = ((&mut models, &mut upscalers), (&model, &*order));
            let end = train(caches, &mut in_hand, taken_up, &mut reporter);
            let _ = reply.send(end.map_err(|error| without_folder(error, &models_dir)));
            trained = Some(model.name);
            last_end = None;
            continue;
        }
        if trained.as_ref() != Some(&model.name) {
            in_hand.rest();
        }
        if let (Some(BatchSlots { free, tasks }), Some(first)) = (slots, jobs.first()) {
            let count = catch_unwind(AssertUnwindSafe(|| free_slots(&mut models, &model, first)));
            let count = count.unwrap_or(0);
            if free.send(count).is_ok() && count > 0 {
                jobs.extend(tasks.recv_timeout(BATCH_WAIT_MAX).unwrap_or_default());
            }
        }
        let mut reporter = ProgressReporter::new(progress, ending);
        let outcomes = outcomes(&mut models, &mut upscalers, &mut reporter, &model, &jobs);
        let end = Instant::now();
        for (task, mut outcome) in jobs.into_iter().zip(outcomes) {
            if let (Ok(drawn), Some(before)) = (&mut outcome, last_end) {
                let waited = drawn.taken.saturating_duration_since(before);
                let made_ready = drawn.began.saturating_duration_since(drawn.taken);
                tracing::debug!(job = %task.job, ?waited, ?made_ready, "between two jobs");
                drawn.gap = Some(drawn.began.saturating_duration_since(before));
            }
            if let (Ok(drawn), true) = (&mut outcome, models.device() != named) {
                drawn.warnings.push(INSTEAD.into());
            }
            let _ = task.reply.send(outcome.map_err(|error| without_folder(error, &models_dir)));
        }
        last_end = Some(end);
    }
}

/// Clients need not know where the server keeps its models.
fn without_folder(error: DrawError, models_dir: &str) -> DrawError {
    match error {
        DrawError::Refused(message) => DrawError::Refused(message.replace(models_dir, "")),
        DrawError::Failed(message) | DrawError::DeviceLost(message) => {
            DrawError::Failed(message.replace(models_dir, ""))
        }
        // All that saves memory was tried: another attempt would not help.
        DrawError::OutOfMemory(message) => DrawError::Refused(message.replace(models_dir, "")),
        DrawError::Cancelled => DrawError::Cancelled,
    }
}

/// A slice of a training. What failed may have hurt the model and what was in hand: both are read again. Where memory does not
/// suffice all else leaves it, and the slice begins once more from what was learned so far; its pictures are small already.
fn train(
    (models, upscalers): (&mut ModelCache, &mut UpscalerCache),
    in_hand: &mut InHand,
    (listed, order): (&ListedModel, &TrainingOrder),
    reporter: &mut ProgressReporter<'_>,
) -> Result<SliceEnd, DrawError> {
    let drawing_bytes_max = models.drawing_bytes_max();
    let mut is_alone = false;
    loop {
        let trained = catch_unwind(AssertUnwindSafe(|| {
            let model = models.take(listed).map_err(explained)?;
            in_hand.slice(model, order, drawing_bytes_max, reporter)
        }));
        let end =
            trained.unwrap_or_else(|_| Err(DrawError::Failed("the device failed while training".into())));
        let Err(error) = &end else { return end };
        if error.is_of_device() {
            models.drop_model(listed);
            *in_hand = InHand::default();
        }
        match error {
            DrawError::DeviceLost(message) => {
                leave_device(models, upscalers, message);
            }
            DrawError::OutOfMemory(message) if is_alone => {
                let message = format!("resolution, rank: the device's memory does not suffice: {message}");
                return Err(DrawError::OutOfMemory(message));
            }
            DrawError::OutOfMemory(message) => {
                tracing::warn!(job = %order.job, message, "too little memory: training again with nothing beside it");
                models.drop_all();
                upscalers.drop_all();
                models.release_memory();
                is_alone = true;
                continue;
            }
            _ => {}
        }
        return end;
    }
}

/// How many jobs like this one may be drawn beside it.
fn free_slots(models: &mut ModelCache, listed: &ListedModel, task: &Task) -> usize {
    if task.request.is_video() || task.request.is_upscale() {
        return 0;
    }
    let limit = models.batch_max();
    // What goes wrong here goes wrong again when it is drawn, and is reported then.
    let Ok(model) = models.take(listed) else { return 0 };
    let Ok(spec) = task.request.spec(model) else { return 0 };
    let pictures = limit.unwrap_or_else(|| model.side_by_side(&spec).min(BATCH_MAX));
    (pictures / spec.num_images.max(1)).saturating_sub(1)
}

type Outcome = Result<Drawn, DrawError>;

/// What comes of each job. When several fail together each is drawn again alone: only one of them need be at fault.
fn outcomes(
    models: &mut ModelCache,
    upscalers: &mut UpscalerCache,
    reporter: &mut ProgressReporter<'_>,
    model: &ListedModel,
    jobs: &[Task],
) -> Vec<Outcome> {
    let drawn = catch_unwind(AssertUnwindSafe(|| draw(models, upscalers, reporter, model, jobs)));
    let error = match drawn {
        Ok(Ok(outcomes)) => return outcomes,
        Ok(Err(error)) => error,
        Err(_) => DrawError::Failed("the device failed while drawing".into()),
    };
    let moved = match &error {
        // What an upscaler keeps on the device may be hurt as well.
        DrawError::Failed(_) => {
            models.drop_model(model);
            upscalers.drop_all();
            false
        }
        DrawError::OutOfMemory(_) => {
            models.drop_all();
            upscalers.drop_all();
            models.release_memory();
            false
        }
        DrawError::DeviceLost(message) => leave_device(models, upscalers, message),
        DrawError::Refused(_) | DrawError::Cancelled => false,
    };
    match (jobs, error) {
        // The processor draws it at once.
        _ if moved => outcomes(models, upscalers, reporter, model, jobs),
        ([task], DrawError::OutOfMemory(message)) => {
            vec![with_less_memory(models, upscalers, reporter, model, task, message)]
        }
        ([_], error) => vec![Err(error)],
        _ => jobs
            .iter()
            .flat_map(|task| outcomes(models, upscalers, reporter, model, std::slice::from_ref(task)))
            .collect(),
    }
}

/// Leaves a device whose driver failed for good: its models are lost. Without another device the processor takes over; says
/// whether it did.
fn leave_device(models: &mut ModelCache, upscalers: &mut UpscalerCache, message: &str) -> bool {
    models.drop_all();
    upscalers.drop_all();
    let device = models.device().resolved();
    if device == DeviceChoice::Cpu {
        return false;
    }
    tracing::error!(%device, message, "the device's driver failed for good");
    let takes_over = device.note_lost(message, models.other_devices());
    if takes_over {
        models.fall_back();
        upscalers.fall_back();
    }
    takes_over
}

/// What comes of a job that took too much memory, drawn with less in memory at a time as often as that saves more.
fn with_less_memory(
    models: &mut ModelCache,
    upscalers: &mut UpscalerCache,
    reporter: &mut ProgressReporter<'_>,
    listed: &ListedModel,
    task: &Task,
    message: String,
) -> Outcome {
    let before = models.saving();
    let pictures = task.request.payload.config.num_images as usize;
    // An enlargement has tiles of its own.
    let more = if task.request.is_upscale() { None } else { before.more(pictures) };
    let Some(saving) = more else {
        let tried = match before {
            Saving::Nothing => "",
            Saving::OneByOne => ", even one picture at a time",
            Saving::SmallTiles => ", even one picture at a time and in small tiles",
        };
        let shorter = match models.weight_type() {
            WeightType::F32 if !task.request.is_upscale() => {
                "; a smaller size, or image_weights bf16 (f16 on a card), takes less"
            }
            _ => "; a smaller size takes less",
        };
        let message = format!("the device has too little memory for this{tried}{shorter}: {message}");
        return Err(DrawError::OutOfMemory(message));
    };
    tracing::warn!(job = %task.job, message, ?saving, "too little memory: drawing again with less at a time");
    models.save_memory(saving);
    let mut outcomes = outcomes(models, upscalers, reporter, listed, std::slice::from_ref(task));
    models.save_memory(before);
    let outcome = outcomes.pop().unwrap_or(Err(DrawError::Cancelled));
    outcome.map(|mut drawn| {
        if saving == Saving::SmallTiles && !drawn.warnings.iter().any(|said| said == SMALL_TILES) {
            drawn.warnings.push(SMALL_TILES.into());
        }
        drawn
    })
}

fn draw(
    models: &mut ModelCache,
    upscalers: &mut UpscalerCache,
    reporter: &mut ProgressReporter<'_>,
    listed: &ListedModel,
    jobs: &[Task],
) -> Result<Vec<Outcome>, DrawError> {
    if jobs.iter().all(Task::is_cancelled) {
        return Ok(jobs.iter().map(|_| Err(DrawError::Cancelled)).collect());
    }
    let (bytes_max, drawing_bytes_max) = (models.bytes_max(), models.drawing_bytes_max());
    if let [task] = jobs
        && task.request.is_upscale()
    {
        // It takes no picture model.
        return match upscale_picture(upscalers, task, drawing_bytes_max, reporter) {
            Err(error) if error.is_of_device() => Err(error),
            outcome => Ok(vec![outcome]),
        };
    }
    let second = jobs.first().and_then(|task| task.request.payload.config.refiner.clone());
    let (model, refiner) = match (second, jobs.first()) {
        (Some(work), Some(task)) => {
            let named = model_named(&task.request.models_dir, Some(&work.model));
            let second = named.map_err(|message| DrawError::Refused(format!("refiner: {message}")))?;
            let (model, refiner) = models.take_both(listed, &second).map_err(explained)?;
            (model, Some(Refiner { model: refiner, from: work.switch_at }))
        }
        _ => (models.take(listed).map_err(explained)?, None),
    };
    let drawn = match jobs {
        [task] if task.request.is_video() => {
            vec![draw_video(model, &listed.name, task, drawing_bytes_max, reporter)]
        }
        _ => {
            let memory = Memory { bytes_max, drawing_bytes_max };
            draw_pictures((model, refiner), upscalers, &listed.name, jobs, memory, reporter)?
        }
    };
    match drawn.as_slice() {
        // A failure of the only one is for the caller to act on.
        [Err(DrawError::Failed(message))] => Err(DrawError::Failed(message.clone())),
        [Err(DrawError::OutOfMemory(message))] => Err(DrawError::OutOfMemory(message.clone())),
        [Err(DrawError::DeviceLost(message))] => Err(DrawError::DeviceLost(message.clone())),
        _ => Ok(drawn),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_thread_that_died_is_replaced() {
        let options = RenderOptions {
            models_dir: "nowhere".into(),
            model: None,
            device: diffusion::DeviceChoice::Cpu,
            more_devices: Vec::new(),
            weight_type: diffusion::WeightType::F32,
            memory_bytes_max: 1 << 30,
            drawing_bytes_max: None,
            vae_tile_px: None,
            pixels_max: 1 << 20,
            batch_max: None,
            niceness: 5,
            videos: false,
        };
        let mut device = DeviceThread::new(options, Arc::new(Progress::default()));
        let (dead, _) = bounded(1);
        device.sender = Some(dead);
        let (tell, ending) = oneshot::channel();
        let model = model_named(std::path::Path::new("nowhere"), None).expect("the starter");
        let work = Work { model, jobs: Vec::new(), training: None, slots: None, ending: Some(tell) };
        device.send(work).expect("another thread takes it");
        // The work was taken and ended: what it held is gone.
        assert!(ending.blocking_recv().is_err());
    }
}
