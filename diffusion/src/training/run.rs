//! The training itself: step after step, each from a random state of its own, so that it can be taken up anywhere.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{DType, Tensor};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::adapted::{Adapted, FactorGradient};
use super::examples::{Caption, Example, TrainingPicture};
use super::factors::LoraFactors;
use super::files::Checkpoint;
use super::objective::{Noised, Objective};
use super::settings::{LoraTraining, PICTURES_MAX, PICTURES_MIN};
use crate::guarded::guarded;
use crate::model::{ModelKind, open_parts};
use crate::noise::{Noise, NoiseGenerator};
use crate::pipelines::stable_diffusion::{StableDiffusion, download};
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::{DiffusionError, DiffusionModel, ModelSource};

/// The gradient of a step is no longer than this.
const GRADIENT_NORM_MAX: f64 = 1.0;
/// Places of a loss curve at most.
const CURVE_MAX: usize = 200;
/// Streams of random numbers for the order of pictures begin here; those of steps are below.
const ORDERS: u64 = 1 << 63;

/// Where a training stands.
#[derive(Debug)]
pub struct TrainingStep<'a> {
    /// Steps done, from 1.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The loss of this step.
    pub loss: f64,
    state: &'a Checkpoint,
}

impl TrainingStep<'_> {
    /// All that it takes to go on from here.
    pub fn checkpoint(&self) -> &Checkpoint {
        self.state
    }
}

/// A training between its first step and its last. It holds no weights but the single-precision copy of a model of half
/// precision: the model comes with each call.
#[derive(Debug)]
pub struct LoraTrainer {
    settings: LoraTraining,
    objective: Objective,
    examples: Vec<Example>,
    /// Empty where the text encoders are trained: there they mean something else in each step.
    captions: Vec<Caption>,
    state: Checkpoint,
    metadata: BTreeMap<String, String>,
    /// The networks in single precision, where the model has them in half.
    widened: Option<StableDiffusion>,
    left_out: bool,
}

fn loss_curve(losses: &[f64]) -> Vec<f64> {
    let together = losses.len().div_ceil(CURVE_MAX).max(1);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    losses.chunks(together).map(|chunk| (mean(chunk) * 1e6).round() / 1e6).collect()
}

/// Settings that suit the model at a place. Reads its configuration alone.
pub fn suited(source: &ModelSource) -> Result<LoraTraining, DiffusionError> {
    let side = open_parts(source)?.trained_px()?;
    Ok(suited_to(*source == ModelSource::Starter, side as u32))
}

/// The model's size; few large steps over more pictures for the small starter model.
fn suited_to(starter: bool, side: u32) -> LoraTraining {
    match starter {
        true => LoraTraining {
            rank: 8,
            alpha: 8.0,
            steps: 300,
            batch_size: 4,
            learning_rate: 4e-3,
            resolution: side,
            ..LoraTraining::default()
        },
        false => LoraTraining { resolution: side, ..LoraTraining::default() },
    }
}

impl DiffusionModel {
    /// Settings that suit this model.
    pub fn default_training(&self) -> LoraTraining {
        suited_to(self.is_starter(), self.default_spec().width)
    }

    /// Checks settings against this model without training; errors name the field.
    pub fn check_training(&self, settings: &LoraTraining, pictures: usize) -> Result<(), DiffusionError> {
        settings.validate()?;
        if !(PICTURES_MIN..=PICTURES_MAX).contains(&pictures) {
            let reason = format!("{pictures} are given; {PICTURES_MIN} to {PICTURES_MAX} are taken");
            return Err(DiffusionError::spec("pictures", reason));
        }
        let trained = self.default_spec().width;
        if settings.resolution > trained {
            let reason =
                format!("{} is more than {trained}, at which the model was trained", settings.resolution);
            return Err(DiffusionError::spec("resolution", reason));
        }
        let model = self.networks();
        if model.unet_config.in_channels > model.vae_config.latent_channels {
            return Err(DiffusionError::spec("model", "a model that only inpaints is not trained"));
        }
        // The UNet halves the latents between its levels.
        let halved = 1usize << model.unet_config.block_out_channels.len().saturating_sub(1);
        let multiple = (model.vae_config.scale_factor() * halved) as u32;
        if !settings.resolution.is_multiple_of(multiple) {
            let reason = format!("{} is not a multiple of {multiple}", settings.resolution);
            return Err(DiffusionError::spec("resolution", reason));
        }
        Ok(())
    }

