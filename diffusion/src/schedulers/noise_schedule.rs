//! The noise of the training, and the ways to spread a few steps over it.

use super::config::{SchedulerClass, SchedulerConfig, TimestepSpacing};

/// How the betas rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BetaSchedule {
    Linear,
    ScaledLinear,
    SquaredcosCapV2,
}

impl BetaSchedule {
    /// By diffusers' word.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "linear" => Some(Self::Linear),
            "scaled_linear" => Some(Self::ScaledLinear),
            "squaredcos_cap_v2" => Some(Self::SquaredcosCapV2),
            _ => None,
        }
    }
}

/// How much of a picture is left at every training timestep.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    /// The share of the picture in the variance.
    pub alphas_cumprod: Vec<f64>,
}

/// numpy's `linspace`.
pub(super) fn linspace(from: f64, to: f64, count: usize) -> Vec<f64> {
    let step = if count > 1 { (to - from) / (count - 1) as f64 } else { 0.0 };
    (0..count).map(|i| if i > 0 && i + 1 == count { to } else { from + step * i as f64 }).collect()
}

impl NoiseSchedule {
    /// The schedule that `config` describes.
    pub fn new(config: &SchedulerConfig) -> Self {
        let count = config.num_train_timesteps;
        let betas: Vec<f64> = match (&config.trained_betas, config.beta_schedule) {
            (Some(betas), _) => betas.clone(),
            (None, BetaSchedule::Linear) => linspace(config.beta_start, config.beta_end, count),
            (None, BetaSchedule::ScaledLinear) => {
                let roots = linspace(config.beta_start.sqrt(), config.beta_end.sqrt(), count);
                roots.into_iter().map(|root| root * root).collect()
            }
            (None, BetaSchedule::SquaredcosCapV2) => {
                let bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
                let at = |i: usize| bar(i as f64 / count as f64);
                (0..count).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999)).collect()
            }
        };
        let mut alphas_cumprod: Vec<f64> = betas
            .iter()
            .scan(1.0, |product, beta| {
                *product *= 1.0 - beta;
                Some(*product)
            })
            .collect();
        if config.rescale_betas_zero_snr {
            rescale_zero_terminal_snr(&mut alphas_cumprod);
            if config.class.thinks_in_sigmas() {
                // Not quite zero, so that the first sigma is finite; diffusers' number.
                alphas_cumprod[count - 1] = 2f64.powi(-24);
            }
        }
        Self { alphas_cumprod }
    }

    /// Noise level of every training timestep, where the picture has weight 1.
    pub fn sigmas(&self) -> Vec<f64> {
        self.alphas_cumprod.iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect()
    }

    /// Share of the picture at an integer timestep; `after_last` below zero.
    pub fn alpha_at(&self, timestep: f64, after_last: f64) -> f64 {
        match timestep < 0.0 {
            true => after_last,
            false => self.alphas_cumprod[(timestep as usize).min(self.alphas_cumprod.len() - 1)],
        }
    }
}

impl super::SchedulerClass {
    fn thinks_in_sigmas(self) -> bool {
        !matches!(self, Self::Ddim | Self::Pndm | Self::Lcm)
    }
}

/// Shifts and stretches the roots so that the last is zero and the first stays.
fn rescale_zero_terminal_snr(alphas_cumprod: &mut [f64]) {
    let roots: Vec<f64> = alphas_cumprod.iter().map(|alpha| alpha.sqrt()).collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    for (alpha, root) in alphas_cumprod.iter_mut().zip(roots) {
        *alpha = ((root - last) * first / (first - last)).powi(2);
    }
}

/// Timesteps of `steps` steps, the noisiest first. `one_more` lays out one step more and drops the last,
/// as the multistep solvers do; `fractional` does not round.
pub(super) fn spread(config: &SchedulerConfig, steps: usize, one_more: bool, fractional: bool) -> Vec<f64> {
    spread_within(config, config.num_train_timesteps, steps, one_more, fractional)
}

/// The same over the first `train` timesteps of the training only.
fn spread_within(
    config: &SchedulerConfig,
    train: usize,
    steps: usize,
    one_more: bool,
    fractional: bool,
) -> Vec<f64> {
    let count = steps + usize::from(one_more);
    let mut timesteps: Vec<f64> = match config.timestep_spacing {
        TimestepSpacing::Linspace => linspace(0.0, (train - 1) as f64, count)
            .into_iter()
            .map(|t| if fractional { t } else { t.round_ties_even() })
            .collect(),
        TimestepSpacing::Leading => {
            let ratio = train / count.max(1);
            (0..count).map(|i| (i * ratio + config.steps_offset) as f64).collect()
        }
        TimestepSpacing::Trailing => {
            // As wide as over the whole training, so that there may be fewer.
            let ratio = config.num_train_timesteps as f64 / steps as f64;
            let at = |step: usize| train as f64 - ratio * step as f64;
            let there = (0..steps).take_while(|step| *step == 0 || at(*step) > 1e-9);
            return there.map(|step| at(step).round_ties_even() - 1.0).collect();
        }
    };
    timesteps.reverse();
    timesteps.truncate(steps);
    timesteps
}

