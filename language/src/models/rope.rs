//! By which angles does a position turn each pair of a head's numbers?

use std::f64::consts::PI;

use super::configuration_llama::{LlamaConfig, RopeScaling};

/// Rotary frequencies, one per pair of numbers, and the cosines and sines met so far.
#[derive(Debug, Clone)]
pub struct Rope {
    inv_freq: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// The frequencies that `config` asks for.
    pub fn new(config: &LlamaConfig) -> Rope {
        let half = config.head_dim / 2;
        let plain = (0..half).map(|i| config.rope_theta.powf(-(i as f64) / half as f64));
        let inv_freq = plain
            .enumerate()
            .map(|(i, freq)| match &config.rope_scaling {
                RopeScaling::None => freq as f32,
                RopeScaling::Linear { factor } => (freq / factor) as f32,
                RopeScaling::Divisors(divisors) => (freq / f64::from(divisors[i])) as f32,
                RopeScaling::Llama3 {
                    factor,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_position_embeddings: original,
                } => {
                    let wavelength = 2.0 * PI / freq;
                    let scaled = if wavelength > original / low_freq_factor {
                        freq / factor
                    } else if wavelength < original / high_freq_factor {
                        freq
                    } else {
                        let share =
                            (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - share) * freq / factor + share * freq
                    };
                    scaled as f32
                }
            })
            .collect();
        Rope { inv_freq, cos: Vec::new(), sin: Vec::new() }
    }

    /// The frequencies.
    pub fn inv_freq(&self) -> &[f32] {
        &self.inv_freq
    }

    /// Makes sure that positions below `end` can be asked for.
    pub fn extend_to(&mut self, end: usize) {
        let known = self.cos.len() / self.inv_freq.len().max(1);
        for position in known..end {
            for freq in &self.inv_freq {
                // The product is rounded to f32 first, as transformers does it.
                let (sin, cos) = f64::from(position as f32 * freq).sin_cos();
                self.cos.push(cos as f32);
                self.sin.push(sin as f32);
            }
        }
    }

    /// Cosines and sines of a position covered by [`Rope::extend_to`].
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let half = self.inv_freq.len();
        let range = position * half..(position + 1) * half;
        (&self.cos[range.clone()], &self.sin[range])
    }

    /// Turns one head in place, in the rotate-half form.
    pub fn turn(&self, head: &mut [f32], position: usize) {
        let (cos, sin) = self.at(position);
        let (first, second) = head.split_at_mut(cos.len());
        for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(rope: serde_json::Value) -> LlamaConfig {
        LlamaConfig::from_hugging_face(&json!({
            "model_type": "llama", "vocab_size": 32, "hidden_size": 128, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 1, "rope_theta": 500000.0, "rope_scaling": rope
        }))
        .unwrap()
    }

    #[test]
    fn llama3_keeps_high_frequencies_and_divides_low_ones() {
        let plain = Rope::new(&config(serde_json::Value::Null));
        let scaled = Rope::new(&config(json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})));
        assert_eq!(plain.inv_freq()[0], scaled.inv_freq()[0]);
        let last = plain.inv_freq().len() - 1;
        assert!((plain.inv_freq()[last] / scaled.inv_freq()[last] - 8.0).abs() < 1e-4);
        let blended = plain.inv_freq().iter().zip(scaled.inv_freq()).filter(|(p, s)| {
            let ratio = *p / *s;
            ratio > 1.01 && ratio < 7.9
        });
        assert!(blended.count() > 0);
    }

    #[test]
    fn turning_keeps_length_and_position_zero_turns_nothing() {
        let mut rope = Rope::new(&config(serde_json::Value::Null));
        rope.extend_to(8);
        let original: Vec<f32> = (0..128).map(|i| i as f32 / 64.0 - 1.0).collect();
        let mut head = original.clone();
        rope.turn(&mut head, 0);
        assert_eq!(head, original);
        rope.turn(&mut head, 7);
        let square = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
        assert!((square(&head) - square(&original)).abs() < 1e-3);
        assert_ne!(head, original);
    }
}
