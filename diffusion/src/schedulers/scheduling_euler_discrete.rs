//! `diffusers.EulerDiscreteScheduler`.

use super::config::{PredictionType, SchedulerConfig, TimestepSpacing};
use super::noise_schedule::{discrete_layout, linspace};
use super::{Scheduler, combine};

/// Euler's method along the noise levels.
#[derive(Debug)]
pub struct EulerDiscreteScheduler {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    init_noise_sigma: f64,
    prediction: PredictionType,
}

/// What fresh noise is multiplied by, if the noise level begins with `sigmas`.
pub(super) fn init_noise_sigma(spacing: TimestepSpacing, sigmas: &[f64]) -> f64 {
    let max = sigmas.iter().copied().fold(0.0, f64::max);
    match spacing {
        TimestepSpacing::Leading => (max * max + 1.0).sqrt(),
        _ => max,
    }
}

impl EulerDiscreteScheduler {
    /// Lays out `steps` steps.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Self {
        let train = config.noise_schedule().sigmas();
        let (mut sigmas, mut timesteps) = discrete_layout(config, steps);
        let even = config.log_linear && !config.use_karras_sigmas && !config.use_exponential_sigmas;
        if even {
            let (min, max) = (train[0], train[train.len() - 1]);
            // From the largest to the smallest with one more than there are steps: the last step ends at the smallest.
            sigmas = linspace(max.ln(), min.ln(), steps + 1).into_iter().map(f64::exp).collect();
        }
        if config.continuous && config.prediction_type == PredictionType::VPrediction {
            timesteps = sigmas.iter().take(steps).map(|sigma| 0.25 * sigma.ln()).collect();
        }
        if !even {
            sigmas.push(if config.final_sigma_is_min { train[0] } else { 0.0 });
        }
        Self {
            init_noise_sigma: init_noise_sigma(config.timestep_spacing, &sigmas),
            timesteps,
            sigmas,
            prediction: config.prediction_type,
        }
    }
}

impl Scheduler for EulerDiscreteScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn sigmas(&self) -> Option<&[f64]> {
        Some(&self.sigmas)
    }

    fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
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
        let original = self.predict_original(index, output, sample);
        let ratio = self.sigmas[index + 1] / self.sigmas[index];
        combine(&[(ratio, sample), (1.0 - ratio, &original)])
    }
}
