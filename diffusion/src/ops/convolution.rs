//! Convolutions on the processor: in the matrix unit, by Winograd's sums, or as one multiplication, for which every output
//! pixel's surroundings become a column.

use burn::nn::PaddingConfig2d;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::host;
use super::shape::Shape;
use super::three_parts::{self, Bias, Rows};
use super::winograd;
use crate::ops::layers::{Conv2d, numbers};

/// Side of the kernel.
const SIDE: usize = 3;
/// Numbers in the columns that are laid out at a time: 32 MB.
const COLUMNS_MAX: usize = 8 << 20;

/// What a convolution is, where the loops here do it.
#[derive(Clone, Copy)]
struct Sums {
    /// Side of the kernel.
    side: usize,
    stride: usize,
    /// Above, left of, below and right of the input.
    padding: [usize; 4],
}

impl Sums {
    fn of(conv: &Conv2d) -> Option<Self> {
        let [side, other] = conv.kernel_size;
        let even = side == other && conv.stride[0] == conv.stride[1] && conv.stride[0] > 0;
        let plain = even && conv.dilation == [1, 1] && conv.groups == 1;
        let padding = match conv.padding {
            PaddingConfig2d::Explicit(top, left, bottom, right) => [top, left, bottom, right],
            PaddingConfig2d::Valid => [0; 4],
            _ => return None,
        };
        plain.then_some(Self { side, stride: conv.stride[0], padding })
    }
}

/// How a convolution is computed here.
pub(super) struct Plan {
    shape: Shape,
    stride: usize,
    way: Way,
}

enum Way {
    Parts,
    Winograd,
    Columns,
}

/// Of numbers and weights that are at hand; `None` where these loops do not do what `conv` asks for, or no faster than others.
pub(super) fn plan(conv: &Conv2d, weight: &Tensor<4>, x: &Tensor<4>) -> Option<Plan> {
    let Sums { side, stride, padding: [top, left, bottom, right] } = Sums::of(conv)?;
    let ([batch, channels, height, width], [channels_out, inputs, ..]) = (x.dims(), weight.dims());
    if ![1, SIDE].contains(&side) || x.dims().contains(&0) || inputs != channels {
        return None;
    }
    let reach = |length: usize, padded: usize| Some((length + padded).checked_sub(side)? / stride + 1);
    let (out_height, out_width) = (reach(height, top + bottom)?, reach(width, left + right)?);
    let shape =
        Shape { batch, channels, channels_out, side, height, width, top, left, out_height, out_width };
    let way = match (stride, side) {
        (1, _) if three_parts::pays(shape) => Way::Parts,
        (1, SIDE) if winograd::pays(shape) => Way::Winograd,
        (_, SIDE) => Way::Columns,
        _ => return None,
    };
    Some(Plan { shape, stride, way })
}

/// `[batch, in, height, width]` → `[batch, out, …]`.
pub(super) fn on_host(conv: &Conv2d, weight: Tensor<4>, x: Tensor<4>, plan: Plan) -> Tensor<4> {
    let Plan { shape, stride, way } = plan;
    let bias = conv.bias.as_ref().map(numbers);
    let out = match way {
        Way::Parts => {
            let (weight, bias) = (Rows::Held(weight.flatten(1, 3)), bias.map_or(Bias::None, Bias::Rows));
            three_parts::convolve(&weight, &Rows::Here(&host::values(x)), &bias, shape)
        }
        Way::Winograd => winograd::convolve(&host::values(x), &weight, bias.as_deref(), shape),
        Way::Columns => return by_columns(weight, bias.as_deref(), x, shape, stride),
    };
    host::tensor(out, [shape.batch, shape.channels_out, shape.out_height, shape.out_width])
}

/// One multiplication of each sample by itself.
fn by_columns(
    weight: Tensor<4>,
    bias: Option<&[f32]>,
    x: Tensor<4>,
    shape: Shape,
    stride: usize,
) -> Tensor<4> {
    let Shape { channels, channels_out, height, width, out_height, out_width, .. } = shape;
    let depth = channels * SIDE * SIDE;
    let weight = weight.reshape([channels_out, depth]);
    let values = host::values(x);
    let rows_at_once = (COLUMNS_MAX / (depth * out_width).max(1)).clamp(1, out_height);
    let mut samples = Vec::new();
    for values in values.chunks_exact(channels * height * width) {
        let strips = (0..out_height).step_by(rows_at_once).map(|first| {
            let rows = first..out_height.min(first + rows_at_once);
            let count = rows.len() * out_width;
            let columns = columns(values, shape, stride, rows);
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
                values.par_chunks_mut(out_height * out_width).zip(*bias).for_each(|(plane, bias)| {
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
fn columns(values: &[f32], shape: Shape, stride: usize, rows: std::ops::Range<usize>) -> Vec<f32> {
    let depth = shape.channels * SIDE * SIDE;
    let count = rows.len() * shape.out_width;
    let mut columns = vec![0f32; depth * count];
    columns.par_chunks_mut(count).enumerate().for_each(|(place, column)| {
        let (channel, row, shift) = (place / (SIDE * SIDE), place / SIDE % SIDE, place % SIDE);
        let plane = &values[channel * shape.height * shape.width..][..shape.height * shape.width];
        for (y, out) in rows.clone().zip(column.chunks_exact_mut(shape.out_width)) {
            // Outside of the picture the columns stay zero.
            let Some(y) = (y * stride + row).checked_sub(shape.top).filter(|y| *y < shape.height) else {
                continue;
            };
            let line = &plane[y * shape.width..][..shape.width];
            // The first output pixel whose source is not left of the picture.
            let first = shape.left.saturating_sub(shift).div_ceil(stride);
            let source = first * stride + shift - shape.left;
            let out = out.iter_mut().skip(first);
            match stride {
                1 => out.zip(&line[source.min(shape.width)..]).for_each(|(out, value)| *out = *value),
                _ => {
                    let line = line[source.min(shape.width)..].iter().step_by(stride);
                    out.zip(line).for_each(|(out, value)| *out = *value);
                }
            }
        }
    });
    columns
}
