//! Specs to pictures.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use image::RgbImage;

use crate::guarded::guarded;
use crate::image_processor::{latent_mask, to_mask, to_picture, to_values};
use crate::noise::{Noise, slerp};
use crate::pipelines::denoise::{BATCH_LATENTS_MAX, Job, Keep, Progress, TextEdit};
use crate::pipelines::encode_prompt::{PromptOptions, TextConditions};
use crate::pipelines::guides::Guides;
use crate::pipelines::stable_diffusion::StableDiffusion;
use crate::preview::{PreviewFit, preview};
use crate::prompt::prompt_of_steps;
use crate::refiner::{Refiner, at_once};
use crate::schedulers::{SchedulerConfig, schedule, scheduler_named};
use crate::shared_run::{compatible, refuse_motion};
use crate::step_report::{OnStep, StepReport};
use crate::{DiffusionError, DiffusionModel, GenerateSpec, Latents};

/// One picture to be drawn: its spec, its noise and what its texts mean.
pub(crate) struct Picture<'a> {
    pub spec: &'a GenerateSpec,
    pub seed: u64,
    pub noise: Noise,
    /// A second stream, and how far towards it.
    pub towards: Option<(Noise, f64)>,
    pub texts: Texts,
    /// What they mean to a refiner.
    pub refined: Texts,
}

/// What its texts mean, step by step; the last of a shorter list counts for all further steps.
#[derive(Clone, Default)]
pub(crate) struct Texts {
    pub positive: Vec<TextConditions>,
    /// Empty without guidance.
    pub negative: Vec<TextConditions>,
}

impl Texts {
    /// The texts of a step.
    fn at(&self, step: usize) -> (Option<&TextConditions>, Option<&TextConditions>) {
        let of = |texts: &'_ [TextConditions]| texts.len().checked_sub(1).map(|last| last.min(step));
        (
            of(&self.positive).map(|place| &self.positive[place]),
            of(&self.negative).map(|place| &self.negative[place]),
        )
    }

    /// How many steps have texts of their own.
    pub fn len(&self) -> usize {
        self.positive.len().max(self.negative.len())
    }
}

impl Picture<'_> {
    /// Length of the longest of its texts.
    pub fn rows(&self) -> usize {
        let texts = self.texts.positive.iter().chain(&self.texts.negative);
        texts.map(|text| text.embeds.dims()[1]).max().unwrap_or(0)
    }

    fn draw(&mut self, count: usize) -> Vec<f64> {
        let from = self.noise.draw(count);
        match &mut self.towards {
            Some((other, t)) => slerp(&from, &other.draw(count), *t),
            None => from,
        }
    }
}

pub(crate) fn options(spec: &GenerateSpec) -> PromptOptions {
    PromptOptions { syntax: spec.prompt_syntax, long_prompts: spec.long_prompts, clip_skip: spec.clip_skip }
}

impl DiffusionModel {
    /// Draws the pictures of one spec.
    pub fn generate(
        &self,
        spec: &GenerateSpec,
        on_step: OnStep<'_>,
    ) -> Result<Vec<RgbImage>, DiffusionError> {
        let mut drawn = self.generate_batch(std::slice::from_ref(spec), on_step)?;
        Ok(drawn.pop().unwrap_or_default())
    }

    /// Draws the pictures of several specs side by side. The pictures are the same, byte for byte, as if
    /// each were drawn alone on the processor. The specs must agree in all but prompts, seeds, picture
    /// and mask.
    pub fn generate_batch(
        &self,
        specs: &[GenerateSpec],
        on_step: OnStep<'_>,
    ) -> Result<Vec<Vec<RgbImage>>, DiffusionError> {
        self.generate_refined(specs, None, on_step)
    }

    /// [`generate_batch`](Self::generate_batch) whose last steps another model draws, where there is one.
    pub fn generate_refined(
        &self,
        specs: &[GenerateSpec],
        refiner: Option<Refiner<'_>>,
        on_step: OnStep<'_>,
    ) -> Result<Vec<Vec<RgbImage>>, DiffusionError> {
        let finish =
            |model: &StableDiffusion, latents: Latents, spec: &GenerateSpec| decoded(model, &latents, spec);
        self.generate_as(specs, refiner, on_step, finish)
    }

    /// The same, not decoded.
    pub fn generate_latents(
        &self,
        specs: &[GenerateSpec],
        refiner: Option<Refiner<'_>>,
        on_step: OnStep<'_>,
    ) -> Result<Vec<Vec<Latents>>, DiffusionError> {
        self.generate_as(specs, refiner, on_step, |_, latents, _| Ok(latents))
    }

