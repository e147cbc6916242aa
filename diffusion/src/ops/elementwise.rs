//! Activations over slices, on all threads.

use rayon::prelude::*;

use super::exponential;
use super::vectors::on_vectors;

/// What one thread takes at a time: it stays in the innermost cache.
const CHUNK: usize = 4096;

fn each(values: &mut [f32], change: impl Fn(f32) -> f32 + Sync) {
    values.par_chunks_mut(CHUNK).for_each(|chunk| {
        on_vectors(
            #[inline(always)]
            || {
                for value in chunk {
                    *value = change(*value);
                }
            },
        );
    });
}

/// `x · sigmoid(x)`.
pub(super) fn silu(values: &mut [f32]) {
    each(
        values,
        #[inline(always)]
        |x| exponential::swish(x, 1.0),
    );
}

/// `x · sigmoid(1.702 x)`.
pub(super) fn quick_gelu(values: &mut [f32]) {
    each(
        values,
        #[inline(always)]
        |x| exponential::swish(x, 1.702),
    );
}

/// `x · Φ(x)`.
pub(super) fn gelu(values: &mut [f32]) {
    each(values, exponential::gelu);
}

/// `x` above zero, `slope · x` below.
pub(super) fn leaky_relu(values: &mut [f32], slope: f32) {
    each(
        values,
        #[inline(always)]
        |x| if x < 0.0 { slope * x } else { x },
    );
}

/// The first half of every row times the gelu of the second.
pub(super) fn geglu(values: Vec<f32>, half: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len() / 2];
    if half == 0 {
        return out;
    }
    out.par_chunks_mut(half).zip(values.par_chunks(2 * half)).for_each(|(out, row)| {
        let (hidden, gate) = row.split_at(half);
        on_vectors(
            #[inline(always)]
            || {
                for ((out, hidden), gate) in out.iter_mut().zip(hidden).zip(gate) {
                    *out = hidden * exponential::gelu(*gate);
                }
            },
        );
    });
    out
}
