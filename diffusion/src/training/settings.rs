//! What a training is to be like, with its limits.

use serde::{Deserialize, Serialize};

use crate::DiffusionError;

/// Settings of one training. The same settings, pictures and model give the same bytes on the processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraTraining {
    /// Columns of the correction's factors.
    pub rank: usize,
    /// The correction is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Optimizer steps.
    pub steps: usize,
    /// Pictures whose gradients make one step.
    pub batch_size: usize,
    /// Largest step size of AdamW. It rises over the first twentieth of the steps and falls along a cosine.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Side of the square that pictures are cut to, in pixels.
    pub resolution: u32,
    /// Seed of first values, noise, timesteps and the order of pictures.
    pub seed: u64,
    /// γ of Min-SNR weighting; none weighs all timesteps alike.
    pub min_snr_gamma: Option<f64>,
    /// Whether the text encoders are trained too.
    pub train_text_encoder: bool,
}

/// Most pixels that the steps of a training go over: 20,000 pictures of 1024 by 1024.
const PIXELS_MAX: u64 = 20_000 << 20;
/// Most pictures of one training.
pub const PICTURES_MAX: usize = 40;
/// Fewest pictures of one training.
pub const PICTURES_MIN: usize = 5;

impl Default for LoraTraining {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 16.0,
            steps: 1200,
            batch_size: 1,
            learning_rate: 1e-4,
            weight_decay: 1e-2,
            resolution: 512,
            seed: 0,
            min_snr_gamma: None,
            train_text_encoder: false,
        }
    }
}

impl LoraTraining {
    /// Checks what does not depend on a model; errors name the field.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let counts = [
            ("rank", self.rank, 1, 128),
            ("steps", self.steps, 1, 20_000),
            ("batch_size", self.batch_size, 1, 16),
            ("resolution", self.resolution as usize, 32, 2048),
        ];
        for (field, value, min, max) in counts {
            if !(min..=max).contains(&value) {
                return Err(DiffusionError::spec(field, format!("{value} is not within {min} to {max}")));
            }
        }
        let pixels = self.pictures().saturating_mul(u64::from(self.resolution).pow(2));
        if pixels > PIXELS_MAX {
            let most = PIXELS_MAX / u64::from(self.resolution).pow(2);
            let reason = format!(
                "with batch_size {} they go over {} pictures; {most} of {2}×{2} pixels are the most",
                self.batch_size,
                self.pictures(),
                self.resolution
            );
            return Err(DiffusionError::spec("steps", reason));
        }
        let numbers = [
            ("alpha", self.alpha, 0.01, 1024.0),
            ("learning_rate", self.learning_rate, 1e-7, 0.1),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("min_snr_gamma", self.min_snr_gamma.unwrap_or(1.0), 0.1, 100.0),
        ];
        for (field, value, min, max) in numbers {
            if !(min..=max).contains(&value) {
                return Err(DiffusionError::spec(field, format!("{value} is not within {min} to {max}")));
            }
        }
        Ok(())
    }

    /// How often its steps go over a picture.
    pub fn pictures(&self) -> u64 {
        (self.steps as u64).saturating_mul(self.batch_size as u64)
    }

    /// Steps over which the step size rises.
    pub(super) fn rising_steps(&self) -> usize {
        (self.steps / 20).max(1)
    }

    /// AdamW's step size at a step, from 0.
    pub fn learning_rate_at(&self, step: usize) -> f64 {
        let rising = self.rising_steps();
        if step < rising {
            return self.learning_rate * (step + 1) as f64 / rising as f64;
        }
        let way = (step - rising) as f64 / (self.steps - rising).max(1) as f64;
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * way).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field() {
        let check = |change: &dyn Fn(&mut LoraTraining), field: &str| {
            let mut settings = LoraTraining::default();
            change(&mut settings);
            let error = settings.validate().unwrap_err();
            assert!(matches!(error, DiffusionError::Spec { field: found, .. } if found == field), "{error}");
        };
        assert!(LoraTraining::default().validate().is_ok());
        check(&|it| it.rank = 0, "rank");
        check(&|it| it.rank = 4096, "rank");
        check(&|it| it.alpha = f64::NAN, "alpha");
        check(&|it| it.steps = 0, "steps");
        check(&|it| it.batch_size = 1000, "batch_size");
        check(&|it| it.learning_rate = 5.0, "learning_rate");
        check(&|it| it.weight_decay = -1.0, "weight_decay");
        check(&|it| it.resolution = 8, "resolution");
        // Each number fits, and all together are weeks.
        check(&|it| (it.steps, it.batch_size, it.resolution) = (20_000, 16, 1024), "steps");
        check(&|it| it.min_snr_gamma = Some(0.0), "min_snr_gamma");
    }

    #[test]
    fn the_step_size_rises_and_falls() {
        let settings = LoraTraining { steps: 100, learning_rate: 1.0, ..LoraTraining::default() };
        let rates: Vec<f64> = (0..100).map(|step| settings.learning_rate_at(step)).collect();
        assert!(rates[0] < rates[4] && rates[4] == 1.0 && rates[5] == 1.0);
        assert!(rates[5..].windows(2).all(|pair| pair[0] > pair[1]) && rates[99] < 0.01 && rates[99] > 0.0);
    }
}
