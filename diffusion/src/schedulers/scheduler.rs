//! What all schedulers do.

use super::config::PredictionType;

/// A schedule that was laid out for a number of steps.
pub trait Scheduler: Send {
    /// What the UNet gets as its time step at each call; fractional for some.
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
