//! How do scores of tens of thousands of tokens become weights?

use pulp::Arch;

pub(crate) use super::kernels::largest;
use super::kernels::{LANES, exp};

/// Tokens below this have no weight: less than one chance in 10^17.
pub(crate) const LEAST_WEIGHT: f32 = 4e-18;
/// ln of [`LEAST_WEIGHT`], rounded up.
const LEAST: f32 = -40.0;

/// e to the power of how much each score lies below `top`, in units of `temperature`; zero for what is far below, or no
/// number.
pub(crate) fn weights_below(scores: &[f32], top: f32, temperature: f32) -> Vec<f32> {
    let mut weights = vec![0.0; scores.len()];
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (weight, score) in weights.iter_mut().zip(scores) {
                let below = (score - top) / temperature;
                *weight = if below > LEAST { exp(below) } else { 0.0 };
            }
        },
    );
    weights
}

/// The sum of the weights that reach `least`.
pub(crate) fn sum_from(weights: &[f32], least: f32) -> f64 {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let (blocks, rest) = weights.as_chunks::<LANES>();
            let mut sums = [0f64; LANES];
            for block in blocks {
                for (sum, weight) in sums.iter_mut().zip(block) {
                    *sum += if *weight >= least { f64::from(*weight) } else { 0.0 };
                }
            }
            let rest = rest.iter().filter(|weight| **weight >= least).map(|weight| f64::from(*weight));
            sums.iter().copied().chain(rest).sum()
        },
    )
}

/// Appends the tokens whose weight reaches `low` and lies below `high`.
pub(crate) fn push_between(weights: &[f32], low: f32, high: f32, out: &mut Vec<(u32, f32)>) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (block, weights) in weights.chunks(LANES).enumerate() {
                // Mostly there is none.
                if !weights.iter().fold(false, |any, weight| any | (*weight >= low)) {
                    continue;
                }
                for (place, weight) in weights.iter().enumerate() {
                    if *weight >= low && *weight < high {
                        out.push(((block * LANES + place) as u32, *weight));
                    }
                }
            }
        },
    );
}