    /// What `finish` makes of the latents of each picture, one after the other: decoding takes most of the memory.
    fn generate_as<T>(
        &self,
        specs: &[GenerateSpec],
        refiner: Option<Refiner<'_>>,
        on_step: OnStep<'_>,
        finish: impl Fn(&StableDiffusion, Latents, &GenerateSpec) -> Result<T, DiffusionError>,
    ) -> Result<Vec<Vec<T>>, DiffusionError> {
        let Some(first) = specs.first() else { return Ok(Vec::new()) };
        for spec in specs {
            self.check(spec)?;
            compatible(first, spec)?;
            refuse_motion(spec)?;
        }
        if let Some(refiner) = &refiner {
            refiner.check(self)?;
        }
        guarded(|| {
            let model = self.saving.applied(self.with_vae(self.adapted(first)?, first.vae.as_deref())?);
            let mut pictures = Vec::new();
            for spec in specs {
                let texts = self.texts(&model, spec)?;
                let refined = refiner.as_ref().map(|it| it.model.texts(it.model.networks(), &at_once(spec)));
                let refined = refined.transpose()?.unwrap_or_default();
                for i in 0..spec.num_images {
                    let seed = spec.seed.wrapping_add(i as u64);
                    pictures.push(Picture {
                        spec,
                        seed,
                        noise: Noise::new(spec.noise, seed),
                        towards: None,
                        texts: texts.clone(),
                        refined: refined.clone(),
                    });
                }
            }
            let mut drawn = self.draw(&model, pictures, refiner, on_step)?.into_iter();
            let of = |spec: &GenerateSpec| {
                let drawn = drawn.by_ref().take(spec.num_images);
                drawn.map(|latents| finish(&model, latents, spec)).collect::<Result<Vec<T>, DiffusionError>>()
            };
            specs.iter().map(of).collect()
        })
    }

    /// Checks a spec against this model without drawing.
    pub fn check(&self, spec: &GenerateSpec) -> Result<(), DiffusionError> {
        spec.validate()?;
        let model = self.networks();
        let factor = model.vae_config.scale_factor() as u32;
        for (field, side) in [("width", spec.width), ("height", spec.height)] {
            if side % factor != 0 {
                return Err(DiffusionError::spec(field, format!("{side} is not a multiple of {factor}")));
            }
        }
        if model.unet_config.in_channels > model.vae_config.latent_channels && spec.mask.is_none() {
            return Err(DiffusionError::spec("mask", "this model only inpaints"));
        }
        let cells = [
            model.vae_config.latent_channels,
            (spec.height / factor) as usize,
            (spec.width / factor) as usize,
        ];
        if let Some(latents) = &spec.init_latents
            && latents.shape() != cells
        {
            let reason = format!("{:?}, the drawing has {cells:?}", latents.shape());
            return Err(DiffusionError::spec("init_latents", reason));
        }
        schedule(&scheduler_of(model, spec)?, spec.steps, spec.eta).map(|_| ())
    }

    /// What the prompts of a spec mean in each step; no negative without guidance.
    pub(crate) fn texts(
        &self,
        model: &StableDiffusion,
        spec: &GenerateSpec,
    ) -> Result<Texts, DiffusionError> {
        let options = options(spec);
        let text = |prompt: Option<&str>, second: Option<&str>| {
            let encode = || match prompt {
                Some(prompt) => model.encode_prompt(prompt, second, options),
                None => model.encode_absent_negative(options),
            };
            // LoRAs and embeddings change what words mean.
            match spec.loras.is_empty() && spec.embeddings.is_empty() {
                true => self.prompt_embedding_cache.get(prompt, second, options, encode),
                false => encode(),
            }
        };
        let of_steps = |prompt: &str, second: Option<&str>| {
            let steps = |prompt: &str| match spec.prompt_syntax.is_a1111() {
                true => prompt_of_steps(prompt, spec.steps),
                false => Ok(vec![prompt.to_string()]),
            };
            let (firsts, seconds) = (steps(prompt)?, second.map(steps).transpose()?.unwrap_or_default());
            let mut known: BTreeMap<(usize, usize), TextConditions> = BTreeMap::new();
            let place = |texts: &[String], step: usize| {
                let step = step.min(texts.len().saturating_sub(1));
                texts.iter().position(|text| Some(text) == texts.get(step)).unwrap_or(0)
            };
            let texts = (0..firsts.len().max(seconds.len())).map(|step| {
                let places = (place(&firsts, step), place(&seconds, step));
                if let Some(text) = known.get(&places) {
                    return Ok(text.clone());
                }
                let made = text(Some(&firsts[places.0]), seconds.get(places.1).map(String::as_str))?;
                known.insert(places, made.clone());
                Ok(made)
            });
            texts.collect::<Result<Vec<_>, DiffusionError>>()
        };
        let negative = match &spec.negative_prompt {
            _ if spec.guidance_scale <= 1.0 => Vec::new(),
            Some(prompt) => of_steps(prompt, spec.negative_prompt_2.as_deref())?,
            None => vec![text(None, None)?],
        };
        Ok(Texts { positive: of_steps(&spec.prompt, spec.prompt_2.as_deref())?, negative })
    }

