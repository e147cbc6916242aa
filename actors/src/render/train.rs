//! A training on the device, a slice at a time: between two slices pictures are drawn, and what was learned lies on disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diffusion::training::{LoraTrainer, TrainingPicture};
use diffusion::{DiffusionError, DiffusionModel, GenerateSpec};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::free_memory::refuse_training;
use super::picture::preview_png;
use super::progress::Step;
use super::progress_reporter::ProgressReporter;
use super::training_files::ACCOUNT;
use super::work::{DrawError, explained};
use crate::job_scheduler::TrainingPayload;

/// How long a slice takes at least, unless the training ends; a step is never cut.
const SLICE: Duration = Duration::from_secs(2);
/// Sample pictures of a training.
const SAMPLES: usize = 4;
/// The half-done training in its folder.
const CHECKPOINT: &str = "checkpoint.safetensors";
/// The LoRA as it is, in its folder.
const SO_FAR: &str = "so_far.safetensors";

/// Reads a picture, still encoded, by its place in the payload. The message says why it cannot. They are read one after
/// the other, so that memory never holds all of them.
pub(super) struct ReadPicture(pub Box<dyn Fn(usize) -> Result<Vec<u8>, String> + Send + Sync>);

impl std::fmt::Debug for ReadPicture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReadPicture")
    }
}

/// What is to be trained.
#[derive(Debug)]
pub(super) struct TrainingOrder {
    pub job: Uuid,
    /// Whose the LoRA will be; without a server it is for all accounts.
    pub account: Option<Uuid>,
    pub payload: TrainingPayload,
    /// The pictures of the payload.
    pub pictures: ReadPicture,
    /// Where it keeps how far it has come.
    pub folder: PathBuf,
    pub cancel: Arc<AtomicBool>,
}

/// A slice for the device.
pub(super) struct TrainingSlice {
    pub order: Arc<TrainingOrder>,
    pub reply: oneshot::Sender<Result<SliceEnd, DrawError>>,
}

/// Where a training stands after a slice.
#[derive(Debug)]
pub(super) struct SliceEnd {
    pub step: usize,
    pub steps: usize,
    pub loss: f64,
    /// The LoRA, once it is done.
    pub finished: Option<FinishedLora>,
}

/// What came of a training.
#[derive(Debug)]
pub(super) struct FinishedLora {
    pub file: Vec<u8>,
    pub loss_curve: Vec<f64>,
    /// PNG files, with the step that each was drawn after.
    pub samples: Vec<(usize, Vec<u8>)>,
}

/// The training that the device had in hand last.
#[derive(Default)]
pub(super) struct InHand(Option<(Uuid, LoraTrainer)>);

