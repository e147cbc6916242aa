//! `diffusers.DPMSolverMultistepScheduler`: DPM++ 2M and its kin.

use super::config::{PredictionType, SchedulerConfig};
use super::noise_schedule::multistep_layout;
use super::{Scheduler, combine, original_weights};

/// DPM-Solver and DPM-Solver++, of order 1 to 3, plain or stochastic.
#[derive(Debug)]
pub struct DpmSolverMultistepScheduler {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    config: SchedulerConfig,
    /// Converted outputs, the newest last.
    outputs: Vec<Vec<f64>>,
}

/// Weights of picture and noise at `sigma`, and half the logarithm of their ratio.
pub(super) fn level(sigma: f64) -> (f64, f64, f64) {
    let alpha = 1.0 / sigma.hypot(1.0);
    (alpha, sigma * alpha, -sigma.ln())
}

impl DpmSolverMultistepScheduler {
    /// Lays out `steps` steps.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Self {
        let (sigmas, timesteps) = multistep_layout(config, steps);
        Self { timesteps, sigmas, config: config.clone(), outputs: Vec::new() }
    }

    fn is_plus_plus(&self) -> bool {
        self.config.algorithm_type.ends_with("++")
    }

    fn is_stochastic(&self) -> bool {
        self.config.algorithm_type.starts_with("sde")
    }

    /// The picture for DPM-Solver++, the noise for DPM-Solver.
    fn convert(&self, index: usize, output: &[f64], sample: &[f64]) -> Vec<f64> {
        if self.is_plus_plus() {
            return self.predict_original(index, output, sample);
        }
        let (alpha, sigma, _) = level(self.sigmas[index]);
        match self.config.prediction_type {
            PredictionType::Epsilon => output.to_vec(),
            PredictionType::Sample => combine(&[(1.0 / sigma, sample), (-alpha / sigma, output)]),
            PredictionType::VPrediction => combine(&[(alpha, output), (sigma, sample)]),
        }
    }

    fn order(&self, index: usize) -> usize {
        let (count, config) = (self.timesteps.len(), &self.config);
        let few = config.lower_order_final && count < 15;
        let last = index + 1 == count && (config.euler_at_final || few || !config.final_sigma_is_min);
        let second_last = index + 2 == count && few;
        let order = config.solver_order.min(self.outputs.len());
        if last {
            1
        } else if second_last {
            order.min(2)
        } else {
            order
        }
    }

    /// Weights of the sample, of the converted output and its first and second differences, and of noise.
    fn weights(&self, index: usize, order: usize) -> [f64; 5] {
        let (alpha_t, sigma_t, lambda_t) = level(self.sigmas[index + 1]);
        let (alpha_s, sigma_s, lambda_s) = level(self.sigmas[index]);
        let h = lambda_t - lambda_s;
        let by_slope = self.config.solver_type == "heun" || order == 3;
        // The last level is zero and its logarithm infinite; only the first order goes there.
        let [sample, output, slope, curve, noise] = match (self.is_plus_plus(), self.is_stochastic()) {
            (true, false) => {
                let phi = (-h).exp_m1();
                let slope = if by_slope { alpha_t * (phi / h + 1.0) } else { -0.5 * alpha_t * phi };
                let curve = -alpha_t * ((phi + h) / (h * h) - 0.5);
                [sigma_t / sigma_s, -alpha_t * phi, slope, curve, 0.0]
            }
            (true, true) => {
                let psi = -(-2.0 * h).exp_m1();
                let slope = if by_slope { alpha_t * (psi / (-2.0 * h) + 1.0) } else { 0.5 * alpha_t * psi };
                let curve = alpha_t * ((psi - 2.0 * h) / (4.0 * h * h) - 0.5);
                [sigma_t / sigma_s * (-h).exp(), alpha_t * psi, slope, curve, sigma_t * psi.sqrt()]
            }
            (false, stochastic) => {
                let phi = h.exp_m1();
                let twice = if stochastic { 2.0 } else { 1.0 };
                let slope = match by_slope {
                    true => -twice * sigma_t * (phi / h - 1.0),
                    false => -0.5 * twice * sigma_t * phi,
                };
                let curve = -sigma_t * ((phi - h) / (h * h) - 0.5);
                let noise = if stochastic { sigma_t * (2.0 * h).exp_m1().sqrt() } else { 0.0 };
                [alpha_t / alpha_s, -twice * sigma_t * phi, slope, curve, noise]
            }
        };
        match order {
            1 => [sample, output, 0.0, 0.0, noise],
            2 => [sample, output, slope, 0.0, noise],
            _ => [sample, output, slope, curve, noise],
        }
    }

    /// First and second divided differences of the outputs.
    fn differences(&self, index: usize, order: usize) -> (Vec<f64>, Vec<f64>) {
        let newest = self.outputs.len() - 1;
        let lambda = |back: usize| level(self.sigmas[index - back]).2;
        let h = level(self.sigmas[index + 1]).2 - lambda(0);
        let difference = |back: usize| {
            let ratio = (lambda(back) - lambda(back + 1)) / h;
            let weights = [
                (1.0 / ratio, &*self.outputs[newest - back]),
                (-1.0 / ratio, &*self.outputs[newest - back - 1]),
            ];
            (combine(&weights), ratio)
        };
        let (first, r0) = difference(0);
        if order < 3 {
            return (first, Vec::new());
        }
        let (second, r1) = difference(1);
        let weight = r0 / (r0 + r1);
        let slope = combine(&[(1.0 + weight, &first), (-weight, &second)]);
        let curve = combine(&[(1.0 / (r0 + r1), &first), (-1.0 / (r0 + r1), &second)]);
        (slope, curve)
    }
}

impl Scheduler for DpmSolverMultistepScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn sigmas(&self) -> Option<&[f64]> {
        Some(&self.sigmas)
    }

    fn wants_noise(&self, _index: usize) -> bool {
        self.is_stochastic()
    }

    fn signal_and_noise(&self, index: usize) -> (f64, f64) {
        let (alpha, sigma, _) = level(self.sigmas[index]);
        (alpha, sigma)
    }

    fn prediction_type(&self) -> PredictionType {
        self.config.prediction_type
    }

    fn predict_original(&self, index: usize, output: &[f64], sample: &[f64]) -> Vec<f64> {
        let (alpha, sigma) = self.signal_and_noise(index);
        let (of_sample, of_output) = original_weights(self.config.prediction_type, alpha, sigma);
        combine(&[(of_sample, sample), (of_output, output)])
    }

    fn step(&mut self, index: usize, output: &[f64], sample: &[f64], noise: Option<&[f64]>) -> Vec<f64> {
        let converted = self.convert(index, output, sample);
        if self.outputs.len() == self.config.solver_order {
            self.outputs.remove(0);
        }
        self.outputs.push(converted);
        let order = DpmSolverMultistepScheduler::order(self, index);
        let [of_sample, of_output, of_slope, of_curve, of_noise] = self.weights(index, order);
        let newest = &self.outputs[self.outputs.len() - 1];
        let mut terms = vec![(of_sample, sample), (of_output, newest.as_slice())];
        let (slope, curve) = if order > 1 { self.differences(index, order) } else { Default::default() };
        if order > 1 {
            terms.push((of_slope, &slope));
        }
        if order > 2 {
            terms.push((of_curve, &curve));
        }
        if let Some(noise) = noise.filter(|_| of_noise != 0.0) {
            terms.push((of_noise, noise));
        }
        combine(&terms)
    }
}
