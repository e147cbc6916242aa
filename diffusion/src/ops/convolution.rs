//! Convolutions of 3 × 3 as one multiplication: every output pixel's surroundings become a column. The
//! weights are used as they lie, for to reorder them takes longer than some of the convolutions.

use burn::nn::PaddingConfig2d;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::host;

use crate::ops::layers::Conv2d;

/// Side of the kernel.
const SIDE: usize = 3;
/// Numbers in the columns that are laid out at a time: 32 MB.
const COLUMNS_MAX: usize = 8 << 20;

/// Which pixels the columns are made of.
#[derive(Clone, Copy)]
struct Window {
    height: usize,
    width: usize,
    top: usize,
    left: usize,
    stride: usize,
    out_width: usize,
}

/// Whether [`on_host`] does what `conv` asks for.
pub(super) fn is_plain(conv: &Conv2d) -> bool {
    conv.kernel_size == [SIDE, SIDE]
        && conv.dilation == [1, 1]
        && conv.groups == 1
        && conv.stride[0] == conv.stride[1]
        && padding(conv).is_some()
}

fn padding(conv: &Conv2d) -> Option<[usize; 4]> {
    match conv.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) => Some([top, left, bottom, right]),
        PaddingConfig2d::Valid => Some([0; 4]),
        _ => None,
    }
}

/// `[batch, in, height, width]` → `[batch, out, …]`, each sample by itself.
pub(super) fn on_host(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let [top, left, bottom, right] = padding(conv).unwrap_or_default();
    let (weight, stride) = (conv.weight.val(), conv.stride[0]);
    let [channels_out, ..] = weight.dims();
    let reach = |side: usize, padded: usize| ((side + padded).saturating_sub(SIDE)) / stride + 1;
    let (out_height, out_width) = (reach(height, top + bottom), reach(width, left + right));
    let window = Window { height, width, top, left, stride, out_width };
    let depth = channels * SIDE * SIDE;
    let weight = weight.reshape([channels_out, depth]);
    let bias = conv.bias.as_ref().map(|bias| host::values(bias.val()));
    let values = host::values(x);
    let rows_at_once = (COLUMNS_MAX / (depth * out_width).max(1)).clamp(1, out_height);
    let sample = channels * height * width;
    let mut samples = Vec::with_capacity(batch);
    for values in values.chunks_exact(sample) {
        let strips = (0..out_height).step_by(rows_at_once).map(|first| {
            let rows = first..out_height.min(first + rows_at_once);
            let count = rows.len() * out_width;
            let columns = columns(values, window, rows, depth);
            let product = weight.clone().matmul(host::tensor(columns, [depth, count]));
            product.reshape([1, channels_out, count])
        });
        let mut strips: Vec<Tensor<3>> = strips.collect();
        let whole = match strips.len() {
            1 => strips.remove(0),
            _ => Tensor::cat(strips, 2),
        };
        let whole = whole.reshape([1, channels_out, out_height, out_width]);
        samples.push(match &bias {
            Some(bias) => host::edit(whole, |values| {
                values.par_chunks_mut(out_height * out_width).zip(bias).for_each(|(plane, bias)| {
                    plane.iter_mut().for_each(|value| *value += bias);
                });
            }),
            None => whole,
        });
    }
    match samples.len() {
        1 => samples.remove(0),
        _ => Tensor::cat(samples, 0),
    }
}

/// For every channel and place in the kernel, the pixels that it meets in the given rows of the output.
fn columns(values: &[f32], window: Window, rows: std::ops::Range<usize>, depth: usize) -> Vec<f32> {
    let count = rows.len() * window.out_width;
    let mut columns = vec![0f32; depth * count];
    columns.par_chunks_mut(count).enumerate().for_each(|(place, column)| {
        let (channel, row, shift) = (place / (SIDE * SIDE), place / SIDE % SIDE, place % SIDE);
        let plane = &values[channel * window.height * window.width..][..window.height * window.width];
        for (y, out) in rows.clone().zip(column.chunks_exact_mut(window.out_width)) {
            // Outside of the picture the columns stay zero.
            let Some(y) = (y * window.stride + row).checked_sub(window.top).filter(|y| *y < window.height)
            else {
                continue;
            };
            let line = &plane[y * window.width..][..window.width];
            // The first output pixel whose source is not left of the picture.
            let first = window.left.saturating_sub(shift).div_ceil(window.stride);
            let source = first * window.stride + shift - window.left;
            let out = out.iter_mut().skip(first);
            match window.stride {
                1 => out.zip(&line[source.min(window.width)..]).for_each(|(out, value)| *out = *value),
                stride => {
                    let line = line[source.min(window.width)..].iter().step_by(stride);
                    out.zip(line).for_each(|(out, value)| *out = *value);
                }
            }
        }
    });
    columns
}