impl InHand {
    /// Trains for a while.
    pub fn slice(
        &mut self,
        model: &DiffusionModel,
        order: &TrainingOrder,
        drawing_bytes_max: Option<u64>,
        reporter: &mut ProgressReporter<'_>,
    ) -> Result<SliceEnd, DrawError> {
        if order.cancel.load(Ordering::Relaxed) {
            self.0 = None;
            return Err(DrawError::Cancelled);
        }
        let settings = &order.payload.settings;
        let mut trainer = match self.0.take() {
            Some((job, trainer)) if job == order.job => trainer,
            _ => {
                refuse_training(model, settings, drawing_bytes_max).map_err(DrawError::Refused)?;
                begin(model, order)?
            }
        };
        // Of a process that ended before it had drawn it.
        self.sample(model, order, &trainer, reporter)?;
        let started = Instant::now();
        let is_cancelled = || order.cancel.load(Ordering::Relaxed);
        let ran = trainer.run_unless(model, &is_cancelled, &mut |report| {
            let step = Step { step: report.step, steps: report.steps, image: 0, preview_png: None };
            reporter.step(std::iter::once((order.job, step)), &|_| None);
            store::crash::point("training_step");
            match started.elapsed() >= SLICE || is_cancelled() || has_sample(report.step, report.steps) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if let Err(error) = ran
            && !matches!(error, DiffusionError::Cancelled { .. })
        {
            return Err(explained(error));
        }
        if order.cancel.load(Ordering::Relaxed) {
            return Err(DrawError::Cancelled);
        }
        let (step, steps) = (trainer.checkpoint().step(), settings.steps);
        keep(order, CHECKPOINT, &trainer.checkpoint().file())?;
        store::crash::point("training_checkpoint");
        self.sample(model, order, &trainer, reporter)?;
        let loss = trainer.losses().last().copied().unwrap_or_default();
        let finished = match step >= steps {
            true => Some(finished(order, &trainer)?),
            false => None,
        };
        if finished.is_none() {
            self.0 = Some((order.job, trainer));
        }
        Ok(SliceEnd { step, steps, loss, finished })
    }

    /// Lets go of what a training holds beside its own numbers, while another model draws.
    pub fn rest(&mut self) {
        if let Some((_, trainer)) = &mut self.0 {
            trainer.rest();
        }
    }

    /// Draws a picture with what was learned so far, for those who watch and for the result, after the steps that have
    /// one, unless it is there.
    fn sample(
        &self,
        model: &DiffusionModel,
        order: &TrainingOrder,
        trainer: &LoraTrainer,
        reporter: &mut ProgressReporter<'_>,
    ) -> Result<(), DrawError> {
        let (step, steps) = (trainer.checkpoint().step(), order.payload.settings.steps);
        let name = format!("sample-{step}.png");
        if !has_sample(step, steps) || order.folder.join(&name).is_file() {
            return Ok(());
        }
        let lora = keep(order, SO_FAR, &trainer.lora_file(&BTreeMap::new()))?;
        let spec = GenerateSpec {
            prompt: order.payload.sample_prompt.clone(),
            seed: order.payload.settings.seed,
            loras: vec![(lora, 1.0.into())],
            ..model.default_spec()
        };
        let mut on_step = |_: &diffusion::StepReport<'_>| match order.cancel.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let drawn = model.generate(&spec, &mut on_step).map_err(explained)?;
        let png = drawn.first().and_then(preview_png).unwrap_or_default();
        keep(order, &name, &png)?;
        let shown = Step { step, steps, image: 0, preview_png: Some(Arc::new(png)) };
        reporter.show(order.job, shown);
        Ok(())
    }
}

/// Reads the pictures, and goes on where an earlier process stopped.
fn begin(model: &DiffusionModel, order: &TrainingOrder) -> Result<LoraTrainer, DrawError> {
    let settings = &order.payload.settings;
    let mut pictures = Vec::with_capacity(order.payload.pictures.len());
    for (place, source) in order.payload.pictures.iter().enumerate() {
        if order.cancel.load(Ordering::Relaxed) {
            return Err(DrawError::Cancelled);
        }
        let refused =
            |error: &dyn std::fmt::Display| DrawError::Refused(format!("pictures[{place}]: {error}"));
        let bytes = (order.pictures.0)(place).map_err(|error| refused(&error))?;
        let picture = TrainingPicture::read(&bytes, settings.resolution, source.caption.clone());
        pictures.push(picture.map_err(|error| refused(&error))?);
    }
    let checkpoint = order.folder.join(CHECKPOINT);
    let resume = checkpoint.is_file().then_some(checkpoint.as_path());
    let begun = match model.begin_training(settings, &pictures, resume) {
        // A checkpoint that cannot be read costs what it held, not the training.
        Err(error @ (DiffusionError::WeightFile { .. } | DiffusionError::Io { .. })) if resume.is_some() => {
            tracing::warn!(job = %order.job, %error, "a training begins anew");
            model.begin_training(settings, &pictures, None)
        }
        begun => begun,
    };
    let trainer = begun.map_err(explained)?;
    if trainer.left_checkpoint_out() {
        let reason = "what was learned so far is of another training: the model, a setting, a picture or a caption was \
                      another one";
        if order.account.is_none() {
            let folder = order.folder.display();
            return Err(DrawError::Refused(format!(
                "{folder}: {reason}; give the same again, or remove the folder"
            )));
        }
        tracing::warn!(job = %order.job, "a training begins anew: {reason}");
    }
    if trainer.checkpoint().step() == 0 {
        for entry in std::fs::read_dir(&order.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("sample-") {
                std::fs::remove_file(entry.path()).map_err(|error| unkept(&error))?;
            }
        }
    }
    Ok(trainer)
}

/// Whether a sample picture is drawn after a step: at the end of each quarter, and after each step of fewer than four.
fn has_sample(step: usize, steps: usize) -> bool {
    step > 0 && step * SAMPLES / steps > (step - 1) * SAMPLES / steps
}

fn finished(order: &TrainingOrder, trainer: &LoraTrainer) -> Result<FinishedLora, DrawError> {
    let payload = &order.payload;
    let mut more = BTreeMap::from(
        [
            ("ss_output_name", payload.name.clone()),
            ("ss_sd_model_name", payload.model.clone().unwrap_or_else(|| super::STARTER.into())),
            ("modelspec.title", payload.name.clone()),
            ("modelspec.trigger_phrase", payload.trigger_word.clone()),
        ]
        .map(|(name, value)| (name.to_string(), value)),
    );
    if let Some(account) = order.account {
        more.insert(ACCOUNT.to_string(), account.to_string());
    }
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(&order.folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let step = name.strip_prefix("sample-").and_then(|rest| rest.strip_suffix(".png")?.parse().ok());
        if let Some(step) = step {
            samples.push((step, std::fs::read(entry.path()).map_err(|error| unkept(&error))?));
        }
    }
    samples.sort_by_key(|(step, _): &(usize, Vec<u8>)| *step);
    Ok(FinishedLora { file: trainer.lora_file(&more), loss_curve: trainer.curve(), samples })
}

fn keep(order: &TrainingOrder, name: &str, bytes: &[u8]) -> Result<PathBuf, DrawError> {
    let path = order.folder.join(name);
    write_whole(&path, bytes).map_err(|error| unkept(&error))?;
    Ok(path)
}

fn unkept(error: &std::io::Error) -> DrawError {
    DrawError::Failed(format!("what was learned cannot be kept: {error}"))
}

/// Writes a file that is there whole or not at all, whatever ends the process.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let partial = path.with_extension("partial");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quarter_has_a_sample_picture() {
        let of = |steps: usize| (0..=steps).filter(|step| has_sample(*step, steps)).collect::<Vec<_>>();
        assert_eq!(of(40), [10, 20, 30, 40]);
        assert_eq!(of(5), [2, 3, 4, 5]);
        assert_eq!(of(3), [1, 2, 3]);
        assert_eq!(of(1), [1]);
    }
}
