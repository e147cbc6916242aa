//! The way from noise to picture, step by step: pure double-precision maths on the host.
//!
//! Each file is one of diffusers' schedulers and keeps its name. A sample is a plain slice, so everything
//! here is tested without a device.

mod config;
mod names;
mod noise_schedule;
mod scheduling_ddim;
mod scheduling_dpmsolver_multistep;
mod scheduling_euler_ancestral_discrete;
mod scheduling_euler_discrete;
mod scheduling_heun_discrete;
mod scheduling_lcm;
mod scheduling_pndm;
mod scheduling_unipc_multistep;

pub use config::{PredictionType, SchedulerClass, SchedulerConfig};
pub use names::{OwnScheduler, SCHEDULER_NAMES, own_scheduler, scheduler_named};

use crate::DiffusionError;

/// A schedule that was laid out for a number of steps.
pub trait Scheduler: Send {
    /// What the UNet is told at each call; fractional for some.
    fn timesteps(&self) -> &[f64];

    /// Noise levels, one more than timesteps, for schedulers that think in them.
    fn sigmas(&self) -> Option<&[f64]> {
        None
    }

    /// What fresh noise is multiplied by.
    fn init_noise_sigma(&self) -> f64 {
        1.0
    }

    /// UNet calls per step.
    fn order(&self) -> usize {
        1
    }

    /// What a sample is multiplied by before the UNet sees it.
    fn input_scale(&self, _index: usize) -> f64 {
        1.0
    }

    /// Whether step `index` draws fresh noise.
    fn wants_noise(&self, _index: usize) -> bool {
        false
    }

    /// Weights of picture and noise in a sample at `index`.
    fn signal_and_noise(&self, index: usize) -> (f64, f64);

    /// What the network predicts.
    fn prediction_type(&self) -> PredictionType;

    /// One step: the sample after the network said `model_output` about `sample` at `index`. Indices rise
    /// by one from wherever the run begins.
    fn step(&mut self, index: usize, model_output: &[f64], sample: &[f64], noise: Option<&[f64]>)
    -> Vec<f64>;

    /// The picture that the network sees behind the noise.
    fn predict_original(&self, index: usize, model_output: &[f64], sample: &[f64]) -> Vec<f64> {
        let (signal, noise) = self.signal_and_noise(index);
        if self.prediction_type() == PredictionType::Epsilon {
            // Where nothing of the picture is left this is endless, and clipping still makes something of it.
            let original = |(sample, output): (&f64, &f64)| (sample - noise * output) / signal;
            return sample.iter().zip(model_output).map(original).collect();
        }
        let (of_sample, of_output) = original_weights(self.prediction_type(), signal, noise);
        combine(&[(of_sample, sample), (of_output, model_output)])
    }
}

/// Lays out `config` for `steps` steps.
pub fn schedule(
    config: &SchedulerConfig,
    steps: usize,
    eta: f64,
) -> Result<Box<dyn Scheduler>, DiffusionError> {
    if steps == 0 || steps > config.num_train_timesteps {
        let reason = format!("{steps} is not within 1 to {}", config.num_train_timesteps);
        return Err(DiffusionError::spec("steps", reason));
    }
    Ok(match config.class {
        SchedulerClass::Ddim => Box::new(scheduling_ddim::DdimScheduler::new(config, steps, eta)),
        SchedulerClass::Pndm => Box::new(scheduling_pndm::PndmScheduler::new(config, steps)?),
        SchedulerClass::EulerDiscrete => {
            Box::new(scheduling_euler_discrete::EulerDiscreteScheduler::new(config, steps))
        }
        SchedulerClass::EulerAncestralDiscrete => {
            Box::new(scheduling_euler_ancestral_discrete::EulerAncestralDiscreteScheduler::new(config, steps))
        }
        SchedulerClass::HeunDiscrete => {
            Box::new(scheduling_heun_discrete::HeunDiscreteScheduler::new(config, steps))
        }
        SchedulerClass::DpmSolverMultistep => {
            Box::new(scheduling_dpmsolver_multistep::DpmSolverMultistepScheduler::new(config, steps))
        }
        SchedulerClass::UniPcMultistep => {
            Box::new(scheduling_unipc_multistep::UniPcMultistepScheduler::new(config, steps))
        }
        SchedulerClass::Lcm => Box::new(scheduling_lcm::LcmScheduler::new(config, steps)?),
    })
}

/// The sum of slices of one length, each times its weight.
pub(crate) fn combine(terms: &[(f64, &[f64])]) -> Vec<f64> {
    let length = terms.first().map_or(0, |(_, values)| values.len());
    let mut sum = vec![0.0; length];
    for (weight, values) in terms {
        for (sum, value) in sum.iter_mut().zip(*values) {
            *sum += weight * value;
        }
    }
    sum
}

/// Weights of sample and model output in the picture behind them, where
/// sample = `signal` · picture + `noise` · noise.
pub(crate) fn original_weights(prediction: PredictionType, signal: f64, noise: f64) -> (f64, f64) {
    match prediction {
        PredictionType::Epsilon => (1.0 / signal, -noise / signal),
        PredictionType::Sample => (0.0, 1.0),
        PredictionType::VPrediction => {
            let norm = signal.hypot(noise);
            (signal / (norm * norm), -noise / norm)
        }
    }
}
