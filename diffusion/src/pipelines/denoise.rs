//! The loop from noise to latents, one step after another, stoppable between them.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::Tensor;

use super::encode_prompt::TextConditions;
use super::guidance::guide;
use super::guides::Guides;
use super::refine::{Refine, refined_sizes};
use super::stable_diffusion::{StableDiffusion, download};
use crate::DiffusionError;
use crate::models::attention_context::AttentionContext;
use crate::models::unets::unet_2d_condition::AddedConditions;
use crate::schedulers::Scheduler;

/// How many latents go through the UNet together: four pictures of 512 × 512.
pub(crate) const BATCH_LATENTS_MAX: usize = 4 * 64 * 64;

/// A batch on its way.
pub struct Job {
    /// The schedule.
    pub scheduler: Box<dyn Scheduler>,
    /// The call to begin with; above 0 when a picture was given.
    pub begin: usize,
    /// Samples one after another.
    pub latents: Vec<f64>,
    /// `[batch, latent, height, width]`.
    pub shape: [usize; 4],
    /// One per sample.
    pub positive: Vec<TextConditions>,
    /// One per sample; empty without guidance.
    pub negative: Vec<TextConditions>,
    /// Other texts from later calls on, in their order.
    pub edits: Vec<TextEdit>,
    /// SDXL's sizes, one row per sample.
    pub time_ids: Vec<Vec<f64>>,
    /// 1 or less is no guidance.
    pub guidance_scale: f64,
    /// See [`guide`].
    pub guidance_rescale: f64,
    /// What stays as it is.
    pub keep: Option<Keep>,
    /// Mask and masked latents for UNets made for inpainting, `[batch, 1 + latent, height, width]`.
    pub extra_channels: Option<Vec<f64>>,
    /// What leads it beside the texts.
    pub guides: Guides,
    /// The model that draws the last steps.
    pub refine: Option<Refine>,
}

/// Texts that take the place of others while a batch is on its way.
pub struct TextEdit {
    /// The call from which on they count.
    pub call: usize,
    /// One per sample.
    pub positive: Vec<TextConditions>,
    /// One per sample; empty without guidance.
    pub negative: Vec<TextConditions>,
}

/// The part of the picture that inpainting leaves alone.
pub struct Keep {
    /// 1 is redrawn, 0 stays; one number per latent value.
    pub mask: Vec<f64>,
    /// Latents of the picture.
    pub clean: Vec<f64>,
    /// The noise that is put on them.
    pub noise: Vec<f64>,
}

/// Where a job stands after a call of the UNet.
pub struct Progress<'a> {
    /// Calls done, from 1; the same again, or 0, between the windows of a video's frames.
    pub call: usize,
    /// Calls in all.
    pub calls: usize,
    /// When this call began.
    pub began: Instant,
    /// The latents now.
    pub latents: &'a [f64],
    /// What the UNet said, guided; empty between windows.
    pub model_output: &'a [f64],
    /// The latents that the UNet sees behind the noise.
    pub original: &'a dyn Fn() -> Vec<f64>,
}

