//! Plain sums in double precision, which tests hold others against.

use super::shape::Shape;

/// Numbers that look arbitrary, between −1 and 1.
pub(super) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

/// A convolution that keeps the size where `pad` is 1.
pub(super) fn shape(
    batch: usize,
    [channels, channels_out]: [usize; 2],
    [height, width]: [usize; 2],
    pad: usize,
) -> Shape {
    let (out_height, out_width) = (height + 2 * pad - 2, width + 2 * pad - 2);
    Shape {
        batch,
        channels,
        channels_out,
        side: 3,
        height,
        width,
        top: pad,
        left: pad,
        out_height,
        out_width,
    }
}

/// One number of the output, counted row by row, and the sum of the sizes of what it is made of.
pub(super) fn plain(weight: &[f32], x: &[f32], shape: Shape, place: usize) -> (f64, f64) {
    let (column, rest) = (place % shape.out_width, place / shape.out_width);
    let (line, rest) = (rest % shape.out_height, rest / shape.out_height);
    let (out, sample) = (rest % shape.channels_out, rest / shape.channels_out);
    let taps = shape.side * shape.side;
    let (mut sum, mut size) = (0.0, 0.0);
    for (channel, tap) in (0..shape.channels).flat_map(|channel| (0..taps).map(move |tap| (channel, tap))) {
        let y = (line + tap / shape.side).checked_sub(shape.top).filter(|y| *y < shape.height);
        let at = (column + tap % shape.side).checked_sub(shape.left).filter(|at| *at < shape.width);
        let (Some(y), Some(at)) = (y, at) else { continue };
        let pixel = x[((sample * shape.channels + channel) * shape.height + y) * shape.width + at];
        let product = f64::from(pixel) * f64::from(weight[(out * shape.channels + channel) * taps + tap]);
        (sum, size) = (sum + product, size + product.abs());
    }
    (sum, size)
}
