//! `diffusers.PNDMScheduler`: pseudo numerical methods, with or without the Runge-Kutta start.

use super::config::{PredictionType, SchedulerConfig};
use super::noise_schedule::{NoiseSchedule, spread};
use super::{Scheduler, combine};
use crate::DiffusionError;

/// Linear multistep over the last four outputs.
#[derive(Debug)]
pub struct PndmScheduler {
    noise: NoiseSchedule,
    timesteps: Vec<f64>,
    runge_kutta_calls: usize,
    stride: f64,
    half_stride: f64,
    final_alpha: f64,
    prediction: PredictionType,
    counter: usize,
    outputs: Vec<Vec<f64>>,
    kept_sample: Option<Vec<f64>>,
    sum: Option<Vec<f64>>,
}

impl PndmScheduler {
    /// Lays out `steps` steps, which take a call or more besides.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Result<Self, DiffusionError> {
        let least = if config.skip_prk_steps { 1 } else { 4 };
        if steps < least {
            return Err(DiffusionError::spec("steps", format!("PNDMScheduler takes {least} or more")));
        }
        let noise = config.noise_schedule();
        let stride = config.num_train_timesteps / steps;
        let mut rising = spread(config, steps, false, false);
        rising.reverse();
        let (timesteps, runge_kutta_calls) = match config.skip_prk_steps {
            true => (with_second_repeated(&rising), 0),
            false => with_runge_kutta(&rising, (stride / 2) as f64),
        };
        Ok(Self {
            final_alpha: if config.set_alpha_to_one { 1.0 } else { noise.alphas_cumprod[0] },
            noise,
            timesteps,
            runge_kutta_calls,
            stride: stride as f64,
            half_stride: (stride / 2) as f64,
            prediction: config.prediction_type,
            counter: 0,
            outputs: Vec::new(),
            kept_sample: None,
            sum: None,
        })
    }

    fn previous(&self, sample: &[f64], timestep: f64, before: f64, output: &[f64]) -> Vec<f64> {
        let alpha = self.noise.alpha_at(timestep, self.final_alpha);
        let alpha_before = self.noise.alpha_at(before, self.final_alpha);
        let (beta, beta_before) = (1.0 - alpha, 1.0 - alpha_before);
        let mut of_sample = (alpha_before / alpha).sqrt();
        let divisor = alpha * beta_before.sqrt() + (alpha * beta * alpha_before).sqrt();
        let mut of_output = -(alpha_before - alpha) / divisor;
        if self.prediction == PredictionType::VPrediction {
            of_sample += of_output * beta.sqrt();
            of_output *= alpha.sqrt();
        }
        combine(&[(of_sample, sample), (of_output, output)])
    }

    fn runge_kutta(&mut self, index: usize, output: &[f64], sample: &[f64]) -> Vec<f64> {
        let back = if self.counter % 2 == 1 { 0.0 } else { self.half_stride };
        let before = self.timesteps[index] - back;
        let timestep = self.timesteps[self.counter / 4 * 4];
        let weight = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0][self.counter % 4];
        let mut sum = self.sum.take().unwrap_or_else(|| vec![0.0; output.len()]);
        sum.iter_mut().zip(output).for_each(|(sum, value)| *sum += weight * value);
        let used = match self.counter % 4 {
            0 => {
                self.outputs.push(output.to_vec());
                self.kept_sample = Some(sample.to_vec());
                self.sum = Some(sum);
                output.to_vec()
            }
            3 => sum,
            _ => {
                self.sum = Some(sum);
                output.to_vec()
            }
        };
        let from = self.kept_sample.clone().unwrap_or_else(|| sample.to_vec());
        self.previous(&from, timestep, before, &used)
    }

    fn multistep(&mut self, index: usize, output: &[f64], sample: &[f64]) -> Vec<f64> {
        let mut timestep = self.timesteps[index];
        let mut before = timestep - self.stride;
        if self.counter != 1 {
            let surplus = self.outputs.len().saturating_sub(3);
            self.outputs.drain(..surplus);
            self.outputs.push(output.to_vec());
        } else {
            before = timestep;
            timestep += self.stride;
        }
        let mut from = sample.to_vec();
        let recent = |back: usize| self.outputs[self.outputs.len() - back].as_slice();
        let used = match (self.outputs.len(), self.counter) {
            (1, 0) => {
                self.kept_sample = Some(from.clone());
                output.to_vec()
            }
            (1, _) => {
                from = self.kept_sample.take().unwrap_or(from);
                combine(&[(0.5, output), (0.5, &self.outputs[0])])
            }
            (2, _) => combine(&[(1.5, recent(1)), (-0.5, recent(2))]),
            (3, _) => {
                combine(&[(23.0 / 12.0, recent(1)), (-16.0 / 12.0, recent(2)), (5.0 / 12.0, recent(3))])
            }
            _ => combine(&[
                (55.0 / 24.0, recent(1)),
                (-59.0 / 24.0, recent(2)),
                (37.0 / 24.0, recent(3)),
                (-9.0 / 24.0, recent(4)),
            ]),
        };
        self.previous(&from, timestep, before, &used)
    }
}

/// The last but one of the rising timesteps is called twice, for the multistep has to start somewhere; a single one
/// is called once.
fn with_second_repeated(rising: &[f64]) -> Vec<f64> {
    let last = rising.len() - 1;
    if last == 0 {
        return rising.to_vec();
    }
    let mut timesteps = rising[..last].to_vec();
    timesteps.push(rising[last - 1]);
    timesteps.push(rising[last]);
    timesteps.reverse();
    timesteps
}

/// Four calls for each of the first three steps, then one for each of the rest.
fn with_runge_kutta(rising: &[f64], half_stride: f64) -> (Vec<f64>, usize) {
    let start = &rising[rising.len() - 4..];
    let doubled: Vec<f64> = start.iter().flat_map(|&t| [t, t + half_stride]).collect();
    let repeated: Vec<f64> = doubled[..doubled.len() - 1].iter().flat_map(|&t| [t, t]).collect();
    let mut timesteps = repeated[1..repeated.len() - 1].to_vec();
    timesteps.reverse();
    let calls = timesteps.len();
    timesteps.extend(rising[..rising.len() - 3].iter().rev());
    (timesteps, calls)
}

impl Scheduler for PndmScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn signal_and_noise(&self, index: usize) -> (f64, f64) {
        let alpha = self.noise.alpha_at(self.timesteps[index], self.final_alpha);
        (alpha.sqrt(), (1.0 - alpha).sqrt())
    }

    fn prediction_type(&self) -> PredictionType {
        self.prediction
    }

    fn step(&mut self, index: usize, output: &[f64], sample: &[f64], _noise: Option<&[f64]>) -> Vec<f64> {
        let next = match self.counter < self.runge_kutta_calls {
            true => self.runge_kutta(index, output, sample),
            false => self.multistep(index, output, sample),
        };
        self.counter += 1;
        next
    }
}