    /// Makes a training of a LoRA on `pictures` ready. With `resume` it goes on from the checkpoint in that file, if it
    /// is one of this training.
    pub fn begin_training(
        &self,
        settings: &LoraTraining,
        pictures: &[TrainingPicture],
        resume: Option<&Path>,
    ) -> Result<LoraTrainer, DiffusionError> {
        self.check_training(settings, pictures.len())?;
        guarded(|| {
            let model = self.networks();
            let objective = Objective::new(&model.scheduler, settings.min_snr_gamma)?;
            let examples = pictures.iter().map(|picture| Example::new(model, picture, settings.resolution));
            let examples: Vec<Example> = examples.collect::<Result<_, _>>()?;
            let captions = match settings.train_text_encoder {
                true => Vec::new(),
                false => examples.iter().map(|example| example.caption(model)).collect(),
            };
            let of = hash(self.weights_hash(), settings, &examples);
            let fresh = LoraFactors::new(model, settings);
            let found = match resume {
                Some(path) => Checkpoint::read_into(path, &of, &fresh)?,
                None => None,
            };
            let left_out = resume.is_some() && found.is_none();
            let fresh = || Checkpoint { of, step: 0, losses: Vec::new(), factors: fresh };
            let state = found.filter(|found| found.step <= settings.steps).unwrap_or_else(fresh);
            let metadata = self.metadata(settings, pictures);
            let settings = settings.clone();
            let widened = None;
            Ok(LoraTrainer { settings, objective, examples, captions, state, metadata, widened, left_out })
        })
    }

    /// The networks in the precision that training takes: half precision would lose small gradients.
    fn trainable(&self) -> StableDiffusion {
        let mut model = self.networks().clone();
        model.unet = widened(model.unet);
        for encoder in &mut model.text_encoders {
            encoder.model = widened(encoder.model.clone());
        }
        model
    }

    fn predicts_velocity(&self) -> bool {
        let config = SchedulerConfig::from_json(&self.networks().scheduler);
        config.is_ok_and(|config| config.prediction_type == PredictionType::VPrediction)
    }

