//! What the network should have said, and how much an error weighs.
//!
//! T. Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", 2023, equations for noise, picture and
//! velocity.

use crate::DiffusionError;
use crate::schedulers::{PredictionType, SchedulerConfig};

/// The noise of a model's training, and what the model predicts.
#[derive(Debug, Clone)]
pub struct Objective {
    alphas_cumprod: Vec<f64>,
    prediction: PredictionType,
    min_snr_gamma: Option<f64>,
}

/// A noised picture with what the network should say about it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Noised {
    pub sample: Vec<f64>,
    pub target: Vec<f64>,
    /// What the squared error is multiplied by.
    pub weight: f64,
}

impl Objective {
    /// The objective of the model whose `scheduler_config.json` this is.
    pub fn new(scheduler: &serde_json::Value, min_snr_gamma: Option<f64>) -> Result<Self, DiffusionError> {
        let config = SchedulerConfig::from_json(scheduler)?;
        let alphas_cumprod = config.noise_schedule().alphas_cumprod;
        Ok(Self { alphas_cumprod, prediction: config.prediction_type, min_snr_gamma })
    }

    /// How many timesteps there are.
    pub fn timesteps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// A picture's latents at a timestep.
    pub(super) fn noised(&self, clean: &[f64], noise: &[f64], timestep: usize) -> Noised {
        let alpha = self.alphas_cumprod[timestep.min(self.alphas_cumprod.len() - 1)];
        let (signal, level) = (alpha.sqrt(), (1.0 - alpha).sqrt());
        let mix = |a: f64, b: f64| clean.iter().zip(noise).map(|(x, e)| a * x + b * e).collect();
        let target = match self.prediction {
            PredictionType::Epsilon => noise.to_vec(),
            PredictionType::Sample => clean.to_vec(),
            PredictionType::VPrediction => mix(-level, signal),
        };
        Noised { sample: mix(signal, level), target, weight: self.weight(alpha) }
    }

    fn weight(&self, alpha: f64) -> f64 {
        let Some(gamma) = self.min_snr_gamma else { return 1.0 };
        let snr = alpha / (1.0 - alpha).max(f64::MIN_POSITIVE);
        match self.prediction {
            // Where nothing of the picture is left the noise counts whole.
            PredictionType::Epsilon => (gamma / snr).min(1.0),
            PredictionType::Sample => snr.min(gamma),
            PredictionType::VPrediction => snr.min(gamma) / (snr + 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn objective(prediction: &str, gamma: Option<f64>) -> Objective {
        let config = json!({"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
            "beta_end": 0.012, "prediction_type": prediction});
        Objective::new(&config, gamma).expect("it reads")
    }

    #[test]
    fn each_target_leads_back_to_the_picture() {
        let (clean, noise) = (vec![0.5, -1.0], vec![2.0, 0.25]);
        for timestep in [0, 400, 999] {
            let epsilon = objective("epsilon", None).noised(&clean, &noise, timestep);
            let velocity = objective("v_prediction", None).noised(&clean, &noise, timestep);
            let sample = objective("sample", None).noised(&clean, &noise, timestep);
            assert_eq!((&epsilon.target, &sample.target), (&noise, &clean));
            let alpha: f64 = objective("epsilon", None).alphas_cumprod[timestep];
            for (place, clean) in clean.iter().enumerate() {
                // x0 = √ᾱ x − √(1 − ᾱ) v.
                let (sample, said) = (velocity.sample[place], velocity.target[place]);
                let back = alpha.sqrt() * sample - (1.0 - alpha).sqrt() * said;
                assert!((back - clean).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn min_snr_holds_back_what_is_nearly_clean() {
        let at = |prediction: &str, timestep| {
            objective(prediction, Some(5.0)).noised(&[1.0], &[1.0], timestep).weight
        };
        assert!(at("epsilon", 0) < 0.01 && at("epsilon", 999) == 1.0);
        assert!(at("v_prediction", 0) < 0.01 && at("v_prediction", 999) < 0.01);
        assert!(at("v_prediction", 400) > 0.3);
        assert_eq!(objective("epsilon", None).noised(&[1.0], &[1.0], 0).weight, 1.0);
        // Nothing of the picture is left.
        assert_eq!(objective("epsilon", Some(5.0)).weight(0.0), 1.0);
    }
}