impl StableDiffusion {
    /// Runs `job` to its end. `draw` gives the noise for a call, for the whole batch.
    pub fn denoise(
        &self,
        mut job: Job,
        draw: &mut dyn FnMut(usize) -> Vec<f64>,
        report: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<f64>, DiffusionError> {
        let timesteps = job.scheduler.timesteps().to_vec();
        let calls = timesteps.len() - job.begin.min(timesteps.len());
        // Of the frames of a video no more go through the network than a window has.
        let together = job.guides.motion.as_ref().map(|motion| motion.together.min(job.shape[0]));
        job.guides.widen(together.unwrap_or(job.shape[0]));
        let mut context = self.context(&job);
        let mut added = self.added(&job);
        let mut edits = std::mem::take(&mut job.edits).into_iter().peekable();
        let mut refine = job.refine.take();
        let mut refiner: Option<StableDiffusion> = None;
        for index in job.begin..timesteps.len() {
            let began = Instant::now();
            if let Some(second) = refine.take_if(|second| second.begins_at(timesteps[index])) {
                (job.positive, job.negative) = (second.positive, second.negative);
                context = second.networks.context(&job);
                added = second.networks.added(&job);
                // It knows nothing of masks, and what leads the first model does not fit its shape.
                job.extra_channels = None;
                job.guides = Guides::default();
                refiner = Some(second.networks);
            } else if refiner.is_some() {
                // Words that change are those of the first model.
            } else if let Some(edit) = edits.next_if(|edit| edit.call <= index) {
                (job.positive, job.negative) = (edit.positive, edit.negative);
                context = self.context(&job);
                added = self.added(&job);
            }
            let call = (index, calls);
            let networks = refiner.as_ref().unwrap_or(self);
            let (standing, done) = (job.latents.clone(), index - job.begin);
            let mut goes_on = || {
                let original = || standing.clone();
                let latents = &standing;
                report(&Progress {
                    call: done,
                    calls,
                    began,
                    latents,
                    model_output: &[],
                    original: &original,
                })
            };
            let (timestep, added) = (timesteps[index], added.as_ref());
            let output = networks.predict(&mut job, call, timestep, &context, added, &mut goes_on)?;
            let noise = job.scheduler.wants_noise(index).then(|| draw(index));
            let before = std::mem::take(&mut job.latents);
            job.latents = job.scheduler.step(index, &output, &before, noise.as_deref());
            if let Some(keep) = &job.keep {
                let (signal, noise) = match index + 1 < timesteps.len() {
                    true => job.scheduler.signal_and_noise(index + 1),
                    false => (1.0, 0.0),
                };
                for (i, latent) in job.latents.iter_mut().enumerate() {
                    let kept = signal * keep.clean[i] + noise * keep.noise[i];
                    *latent = (1.0 - keep.mask[i]) * kept + keep.mask[i] * *latent;
                }
            }
            let scheduler = &job.scheduler;
            let progress = Progress {
                call: index + 1 - job.begin,
                calls,
                began,
                latents: &job.latents,
                model_output: &output,
                original: &|| scheduler.predict_original(index, &output, &before),
            };
            if report(&progress).is_break() {
                return Err(DiffusionError::Cancelled { step: progress.call });
            }
        }
        Ok(job.latents)
    }

    /// Negative texts before positive ones, as diffusers has them. Those of a video's frames are put together window by
    /// window, and here is one alone.
    fn context(&self, job: &Job) -> Tensor<3> {
        let count = if job.guides.motion.is_some() { 1 } else { usize::MAX };
        let rows = job.negative.iter().chain(&job.positive).take(count);
        Tensor::cat(rows.map(|text| text.embeds.clone()).collect(), 0).cast(self.unet.dtype())
    }

    fn added(&self, job: &Job) -> Option<AddedConditions> {
        let rows = job.negative.iter().chain(&job.positive);
        let pooled: Option<Vec<Tensor<2>>> = rows.map(|text| text.pooled.clone()).collect();
        let times = if job.negative.is_empty() { 1 } else { 2 };
        pooled.filter(|_| self.xl).map(|pooled| AddedConditions {
            text_embeds: Tensor::cat(pooled, 0),
            time_ids: match self.refines {
                true => refined_sizes(&job.time_ids, job.negative.is_empty()),
                false => std::iter::repeat_n(&job.time_ids, times).flatten().cloned().collect(),
            },
        })
    }

    /// What the network says of all pictures in a call, before guidance: the negative half first where there is one.
    fn predict_pictures(
        &self,
        job: &mut Job,
        (index, calls): (usize, usize),
        timestep: f64,
        context: &Tensor<3>,
        added: Option<&AddedConditions>,
        scaled: &[f64],
    ) -> Result<Vec<f64>, DiffusionError> {
        let input = self.input(job, scaled);
        let control = self.residuals(job, (index - job.begin, calls), &input, timestep, context, added);
        let negative_rows = job.negative.len();
        let reference = self.reference_mode(job, index, timestep, context, added, negative_rows);
        let attended =
            AttentionContext::of(context.clone()).with_images(&job.guides.images).with_reference(reference);
        let unet = &self.unet;
        let output = unet.forward_guided(input, timestep, &attended, added, control.as_ref(), &mut |_, _| {});
        Ok(download(output)?.into_iter().map(f64::from).collect())
    }

    fn predict(
        &self,
        job: &mut Job,
        (index, calls): (usize, usize),
        timestep: f64,
        context: &Tensor<3>,
        added: Option<&AddedConditions>,
        goes_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f64>, DiffusionError> {
        let scale = job.scheduler.input_scale(index);
        let scaled: Vec<f64> = job.latents.iter().map(|latent| latent * scale).collect();
        let [batch, ..] = job.shape;
        let guided = !job.negative.is_empty();
        let output = match job.guides.motion.clone() {
            Some(motion) => self.predict_frames(job, &motion, (index, calls), timestep, &scaled, goes_on)?,
            None => self.predict_pictures(job, (index, calls), timestep, context, added, &scaled)?,
        };
        if !guided {
            return Ok(output);
        }
        let (negative, positive) = output.split_at(output.len() / 2);
        let sample = (negative.len() / batch).max(1);
        Ok(negative
            .chunks(sample)
            .zip(positive.chunks(sample))
            .flat_map(|(negative, positive)| {
                guide(negative, positive, job.guidance_scale, job.guidance_rescale)
            })
            .collect())
    }
}
