//! Group normalisation over slices: a group's channels lie side by side.

use burn::module::Param;
use burn::nn::GroupNorm;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::vectors::on_vectors;
use super::{exponential, host};

/// How many sums run side by side.
const LANES: usize = 16;
/// Single precision sums only this many numbers before it hands over to double.
const BLOCK: usize = 4096;

/// Normalises `[batch, channels, height, width]`, then applies SiLU if `silu`.
pub(super) fn on_host(norm: &GroupNorm, x: Tensor<4>, silu: bool) -> Tensor<4> {
    let [_, channels, height, width] = x.dims();
    let plane = height * width;
    let per_group = channels / norm.num_groups.max(1);
    let read = |param: &Option<Param<Tensor<1>>>, otherwise: f32| match param {
        Some(param) => host::values(param.val()),
        None => vec![otherwise; channels],
    };
    let (gamma, beta) = (read(&norm.gamma, 1.0), read(&norm.beta, 0.0));
    host::edit(x, |values| {
        if plane * per_group == 0 {
            return;
        }
        values.par_chunks_mut(plane * per_group).enumerate().for_each(|(index, group)| {
            let first = index % norm.num_groups * per_group;
            on_vectors(
                #[inline(always)]
                || {
                    let count = group.len() as f64;
                    let mean = sum(group, 0.0, false) / count;
                    let variance = sum(group, mean as f32, true) / count;
                    let by = 1.0 / (variance + norm.epsilon).sqrt();
                    for (channel, values) in group.chunks_exact_mut(plane).enumerate() {
                        let scale = f64::from(gamma[first + channel]) * by;
                        let (scale, mean, shift) = (scale as f32, mean as f32, beta[first + channel]);
                        for x in values {
                            let normal = (*x - mean) * scale + shift;
                            *x = if silu { exponential::swish(normal, 1.0) } else { normal };
                        }
                    }
                },
            );
        });
    })
}

/// The sum of `x − from`, or of its squares.
#[inline(always)]
fn sum(values: &[f32], from: f32, squares: bool) -> f64 {
    let of = |x: f32| {
        let x = x - from;
        if squares { x * x } else { x }
    };
    let mut total = 0.0;
    for block in values.chunks(BLOCK) {
        let (lanes, rest) = block.as_chunks::<LANES>();
        let mut sums = [0f32; LANES];
        for lane in lanes {
            for (sum, x) in sums.iter_mut().zip(lane) {
                *sum += of(*x);
            }
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        total += rest.iter().map(|&x| f64::from(of(x))).sum::<f64>();
    }
    total
}
