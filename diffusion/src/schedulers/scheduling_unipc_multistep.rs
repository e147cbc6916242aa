//! `diffusers.UniPCMultistepScheduler`: a predictor, and a corrector that needs no further call.

use super::config::{PredictionType, SchedulerConfig};
use super::noise_schedule::multistep_layout;
use super::scheduling_dpmsolver_multistep::level;
use super::{Scheduler, combine};

/// UniPC of order 1 to 3.
#[derive(Debug)]
pub struct UniPcMultistepScheduler {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    config: SchedulerConfig,
    /// Converted outputs, the newest last.
    outputs: Vec<Vec<f64>>,
    last_sample: Option<Vec<f64>>,
    last_order: usize,
}

/// The coefficients of one move from one noise level to another.
struct Move {
    of_sample: f64,
    of_output: f64,
    of_correction: f64,
    /// Where the older outputs lie, in units of the move.
    positions: Vec<f64>,
    /// Weights of their differences, and of the new output's if it is known.
    rhos: Vec<f64>,
}

impl UniPcMultistepScheduler {
    /// Lays out `steps` steps.
    pub fn new(config: &SchedulerConfig, steps: usize) -> Self {
        let (sigmas, timesteps) = multistep_layout(config, steps);
        Self {
            timesteps,
            sigmas,
            config: config.clone(),
            outputs: Vec::new(),
            last_sample: None,
            last_order: 1,
        }
    }

    fn convert(&self, index: usize, output: &[f64], sample: &[f64]) -> Vec<f64> {
        if self.config.predict_x0 {
            return self.predict_original(index, output, sample);
        }
        let (alpha, sigma, _) = level(self.sigmas[index]);
        match self.config.prediction_type {
            PredictionType::Epsilon => output.to_vec(),
            PredictionType::Sample => combine(&[(1.0 / sigma, sample), (-alpha / sigma, output)]),
            PredictionType::VPrediction => combine(&[(alpha, output), (sigma, sample)]),
        }
    }

    /// From level `from` to `from + 1` by `order` outputs; the corrector knows one more.
    fn plan(&self, from: usize, order: usize, corrects: bool) -> Move {
        let (alpha_t, sigma_t, lambda_t) = level(self.sigmas[from + 1]);
        let (alpha_s, sigma_s, lambda_s) = level(self.sigmas[from]);
        let h = lambda_t - lambda_s;
        let positions: Vec<f64> =
            (1..order).map(|back| (level(self.sigmas[from - back]).2 - lambda_s) / h).collect();
        let hh = if self.config.predict_x0 { -h } else { h };
        let phi_1 = hh.exp_m1();
        let b_h = if self.config.solver_type == "bh1" { hh } else { phi_1 };
        let mut phi = phi_1 / hh - 1.0;
        let mut factorial = 1.0;
        let mut targets = Vec::new();
        for i in 1..=order {
            targets.push(phi * factorial / b_h);
            factorial *= (i + 1) as f64;
            phi = phi / hh - 1.0 / factorial;
        }
        let rhos = match (corrects, order) {
            (true, 1) | (false, 2) => vec![0.5],
            (false, 1) => vec![],
            (true, _) => {
                let nodes: Vec<f64> = positions.iter().copied().chain([1.0]).collect();
                solve_powers(&nodes, &targets)
            }
            (false, _) => solve_powers(&positions, &targets[..order - 1]),
        };
        let scale = if self.config.predict_x0 { alpha_t } else { sigma_t };
        Move {
            of_sample: if self.config.predict_x0 { sigma_t / sigma_s } else { alpha_t / alpha_s },
            of_output: -scale * phi_1,
            of_correction: -scale * b_h,
            positions,
            rhos,
        }
    }

    fn apply(&self, plan: &Move, sample: &[f64], newer: Option<&[f64]>) -> Vec<f64> {
        let newest = self.outputs.len() - 1;
        let m0 = self.outputs[newest].as_slice();
        let mut terms = vec![(plan.of_sample, sample), (plan.of_output, m0)];
        for (i, (position, rho)) in plan.positions.iter().zip(&plan.rhos).enumerate() {
            let weight = plan.of_correction * rho / position;
            terms.push((weight, self.outputs[newest - 1 - i].as_slice()));
            terms.push((-weight, m0));
        }
        if let (Some(newer), Some(rho)) = (newer, plan.rhos.last()) {
            terms.push((plan.of_correction * rho, newer));
            terms.push((-plan.of_correction * rho, m0));
        }
        combine(&terms)
    }
}

/// Weights such that the `i`-th powers of `nodes` sum to `targets[i]`, by elimination.
fn solve_powers(nodes: &[f64], targets: &[f64]) -> Vec<f64> {
    let n = nodes.len();
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|power| nodes.iter().map(|node| node.powi(power as i32)).chain([targets[power]]).collect())
        .collect();
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        let (above, below) = rows.split_at_mut(column + 1);
        let from = &above[column];
        for row in below {
            let factor = row[column] / from[column];
            row.iter_mut().zip(from).for_each(|(value, by)| *value -= factor * by);
        }
    }
    let mut solution = vec![0.0; n];
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|i| rows[row][i] * solution[i]).sum();
        solution[row] = (rows[row][n] - known) / rows[row][row];
    }
    solution
}

impl Scheduler for UniPcMultistepScheduler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn sigmas(&self) -> Option<&[f64]> {
        Some(&self.sigmas)
    }

    fn signal_and_noise(&self, index: usize) -> (f64, f64) {
        let (alpha, sigma, _) = level(self.sigmas[index]);
        (alpha, sigma)
    }

    fn prediction_type(&self) -> PredictionType {
        self.config.prediction_type
    }

    fn step(&mut self, index: usize, output: &[f64], sample: &[f64], _noise: Option<&[f64]>) -> Vec<f64> {
        let converted = self.convert(index, output, sample);
        let mut sample = sample.to_vec();
        if let Some(last) = self.last_sample.take().filter(|_| index > 0)
            && !self.config.disable_corrector.contains(&(index - 1))
        {
            let plan = self.plan(index - 1, self.last_order, true);
            sample = self.apply(&plan, &last, Some(&converted));
        }
        if self.outputs.len() == self.config.solver_order {
            self.outputs.remove(0);
        }
        self.outputs.push(converted);
        let mut order = self.config.solver_order;
        if self.config.lower_order_final {
            order = order.min(self.timesteps.len() - index);
        }
        self.last_order = order.min(self.outputs.len());
        let plan = self.plan(index, self.last_order, false);
        let next = self.apply(&plan, &sample, None);
        self.last_sample = Some(sample);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_sums_are_met() {
        let nodes = [-2.0, -1.0, 1.0];
        let targets = [0.3, -0.2, 0.7];
        let weights = solve_powers(&nodes, &targets);
        for (power, target) in targets.iter().enumerate() {
            let sum: f64 = nodes.iter().zip(&weights).map(|(node, w)| w * node.powi(power as i32)).sum();
            assert!((sum - target).abs() < 1e-12);
        }
    }
}
