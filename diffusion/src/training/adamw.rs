//! AdamW on numbers in memory.
//!
//! I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019.

/// Decay of the mean of gradients.
const BETA_1: f32 = 0.9;
/// Decay of the mean of their squares.
const BETA_2: f32 = 0.999;
/// Keeps the division finite.
const EPSILON: f32 = 1e-8;

/// Numbers with the two moments of their gradients.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    pub values: Vec<f32>,
    pub mean: Vec<f32>,
    pub square: Vec<f32>,
}

impl Parameters {
    pub fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, mean: zeros.clone(), square: zeros }
    }

    /// One step; `step` counts from 1.
    pub fn update(&mut self, gradient: &[f32], step: usize, learning_rate: f64, weight_decay: f64) {
        let step = step as i32;
        let bias_1 = 1.0 - f64::from(BETA_1).powi(step);
        let bias_2 = 1.0 - f64::from(BETA_2).powi(step);
        let (by, root) = ((learning_rate / bias_1) as f32, bias_2.sqrt() as f32);
        let keep = (1.0 - learning_rate * weight_decay) as f32;
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((value, (mean, square)), gradient) in self.values.iter_mut().zip(moments).zip(gradient) {
            *mean = BETA_1 * *mean + (1.0 - BETA_1) * gradient;
            *square = BETA_2 * *square + (1.0 - BETA_2) * gradient * gradient;
            *value = *value * keep - by * *mean / (square.sqrt() / root + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_as_long_as_the_learning_rate_whatever_the_gradient() {
        let mut parameters = Parameters::new(vec![1.0, 1.0, -2.0, 5.0]);
        parameters.update(&[1e-3, -1e3, 1.0, 0.0], 1, 0.1, 0.0);
        for (value, expected) in parameters.values.iter().zip([0.9f32, 1.1, -2.1, 5.0]) {
            assert!((value - expected).abs() < 1e-4, "{value} {expected}");
        }
        // Decay is apart from the gradient.
        let mut parameters = Parameters::new(vec![2.0]);
        parameters.update(&[0.0], 1, 0.1, 0.5);
        assert!((parameters.values[0] - 1.9).abs() < 1e-6);
    }

    #[test]
    fn it_finds_the_bottom() {
        let mut parameters = Parameters::new(vec![3.0, -4.0]);
        for step in 1..=500 {
            let gradient: Vec<f32> = parameters.values.iter().map(|x| 2.0 * (x - 1.0)).collect();
            parameters.update(&gradient, step, 0.05, 0.0);
        }
        assert!(parameters.values.iter().all(|x| (x - 1.0).abs() < 0.05), "{:?}", parameters.values);
    }
}
