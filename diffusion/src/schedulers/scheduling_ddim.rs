//! `diffusers.DDIMScheduler`.

use super::config::{PredictionType, SchedulerConfig};
use super::noise_schedule::{NoiseSchedule, spread};
use super::{Scheduler, combine};

/// Denoising diffusion implicit models; `eta` above 0 draws noise at every step.
#[derive(Debug)]
pub struct DdimScheduler {
    noise: NoiseSchedule,
    timesteps: Vec<f64>,
    stride: f64,
    final_alpha: f64,
    eta: f64,
    prediction: PredictionType,
    clip: Option<f64>,
}

impl DdimScheduler {
    /// Lays out `steps` steps.
    pub fn new(config: &SchedulerConfig, steps: usize, eta: f64) -> Self {
        let noise = config.noise_schedule();
        Self {
            final_alpha: if config.set_alpha_to_one { 1.0 } else { noise.alphas_cumprod[0] },
            timesteps: spread(config, steps, false, false),
            stride: (config.num_train_timesteps / steps) as f64,
            noise,
            eta,
            prediction: config.prediction_type,
            clip: config.clip_sample,
        }
    }
}

impl Scheduler for DdimScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn wants_noise(&self, _index: usize) -> bool {
        self.eta > 0.0
    }

    fn signal_and_noise(&self, index: usize) -> (f64, f64) {
        let alpha = self.noise.alpha_at(self.timesteps[index], self.final_alpha);
        (alpha.sqrt(), (1.0 - alpha).sqrt())
    }

    fn prediction_type(&self) -> PredictionType {
        self.prediction
    }

    fn step(&mut self, index: usize, output: &[f64], sample: &[f64], noise: Option<&[f64]>) -> Vec<f64> {
        let alpha = self.noise.alpha_at(self.timesteps[index], self.final_alpha);
        let before = self.noise.alpha_at(self.timesteps[index] - self.stride, self.final_alpha);
        let (signal, sigma) = (alpha.sqrt(), (1.0 - alpha).sqrt());
        let mut original = self.predict_original(index, output, sample);
        let epsilon = match self.prediction {
            PredictionType::Epsilon => output.to_vec(),
            PredictionType::VPrediction => combine(&[(signal, output), (sigma, sample)]),
            PredictionType::Sample => combine(&[(1.0 / sigma, sample), (-signal / sigma, &original)]),
        };
        if let Some(range) = self.clip {
            original.iter_mut().for_each(|value| *value = value.clamp(-range, range));
        }
        let variance = (1.0 - before) / (1.0 - alpha) * (1.0 - alpha / before);
        let deviation = self.eta * variance.max(0.0).sqrt();
        let direction = (1.0 - before - deviation * deviation).max(0.0).sqrt();
        let mut terms = vec![(before.sqrt(), original.as_slice()), (direction, epsilon.as_slice())];
        if let Some(noise) = noise.filter(|_| self.eta > 0.0) {
            terms.push((deviation, noise));
        }
        combine(&terms)
    }
}