    /// Draws pictures up to their latents, in batches; those of a spec with a motion module are the frames of one video and
    /// stay together.
    pub(crate) fn draw(
        &self,
        model: &StableDiffusion,
        mut pictures: Vec<Picture<'_>>,
        refiner: Option<Refiner<'_>>,
        on_step: OnStep<'_>,
    ) -> Result<Vec<Latents>, DiffusionError> {
        let count = pictures.len();
        let mut drawn: Vec<Latents> = Vec::with_capacity(count);
        let mut stepped = 0;
        while !pictures.is_empty() {
            let factor = model.vae_config.scale_factor() as u32;
            let area = (pictures[0].spec.width / factor * (pictures[0].spec.height / factor)) as usize;
            // Texts of one length only: to lengthen one would change its picture.
            let rows = pictures[0].rows();
            let alike = pictures.iter().take_while(|picture| picture.rows() == rows).count();
            let motion = pictures[0].spec.guides.motion.as_ref();
            let together = match motion {
                Some(_) => count,
                None => self.saving.together((BATCH_LATENTS_MAX / area.max(1)).clamp(1, alike)),
            };
            let seen_together = motion.map_or(together, |motion| motion.together.min(count));
            let mut batch: Vec<Picture<'_>> = pictures.drain(..together).collect();
            let first = drawn.len();
            let batches = |calls: usize| calls * count.div_ceil(together.max(1));
            let mut report = |progress: &Progress<'_>, shape: [usize; 4]| {
                let sample: usize = shape[1..].iter().product();
                let fit = || match self.fit.get() {
                    Some(fit) => Ok(fit.clone()),
                    None => PreviewFit::of(model).map(|fit| self.fit.get_or_init(|| fit).clone()),
                };
                let draw = |at: usize| {
                    let original = (progress.original)();
                    let latents = &original[at * sample..(at + 1) * sample];
                    preview(model, self.preview_vae.as_ref(), fit, latents, [shape[1], shape[2], shape[3]])
                };
                on_step(&StepReport {
                    step: stepped + progress.call,
                    steps: batches(progress.calls).max(stepped + progress.calls),
                    image: first,
                    together: shape[0],
                    began: progress.began,
                    draw: &draw,
                })
            };
            let guides = match batch[0].spec.guides.is_empty() {
                true => Guides::default(),
                false => {
                    let seeds: Vec<u64> =
                        batch.iter().take(seen_together).map(|picture| picture.seed).collect();
                    self.guide_networks.guides(model, batch[0].spec, &seeds)?
                }
            };
            let calls = run((model, refiner), &mut batch, guides, &mut drawn, &mut report)?;
            stepped += calls;
        }
        Ok(drawn)
    }
}