    /// Bytes of the single-precision copies that a training makes of weights in half precision.
    pub(super) fn widened_bytes(&self) -> u64 {
        struct Halves(u64);
        impl burn::module::ModuleVisitor for Halves {
            fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
                // Packed weights are lent unread, and would be unpacked to be looked at.
                if !param.is_initialized() || matches!(param.val().dtype(), DType::F16 | DType::BF16) {
                    self.0 += param.lazy_shape().num_elements() as u64 * 4;
                }
            }
        }
        let (model, mut halves) = (self.networks(), Halves(0));
        burn::module::Module::visit(&model.unet, &mut halves);
        model
            .text_encoders
            .iter()
            .for_each(|encoder| burn::module::Module::visit(&encoder.model, &mut halves));
        halves.0
    }

    /// What kohya's scripts say of a training. Without times, so that the same training gives the same file.
    fn metadata(&self, settings: &LoraTraining, pictures: &[TrainingPicture]) -> BTreeMap<String, String> {
        let base = match self.kind() {
            ModelKind::Sd1 => ("sd_v1", "stable-diffusion-v1/lora"),
            ModelKind::Sd2 if self.predicts_velocity() => ("sd_v2_v", "stable-diffusion-v2-768-v/lora"),
            ModelKind::Sd2 => ("sd_v2", "stable-diffusion-v2-512/lora"),
            ModelKind::Sdxl => ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
        };
        let mut tags: BTreeMap<&str, usize> = BTreeMap::new();
        let words = pictures.iter().flat_map(|picture| picture.caption().split(','));
        for tag in words.map(str::trim).filter(|tag| !tag.is_empty()) {
            *tags.entry(tag).or_default() += 1;
        }
        let side = settings.resolution;
        let of_text = if settings.train_text_encoder { settings.learning_rate } else { 0.0 };
        let said = [
            ("ss_network_module", "networks.lora".to_string()),
            ("ss_network_dim", settings.rank.to_string()),
            ("ss_network_alpha", settings.alpha.to_string()),
            ("ss_learning_rate", settings.learning_rate.to_string()),
            ("ss_unet_lr", settings.learning_rate.to_string()),
            ("ss_text_encoder_lr", of_text.to_string()),
            ("ss_optimizer", format!("AdamW(weight_decay={})", settings.weight_decay)),
            ("ss_lr_scheduler", "cosine".into()),
            ("ss_lr_warmup_steps", settings.rising_steps().to_string()),
            ("ss_max_train_steps", settings.steps.to_string()),
            ("ss_steps", settings.steps.to_string()),
            ("ss_batch_size_per_device", settings.batch_size.to_string()),
            ("ss_total_batch_size", settings.batch_size.to_string()),
            ("ss_num_train_images", pictures.len().to_string()),
            ("ss_resolution", format!("({side}, {side})")),
            ("ss_seed", settings.seed.to_string()),
            ("ss_min_snr_gamma", settings.min_snr_gamma.map_or("None".into(), |gamma| gamma.to_string())),
            ("ss_max_grad_norm", GRADIENT_NORM_MAX.to_string()),
            ("ss_mixed_precision", "no".into()),
            ("ss_base_model_version", base.0.into()),
            ("ss_v2", if self.kind() == ModelKind::Sd2 { "True" } else { "False" }.into()),
            ("ss_new_sd_model_hash", self.weights_hash().into()),
            ("ss_tag_frequency", json!({ "pictures": tags }).to_string()),
            ("modelspec.sai_model_spec", "1.0.0".into()),
            ("modelspec.architecture", base.1.into()),
            ("modelspec.resolution", format!("{side}x{side}")),
        ];
        said.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

/// A network whose half precision became single.
fn widened<M: burn::module::Module>(module: M) -> M {
    struct Widener;
    impl burn::module::ModuleMapper for Widener {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            match param.val().dtype() {
                DType::F16 | DType::BF16 => param.map(|value| value.cast(DType::F32)),
                _ => param,
            }
        }
    }
    module.map(&mut Widener)
}

/// What a training is of.
fn hash(weights: &str, settings: &LoraTraining, examples: &[Example]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(weights.as_bytes());
    hasher.update(json!(settings).to_string().as_bytes());
    examples.iter().for_each(|example| example.hash_into(&mut hasher));
    hasher.finalize().to_hex().to_string()
}