/// numpy's `interp` over the indices 0, 1, 2 …
pub(super) fn interpolate(values: &[f64], at: f64) -> f64 {
    let at = at.clamp(0.0, (values.len() - 1) as f64);
    let low = (at as usize).min(values.len().saturating_sub(2));
    let high = (low + 1).min(values.len() - 1);
    values[low] + (values[high] - values[low]) * (at - low as f64)
}

/// Karras et al.: noise levels from `max` to `min`, crowded towards the small ones.
pub(super) fn karras(min: f64, max: f64, steps: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let (min, max) = (min.powf(1.0 / RHO), max.powf(1.0 / RHO));
    linspace(0.0, 1.0, steps).into_iter().map(|ramp| (max + ramp * (min - max)).powf(RHO)).collect()
}

/// Noise levels from `max` to `min` in equal ratios.
pub(super) fn exponential(min: f64, max: f64, steps: usize) -> Vec<f64> {
    linspace(max.ln(), min.ln(), steps).into_iter().map(f64::exp).collect()
}

/// The timestep, between the training's, at which the noise level is `sigma`; by logarithms.
pub(super) fn sigma_to_timestep(sigma: f64, sigmas: &[f64]) -> f64 {
    let log_sigma = sigma.max(1e-10).ln();
    let below = sigmas.partition_point(|known| known.ln() <= log_sigma);
    let low = below.saturating_sub(1).min(sigmas.len() - 2);
    let (low_log, high_log) = (sigmas[low].ln(), sigmas[low + 1].ln());
    let weight = ((low_log - log_sigma) / (low_log - high_log)).clamp(0.0, 1.0);
    (1.0 - weight) * low as f64 + weight * (low + 1) as f64
}

/// Sigmas and timesteps of the solvers that take one more than they use.
pub(super) fn multistep_layout(config: &SchedulerConfig, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let train = config.noise_schedule().sigmas();
    let (lowest, highest) = (train[0], train[train.len() - 1]);
    let min = config.sigma_min.unwrap_or(lowest);
    let max = config.sigma_max.unwrap_or(highest);
    let (mut sigmas, timesteps) = if config.use_karras_sigmas || config.use_exponential_sigmas {
        let sigmas = match config.use_karras_sigmas {
            true => karras(min, max, steps),
            false => exponential(min, max, steps),
        };
        let timesteps = sigmas.iter().map(|&sigma| {
            let timestep = sigma_to_timestep(sigma, &train);
            // The solvers keep integers: rounded after Karras, unless it is DPM's with the cosine schedule; else cut off.
            let dpm = config.class == SchedulerClass::DpmSolverMultistep;
            let cosine = config.beta_schedule == BetaSchedule::SquaredcosCapV2;
            match config.use_karras_sigmas && !(dpm && cosine) {
                true => timestep.round_ties_even(),
                false => timestep.trunc(),
            }
        });
        (sigmas.clone(), timesteps.collect())
    } else {
        // Where next to nothing of the picture is left, the solver's logarithms break down.
        let clipped = train.iter().filter(|sigma| -sigma.ln() < config.lambda_min_clipped).count();
        let within = (train.len() - clipped).max(1);
        let timesteps = spread_within(config, within, steps, true, false);
        (timesteps.iter().map(|&timestep| interpolate(&train, timestep)).collect::<Vec<_>>(), timesteps)
    };
    sigmas.push(if config.final_sigma_is_min { lowest } else { 0.0 });
    (sigmas, timesteps)
}

/// Sigmas and timesteps of Euler's and Heun's schedulers, without the final sigma.
pub(super) fn discrete_layout(config: &SchedulerConfig, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let train = config.noise_schedule().sigmas();
    let mut timesteps = spread(config, steps, false, true);
    let mut sigmas: Vec<f64> = timesteps.iter().map(|&timestep| interpolate(&train, timestep)).collect();
    let (min, max) = match config.log_linear {
        true => (train[0], train[train.len() - 1]),
        false => (sigmas[steps - 1], sigmas[0]),
    };
    let (min, max) = (config.sigma_min.unwrap_or(min), config.sigma_max.unwrap_or(max));
    if config.use_karras_sigmas || config.use_exponential_sigmas {
        sigmas = match config.use_karras_sigmas {
            true => karras(min, max, steps),
            false => exponential(min, max, steps),
        };
        timesteps = sigmas.iter().map(|&sigma| sigma_to_timestep(sigma, &train)).collect();
    }
    (sigmas, timesteps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noise_level_is_found_where_it_was_taken() {
        let sigmas: Vec<f64> = (1..=10).map(|i| i as f64 * 0.5).collect();
        assert_eq!(sigma_to_timestep(sigmas[3], &sigmas), 3.0);
        assert_eq!(sigma_to_timestep(0.0, &sigmas), 0.0);
        assert_eq!(sigma_to_timestep(99.0, &sigmas), 9.0);
    }

    #[test]
    fn karras_levels_fall_from_max_to_min() {
        let levels = karras(0.03, 14.6, 5);
        assert!((levels[0] - 14.6).abs() < 1e-12 && (levels[4] - 0.03).abs() < 1e-12);
        assert!(levels.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