/// Draws one batch and says how many calls it took.
fn run(
    (model, refiner): (&StableDiffusion, Option<Refiner<'_>>),
    batch: &mut [Picture<'_>],
    guides: Guides,
    drawn: &mut Vec<Latents>,
    report: &mut dyn FnMut(&Progress<'_>, [usize; 4]) -> ControlFlow<()>,
) -> Result<usize, DiffusionError> {
    let spec = batch[0].spec;
    let factor = model.vae_config.scale_factor();
    let (width, height) = (spec.width as usize, spec.height as usize);
    let channels = model.vae_config.latent_channels;
    let shape = [batch.len(), channels, height / factor, width / factor];
    let sample: usize = shape[1..].iter().product();

    let scheduler = schedule(&scheduler_of(model, spec)?, spec.steps, spec.eta)?;
    let begins = spec.init_image.is_some() || spec.init_latents.is_some();
    let strength = if begins { spec.strength } else { 1.0 };
    let kept = ((spec.steps as f64 * strength) as usize).clamp(1, spec.steps);
    let begin = (spec.steps - kept) * scheduler.order();

    let mut latents = Vec::with_capacity(batch.len() * sample);
    let mut keep = Keep { mask: Vec::new(), clean: Vec::new(), noise: Vec::new() };
    let mut extra = Vec::new();
    let inpaints = spec.mask.is_some();
    let model_inpaints = model.unet_config.in_channels > channels;
    for picture in batch.iter_mut() {
        if let Some(clean) = &picture.spec.init_latents {
            let (signal, weight) = scheduler.signal_and_noise(begin);
            let noise = picture.draw(sample);
            let noised = clean.values().iter().zip(&noise);
            latents.extend(noised.map(|(clean, noise)| signal * clean + weight * noise));
            continue;
        }
        let Some(image) = &picture.spec.init_image else {
            let scale = scheduler.init_noise_sigma();
            latents.extend(picture.draw(sample).into_iter().map(|value| value * scale));
            continue;
        };
        let pixels = to_values(image, spec.width, spec.height);
        let eps = picture.draw(sample);
        let clean = model.sample_latents(&pixels, [1, 3, height, width], &eps)?;
        let noise = picture.draw(sample);
        let (signal, weight) = match inpaints && strength >= 1.0 {
            true => (0.0, scheduler.init_noise_sigma()),
            false => scheduler.signal_and_noise(begin),
        };
        latents.extend(clean.iter().zip(&noise).map(|(clean, noise)| signal * clean + weight * noise));
        if let Some(mask) = &picture.spec.mask {
            let mask = to_mask(mask, spec.width, spec.height);
            let small = latent_mask(&mask, width, height, factor);
            if model_inpaints {
                let masked: Vec<f64> = pixels
                    .iter()
                    .enumerate()
                    .map(|(i, pixel)| pixel * (1.0 - mask[i % mask.len()]))
                    .collect();
                let eps = picture.draw(sample);
                extra.extend_from_slice(&small);
                extra.extend(model.sample_latents(&masked, [1, 3, height, width], &eps)?);
            } else {
                keep.mask.extend(small.repeat(channels));
                keep.clean.extend(clean);
                keep.noise.extend(noise);
            }
        }
    }

    let rows = batch[0].rows();
    type Sides = (Vec<TextConditions>, Vec<TextConditions>);
    let at = |step: usize| -> Result<Sides, DiffusionError> {
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        for picture in batch.iter() {
            let (with, without) = picture.texts.at(step);
            for (to, text) in [(&mut positive, with), (&mut negative, without)] {
                if let Some(text) = text {
                    to.push(model.lengthened(text.clone(), rows, options(spec))?);
                }
            }
        }
        Ok((positive, negative))
    };
    let (positive, negative) = at(0)?;
    let steps_with_texts = batch.iter().map(|picture| picture.texts.len()).max().unwrap_or(1);
    // Counted from the first step that is drawn, as A1111 does.
    let edits = (1..steps_with_texts).map(|step| {
        let (positive, negative) = at(step)?;
        Ok(TextEdit { call: begin + step * scheduler.order(), positive, negative })
    });
    let edits = edits.collect::<Result<Vec<_>, DiffusionError>>()?;
    let job = Job {
        scheduler,
        begin,
        latents,
        shape,
        positive,
        negative,
        edits,
        time_ids: batch.iter().map(|picture| time_ids(picture.spec)).collect(),
        guidance_scale: spec.guidance_scale,
        guidance_rescale: spec.guidance_rescale,
        keep: (!keep.mask.is_empty()).then_some(keep),
        extra_channels: (!extra.is_empty()).then_some(extra),
        guides,
        refine: refiner.map(|refiner| refiner.of(batch.iter().map(|picture| picture.refined.at(0)))),
    };
    let mut calls = 0;
    let mut noise = |_| batch.iter_mut().flat_map(|picture| picture.draw(sample)).collect();
    let last = model.denoise(job, &mut noise, &mut |progress| {
        calls = progress.calls;
        report(progress, shape)
    })?;
    if !last.iter().all(|value| value.is_finite()) {
        return Err(DiffusionError::NotFinite { what: "latents" });
    }
    let cells = [channels, shape[2], shape[3]];
    drawn.extend(last.chunks(sample).map(|latents| Latents::new(latents.to_vec(), cells)));
    Ok(calls)
}

/// The picture of latents that were drawn for a spec.
pub(crate) fn decoded(
    model: &StableDiffusion,
    latents: &Latents,
    spec: &GenerateSpec,
) -> Result<RgbImage, DiffusionError> {
    let [channels, height, width] = latents.shape();
    let values = model.decode(latents.values(), [1, channels, height, width])?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(to_picture(&values, spec.width, spec.height)),
        false => Err(DiffusionError::NotFinite { what: "decoded picture" }),
    }
}

fn scheduler_of(model: &StableDiffusion, spec: &GenerateSpec) -> Result<SchedulerConfig, DiffusionError> {
    let mut own = model.scheduler.clone();
    if let (Some(_), Some(config)) = (&spec.guides.motion, own.as_object_mut()) {
        // AnimateDiff's modules were trained on evenly rising noise, whatever the model was trained on.
        config.insert("beta_schedule".into(), "linear".into());
    }
    match &spec.scheduler {
        Some(name) => scheduler_named(name, &own),
        None => SchedulerConfig::from_json(&own),
    }
}

fn time_ids(spec: &GenerateSpec) -> Vec<f64> {
    let own = (spec.height, spec.width);
    let pairs = [spec.original_size.unwrap_or(own), spec.crop_top_left, spec.target_size.unwrap_or(own)];
    pairs.iter().flat_map(|pair| [f64::from(pair.0), f64::from(pair.1)]).collect()
}
