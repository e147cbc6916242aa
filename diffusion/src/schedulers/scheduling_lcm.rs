//! `diffusers.LCMScheduler`, for latent consistency models.

use super::config::{PredictionType, SchedulerConfig};
use super::noise_schedule::NoiseSchedule;
use super::{Scheduler, combine};
use crate::DiffusionError;

/// Jumps to the picture at every step and puts noise back at all but the last.
#[derive(Debug)]
pub struct LcmScheduler {
    noise: NoiseSchedule,
    timesteps: Vec<f64>,
    final_alpha: f64,
    scaling: f64,
    prediction: PredictionType,
    clip: Option<f64>,
}

impl LcmScheduler {
    /// Lays out `steps` of the steps that the model was distilled to.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Result<Self, DiffusionError> {
        let original = config.original_inference_steps;
        if original == 0 || original > config.num_train_timesteps || steps > original {
            return Err(DiffusionError::spec("steps", format!("LCMScheduler takes at most {original}")));
        }
        let stride = config.num_train_timesteps / original;
        let noise = config.noise_schedule();
        let timesteps = (0..steps).map(|i| {
            let skipped = i * original / steps;
            ((original - skipped) * stride - 1) as f64
        });
        Ok(Self {
            timesteps: timesteps.collect(),
            final_alpha: if config.set_alpha_to_one { 1.0 } else { noise.alphas_cumprod[0] },
            noise,
            scaling: config.timestep_scaling,
            prediction: config.prediction_type,
            clip: config.clip_sample,
        })
    }
}

impl Scheduler for LcmScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn wants_noise(&self, index: usize) -> bool {
        index + 1 < self.timesteps.len()
    }

    fn signal_and_noise(&self, index: usize) -> (f64, f64) {
        let alpha = self.noise.alpha_at(self.timesteps[index], self.final_alpha);
        (alpha.sqrt(), (1.0 - alpha).sqrt())
    }

    fn prediction_type(&self) -> PredictionType {
        self.prediction
    }

    fn step(&mut self, index: usize, output: &[f64], sample: &[f64], noise: Option<&[f64]>) -> Vec<f64> {
        const SIGMA_DATA: f64 = 0.5;
        let timestep = self.timesteps[index];
        let scaled = timestep * self.scaling;
        let square = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
        let (of_sample, of_original) = (SIGMA_DATA * SIGMA_DATA / square, scaled / square.sqrt());
        let mut original = self.predict_original(index, output, sample);
        if let Some(range) = self.clip {
            original.iter_mut().for_each(|value| *value = value.clamp(-range, range));
        }
        let denoised = combine(&[(of_original, &original), (of_sample, sample)]);
        match (self.timesteps.get(index + 1), noise) {
            (Some(&next), Some(noise)) => {
                let alpha = self.noise.alpha_at(next, self.final_alpha);
                combine(&[(alpha.sqrt(), &denoised), ((1.0 - alpha).sqrt(), noise)])
            }
            _ => denoised,
        }
    }
}
