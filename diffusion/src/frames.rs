//! What lies between two specs: a picture alone, or the frames of a video that a motion module draws together.

use image::RgbImage;

use crate::generate::{Picture, Texts, decoded, options};
use crate::guarded::guarded;
use crate::model::ModelKind;
use crate::noise::Noise;
use crate::pipelines::encode_prompt::TextConditions;
use crate::pipelines::stable_diffusion::StableDiffusion;
use crate::shared_run::{compatible, refuse_motion};
use crate::step_report::OnStep;
use crate::weights::motion_file::MotionFile;
use crate::{DiffusionError, DiffusionModel, GenerateSpec};

/// Parts the noise of a frame from that of the one before; the first has that of a picture with its seed.
const FRAME_STREAM: u64 = 0x9e37_79b9_7f4a_7c15;

/// A frame of a video.
#[derive(Debug, Clone)]
pub struct FrameSpec {
    /// The key frame before it, with the picture that the frame begins with.
    pub from: GenerateSpec,
    /// The key frame after it, whose prompts and seed it nears.
    pub to: GenerateSpec,
    /// How far it lies on the way, 0 to 1.
    pub t: f64,
}

impl DiffusionModel {
    /// Draws what lies `t` of the way from one spec to another: noise and texts along the sphere, all else as
    /// `from` has it.
    pub fn generate_interpolated(
        &self,
        from: &GenerateSpec,
        to: &GenerateSpec,
        t: f64,
        on_step: OnStep<'_>,
    ) -> Result<RgbImage, DiffusionError> {
        self.check_between(from, to, t)?;
        refuse_motion(from)?;
        guarded(|| {
            let model = self.saving.applied(self.with_vae(self.adapted(from)?, from.vae.as_deref())?);
            let texts = self.texts_between(&model, from, to, t)?;
            let picture = Picture {
                spec: from,
                seed: from.seed,
                noise: Noise::new(from.noise, from.seed),
                towards: (from.seed != to.seed).then(|| (Noise::new(to.noise, to.seed), t)),
                texts,
                refined: Texts::default(),
            };
            let drawn = self.draw(&model, vec![picture], None, on_step)?;
            let latents = drawn.first().ok_or_else(|| DiffusionError::Backend("drew nothing".into()))?;
            decoded(&model, latents, from)
        })
    }

    /// Draws the frames of a video, all on their way together: each lies between two specs as with
    /// [`generate_interpolated`](Self::generate_interpolated), and the motion module of the specs, which all must have, lets
    /// the frames look at each other. The specs must agree in all but prompts, seeds and picture. Errors name the tensor
    /// or the field.
    pub fn generate_frames(
        &self,
        frames: &[FrameSpec],
        on_step: OnStep<'_>,
    ) -> Result<Vec<RgbImage>, DiffusionError> {
        let Some(first) = frames.first().map(|frame| &frame.from) else { return Ok(Vec::new()) };
        if frames.len() < 2 {
            return Err(DiffusionError::spec("num_frames", "a motion module takes 2 or more"));
        }
        self.check_motion(first)?;
        for frame in frames {
            self.check_between(&frame.from, &frame.to, frame.t)?;
            compatible(first, &frame.from)?;
        }
        guarded(|| {
            let model = self.saving.applied(self.with_vae(self.adapted(first)?, first.vae.as_deref())?);
            let mut pictures = Vec::with_capacity(frames.len());
            for (place, FrameSpec { from, to, t }) in frames.iter().enumerate() {
                let is_same = from.prompt == to.prompt && from.negative_prompt == to.negative_prompt;
                let texts = match is_same {
                    true => self.texts(&model, from)?,
                    false => self.texts_between(&model, from, to, *t)?,
                };
                let seed = |seed: u64| seed.wrapping_add(FRAME_STREAM.wrapping_mul(place as u64));
                pictures.push(Picture {
                    spec: from,
                    seed: from.seed,
                    noise: Noise::new(from.noise, seed(from.seed)),
                    towards: (from.seed != to.seed).then(|| (Noise::new(to.noise, seed(to.seed)), *t)),
                    texts,
                    refined: Texts::default(),
                });
            }
            // All frames go through the network together, so their texts have one length.
            let rows = pictures.iter().map(Picture::rows).max().unwrap_or(0);
            for picture in &mut pictures {
                let options = options(picture.spec);
                for text in picture.texts.positive.iter_mut().chain(&mut picture.texts.negative) {
                    *text = model.lengthened(text.clone(), rows, options)?;
                }
            }
            let drawn = self.draw(&model, pictures, None, on_step)?;
            drawn.iter().map(|latents| decoded(&model, latents, first)).collect()
        })
    }

    /// Checks the motion module of a spec against this model without drawing: the family, the tensors, and how many frames
    /// are seen together.
    pub fn check_motion(&self, spec: &GenerateSpec) -> Result<(), DiffusionError> {
        let refuse = |reason: String| Err(DiffusionError::spec("motion", reason));
        let Some(motion) = &spec.guides.motion else { return refuse("no motion module is given".into()) };
        let file = MotionFile::open(&motion.file, &self.networks().unet_config)?;
        if self.kind() != ModelKind::Sd1 {
            return refuse(format!(
                "motion modules are for models of Stable Diffusion 1.x, the model is of {}",
                if self.kind() == ModelKind::Sdxl { "XL" } else { "2.x" }
            ));
        }
        if spec.mask.is_some() {
            return refuse("frames of a motion module are not drawn within a mask".into());
        }
        match motion.together > file.positions() {
            true => {
                let (asked, most) = (motion.together, file.positions());
                let reason =
                    format!("{asked} is more than the {most} frames that the module has positions for");
                Err(DiffusionError::spec("motion_context", reason))
            }
            false => Ok(()),
        }
    }

    fn check_between(&self, from: &GenerateSpec, to: &GenerateSpec, t: f64) -> Result<(), DiffusionError> {
        if !(0.0..=1.0).contains(&t) {
            return Err(DiffusionError::spec("t", format!("{t} is not within 0 to 1")));
        }
        self.check(from)?;
        self.check(to)?;
        // The picture that it begins with is that of the first.
        let to = GenerateSpec { init_image: from.init_image.clone(), ..to.clone() };
        compatible(from, &to)
    }

    /// What texts mean between two specs.
    fn texts_between(
        &self,
        model: &StableDiffusion,
        from: &GenerateSpec,
        to: &GenerateSpec,
        t: f64,
    ) -> Result<Texts, DiffusionError> {
        let (from_texts, to_texts) = (self.texts(model, from)?, self.texts(model, to)?);
        if from_texts.len() > 1 || to_texts.len() > 1 {
            let reason = "words that change while a picture is drawn cannot be drawn between two pictures";
            return Err(DiffusionError::spec("prompt", reason));
        }
        let first = |mut texts: Texts| (texts.positive.pop(), texts.negative.pop());
        let ((positive, negative), (positive_to, negative_to)) = (first(from_texts), first(to_texts));
        let between = |a: TextConditions, b: TextConditions| {
            let rows = a.embeds.dims()[1].max(b.embeds.dims()[1]);
            let (a, b) = (model.lengthened(a, rows, options(from))?, model.lengthened(b, rows, options(to))?);
            Ok::<_, DiffusionError>(model.between(&a, &b, t))
        };
        let both = |a: Option<TextConditions>, b: Option<TextConditions>| match (a, b) {
            (Some(a), Some(b)) => between(a, b).map(|text| vec![text]),
            _ => Ok(Vec::new()),
        };
        Ok(Texts { positive: both(positive, positive_to)?, negative: both(negative, negative_to)? })
    }
}
