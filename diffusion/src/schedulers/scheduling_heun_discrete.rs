//! `diffusers.HeunDiscreteScheduler`.

use super::config::{PredictionType, SchedulerConfig};
use super::noise_schedule::discrete_layout;
use super::scheduling_euler_discrete::init_noise_sigma;
use super::{Scheduler, combine, original_weights};

/// Heun's method: every step but the last asks twice and takes the mean slope.
#[derive(Debug)]
pub struct HeunDiscreteScheduler {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    init_noise_sigma: f64,
    prediction: PredictionType,
    clip: Option<f64>,
    first_slope: Option<(Vec<f64>, f64, Vec<f64>)>,
}

/// All but the first twice.
fn doubled(values: &[f64]) -> Vec<f64> {
    values.iter().take(1).copied().chain(values.iter().skip(1).flat_map(|&value| [value, value])).collect()
}

impl HeunDiscreteScheduler {
    /// Lays out `steps` steps.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Self {
        let (sigmas, timesteps) = discrete_layout(config, steps);
        let mut sigmas = doubled(&sigmas);
        sigmas.push(0.0);
        Self {
            init_noise_sigma: init_noise_sigma(config.timestep_spacing, &sigmas),
            timesteps: doubled(&timesteps),
            sigmas,
            prediction: config.prediction_type,
            clip: config.clip_sample,
            first_slope: None,
        }
    }
}

impl Scheduler for HeunDiscreteScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn sigmas(&self) -> Option<&[f64]> {
        Some(&self.sigmas)
    }

    fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    fn order(&self) -> usize {
        2
    }

    fn input_scale(&self, index: usize) -> f64 {
        1.0 / self.sigmas[index].hypot(1.0)
    }

    fn signal_and_noise(&self, index: usize) -> (f64, f64) {
        (1.0, self.sigmas[index])
    }

    fn prediction_type(&self) -> PredictionType {
        self.prediction
    }

    fn step(&mut self, index: usize, output: &[f64], sample: &[f64], _noise: Option<&[f64]>) -> Vec<f64> {
        // Both halves of a step look from the level that the sample is at.
        let sigma = self.sigmas[index];
        let (of_sample, of_output) = original_weights(self.prediction, 1.0, sigma);
        let mut original = combine(&[(of_sample, sample), (of_output, output)]);
        if let Some(range) = self.clip {
            original.iter_mut().for_each(|value| *value = value.clamp(-range, range));
        }
        let slope = combine(&[(1.0 / sigma, sample), (-1.0 / sigma, &original)]);
        match self.first_slope.take() {
            None => {
                let stride = self.sigmas[index + 1] - sigma;
                let next = combine(&[(1.0, sample), (stride, &slope)]);
                self.first_slope = Some((slope, stride, sample.to_vec()));
                next
            }
            Some((first, stride, start)) => {
                combine(&[(1.0, &start), (stride * 0.5, &first), (stride * 0.5, &slope)])
            }
        }
    }
}
