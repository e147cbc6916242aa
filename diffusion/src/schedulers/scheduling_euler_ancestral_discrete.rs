//! `diffusers.EulerAncestralDiscreteScheduler`.

use super::config::{PredictionType, SchedulerConfig};
use super::noise_schedule::{interpolate, spread};
use super::scheduling_euler_discrete::init_noise_sigma;
use super::{Scheduler, combine};

/// Euler's method that goes down further than it should and puts fresh noise back.
#[derive(Debug)]
pub struct EulerAncestralDiscreteScheduler {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    init_noise_sigma: f64,
    prediction: PredictionType,
}

impl EulerAncestralDiscreteScheduler {
    /// Lays out `steps` steps.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Self {
        let train = config.noise_schedule().sigmas();
        let timesteps = spread(config, steps, false, true);
        let mut sigmas: Vec<f64> = timesteps.iter().map(|&timestep| interpolate(&train, timestep)).collect();
        sigmas.push(0.0);
        Self {
            init_noise_sigma: init_noise_sigma(config.timestep_spacing, &sigmas),
            timesteps,
            sigmas,
            prediction: config.prediction_type,
        }
    }
}

impl Scheduler for EulerAncestralDiscreteScheduler {
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

    fn wants_noise(&self, _index: usize) -> bool {
        true
    }

    fn signal_and_noise(&self, index: usize) -> (f64, f64) {
        (1.0, self.sigmas[index])
    }

    fn prediction_type(&self) -> PredictionType {
        self.prediction
    }

    fn step(&mut self, index: usize, output: &[f64], sample: &[f64], noise: Option<&[f64]>) -> Vec<f64> {
        let original = self.predict_original(index, output, sample);
        let (from, to) = (self.sigmas[index], self.sigmas[index + 1]);
        let up = (to * to * (from * from - to * to) / (from * from)).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        let ratio = down / from;
        let mut terms = vec![(ratio, sample), (1.0 - ratio, original.as_slice())];
        if let Some(noise) = noise {
            terms.push((up, noise));
        }
        combine(&terms)
    }
}