impl LoraTrainer {
    /// Trains until the last step, or until `on_step`, which is asked after every step, says to stop; then
    /// [`DiffusionError::Cancelled`], and another call goes on. `model` is the one that it began with.
    pub fn run(
        &mut self,
        model: &DiffusionModel,
        on_step: &mut dyn FnMut(&TrainingStep<'_>) -> ControlFlow<()>,
    ) -> Result<(), DiffusionError> {
        self.run_unless(model, &|| false, on_step)
    }

    /// Like [`LoraTrainer::run`], and asks `is_cancelled` after each picture of a step. A step that is cut leaves nothing.
    pub fn run_unless(
        &mut self,
        model: &DiffusionModel,
        is_cancelled: &dyn Fn() -> bool,
        on_step: &mut dyn FnMut(&TrainingStep<'_>) -> ControlFlow<()>,
    ) -> Result<(), DiffusionError> {
        guarded(|| {
            let trainable = self.widened.take().unwrap_or_else(|| model.trainable());
            let ended = self.steps(&trainable, is_cancelled, on_step);
            if model.widened_bytes() > 0 {
                self.widened = Some(trainable);
            }
            ended
        })
    }

    fn steps(
        &mut self,
        trainable: &StableDiffusion,
        is_cancelled: &dyn Fn() -> bool,
        on_step: &mut dyn FnMut(&TrainingStep<'_>) -> ControlFlow<()>,
    ) -> Result<(), DiffusionError> {
        while self.state.step < self.settings.steps {
            let (loss, gradients) = self.gradients_of_step(trainable, is_cancelled)?;
            self.apply(loss, gradients);
            let (step, steps) = (self.state.step, self.settings.steps);
            if on_step(&TrainingStep { step, steps, loss, state: &self.state }).is_break() {
                return Err(DiffusionError::Cancelled { step });
            }
        }
        Ok(())
    }

    /// Lets go of the single-precision copy of the model; the next call makes it anew.
    pub fn rest(&mut self) {
        self.widened = None;
    }

    /// Whether the checkpoint to go on from was one of another training, and this one began anew.
    pub fn left_checkpoint_out(&self) -> bool {
        self.left_out
    }

    /// All that it takes to go on from here.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.state
    }

    /// The loss of each step so far.
    pub fn losses(&self) -> &[f64] {
        &self.state.losses
    }

    /// The losses as at most 200 means of steps that follow each other.
    pub fn curve(&self) -> Vec<f64> {
        loss_curve(&self.state.losses)
    }

    /// The correction as it is now: a LoRA file with kohya's metadata, the loss curve and `more`.
    pub fn lora_file(&self, more: &BTreeMap<String, String>) -> Vec<u8> {
        let mut metadata = self.metadata.clone();
        metadata.insert("playhouse_loss_curve".into(), json!(self.curve()).to_string());
        metadata.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.state.factors.file(&metadata)
    }

    /// The loss of the pictures whose turn it is, and its gradients, cut to their greatest length.
    fn gradients_of_step(
        &self,
        model: &StableDiffusion,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(f64, Vec<FactorGradient>), DiffusionError> {
        let (step, batch) = (self.state.step, self.settings.batch_size);
        let mut random = ChaCha8Rng::seed_from_u64(self.settings.seed);
        random.set_stream(step as u64);
        let mut sum: Vec<FactorGradient> = Vec::new();
        let mut total = 0.0;
        // One picture at a time: the activations of one are all that memory must hold.
        for place in 0..batch {
            if is_cancelled() {
                return Err(DiffusionError::Cancelled { step });
            }
            let example = self.turn(step * batch + place);
            let (timestep, seed) = (random.next_u64(), random.next_u64());
            let timestep = (timestep % self.objective.timesteps() as u64) as usize;
            let (loss, gradients) = self.gradients(model, &self.state.factors, example, timestep, seed)?;
            total += loss / batch as f64;
            match sum.is_empty() {
                true => sum = gradients,
                false => sum.iter_mut().zip(&gradients).for_each(|(sum, gradient)| {
                    let add = |(sum, more): (&mut f32, &f32)| *sum += more;
                    sum.down.iter_mut().zip(&gradient.down).for_each(add);
                    sum.up.iter_mut().zip(&gradient.up).for_each(add);
                }),
            }
        }
        let squares = |values: &[f32]| values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        let norm =
            sum.iter().map(|it| squares(&it.down) + squares(&it.up)).sum::<f64>().sqrt() / batch as f64;
        if !(total.is_finite() && norm.is_finite()) {
            return Err(DiffusionError::NotFinite { what: "loss of the training" });
        }
        let by = ((GRADIENT_NORM_MAX / norm.max(f64::MIN_POSITIVE)).min(1.0) / batch as f64) as f32;
        let numbers = sum.iter_mut().flat_map(|it| it.down.iter_mut().chain(&mut it.up));
        numbers.for_each(|value| *value *= by);
        Ok((total, sum))
    }

    /// Does a step along these gradients.
    fn apply(&mut self, loss: f64, gradients: Vec<FactorGradient>) {
        let rate = self.settings.learning_rate_at(self.state.step);
        let decay = self.settings.weight_decay;
        self.state.step += 1;
        for (factor, gradient) in self.state.factors.factors.iter_mut().zip(&gradients) {
            factor.down.update(&gradient.down, self.state.step, rate, decay);
            factor.up.update(&gradient.up, self.state.step, rate, decay);
        }
        self.state.losses.push(loss);
    }

    /// Which picture comes at a place: all of them once, in an order of its own, then all again.
    fn turn(&self, place: usize) -> usize {
        let count = self.examples.len();
        let mut random = ChaCha8Rng::seed_from_u64(self.settings.seed);
        random.set_stream(ORDERS + (place / count) as u64);
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
        }
        order[place % count]
    }

    /// The loss of one picture at a timestep, and where it comes from.
    fn gradients(
        &self,
        model: &StableDiffusion,
        factors: &LoraFactors,
        example: usize,
        timestep: usize,
        seed: u64,
    ) -> Result<(f64, Vec<FactorGradient>), DiffusionError> {
        let picture = &self.examples[example];
        let mut noise = Noise::new(NoiseGenerator::ChaCha8, seed);
        let clean = picture.latents(&noise.draw(picture.len()));
        let noised = self.objective.noised(&clean, &noise.draw(picture.len()), timestep);
        self.backward(model, factors, example, &noised, timestep)
    }

    /// The loss of a noised picture, and where it comes from.
    pub(super) fn backward(
        &self,
        model: &StableDiffusion,
        factors: &LoraFactors,
        example: usize,
        noised: &Noised,
        timestep: usize,
    ) -> Result<(f64, Vec<FactorGradient>), DiffusionError> {
        let picture = &self.examples[example];
        let adapted = Adapted::new(model, factors);
        let caption = match self.captions.get(example) {
            Some(caption) => caption.clone(),
            None => picture.caption(&adapted.model),
        };
        let side = self.settings.resolution as usize / model.vae_config.scale_factor();
        let shape = [1, model.vae_config.latent_channels, side, side];
        let sample = model.upload(&noised.sample, shape);
        let target = model.upload(&noised.target, shape);
        let said = adapted.model.unet.forward(
            sample,
            timestep as f64,
            caption.embeds.clone(),
            picture.added(&caption).as_ref(),
        );
        let loss = (said.cast(DType::F32) - target).powi_scalar(2).mean() * noised.weight;
        let gradients = loss.backward();
        let loss = download(loss.without_autodiff())?.first().copied().unwrap_or(f32::NAN);
        Ok((f64::from(loss), adapted.gradients(gradients)?))
    }
}

#[cfg(test)]
impl LoraTrainer {
    /// A training of one example, to look into.
    pub(super) fn of_example(
        settings: LoraTraining,
        objective: Objective,
        example: Example,
        captions: Vec<Caption>,
        factors: LoraFactors,
    ) -> Self {
        let state = Checkpoint { of: String::new(), step: 0, losses: Vec::new(), factors };
        let (examples, metadata) = (vec![example], BTreeMap::new());
        Self { settings, objective, examples, captions, state, metadata, widened: None, left_out: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_a_place_for_few_steps_and_means_of_many() {
        assert_eq!(loss_curve(&[1.0, 0.5]), [1.0, 0.5]);
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        let curve = loss_curve(&many);
        assert_eq!((curve.len(), curve[0], curve[199]), (200, 2.0, 997.0));
    }
}
