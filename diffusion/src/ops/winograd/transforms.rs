//! The three transforms of F(2 × 2, 3 × 3): of a tile's pixels, of a kernel, and of what comes out.
//!
//! With `Bᵀ = [1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1]`, `G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1]` and
//! `Aᵀ = [1 1 1 0; 0 1 −1 −1]` a tile is `Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A`: A. Lavin and S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2015. The transforms add and halve, so that they lose next to nothing.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::tiles::Run;
use crate::ops::products::{BLOCK, ROWS, Row};
use crate::ops::shape::Shape;

/// Numbers of a transformed tile.
pub(super) const PLACES: usize = 16;
/// Pixels that a run reads of one line.
const LINE: usize = 2 * BLOCK + 2;
/// Numbers of a kernel.
const KERNEL: usize = 9;

/// Transforms what one channel's plane holds for a run of tiles: number `p` of the tiles goes to `out[p][channel]`.
#[inline(always)]
pub(super) fn pixels(plane: &[f32], shape: Shape, run: Run, out: &mut [&mut [Row]; PLACES], channel: usize) {
    let pairs = run.count + 1;
    let mut lines = [[0f32; LINE]; 4];
    for (row, line) in lines.iter_mut().enumerate() {
        let Some(y) = (2 * run.line + row).checked_sub(shape.top).filter(|y| *y < shape.height) else {
            continue;
        };
        let source = &plane[y * shape.width..][..shape.width];
        // The pixel at the beginning of the line, which may lie left of the picture.
        let first = 2 * run.column;
        let skipped = shape.left.saturating_sub(first);
        let from = (first + skipped - shape.left).min(shape.width);
        let count = (2 * pairs).saturating_sub(skipped).min(shape.width - from);
        line[skipped..skipped + count].copy_from_slice(&source[from..from + count]);
    }
    let [first, second, third, fourth] = &mut lines;
    for i in 0..2 * pairs {
        let (a, b, c, d) = (first[i], second[i], third[i], fourth[i]);
        (first[i], second[i], third[i], fourth[i]) = (a - c, b + c, c - b, b - d);
    }
    for (line, out) in lines.iter().zip(out.as_chunks_mut::<4>().0) {
        let (mut even, mut odd) = ([0f32; BLOCK + 1], [0f32; BLOCK + 1]);
        for i in 0..pairs {
            (even[i], odd[i]) = (line[2 * i], line[2 * i + 1]);
        }
        let [a, b, c, d] = out.each_mut().map(|rows| &mut rows[channel].0[run.at..run.at + run.count]);
        for i in 0..run.count {
            a[i] = even[i] - even[i + 1];
            b[i] = odd[i] + even[i + 1];
            c[i] = even[i + 1] - odd[i];
            d[i] = odd[i] - odd[i + 1];
        }
    }
}

/// Transforms the kernels of up to [`ROWS`] channels that come out: number `p` of the kernels of incoming channel `c` goes
/// to `out[p · depth + c]`. `kernels` has one slice for each row, from the first incoming channel on.
#[inline(always)]
pub(super) fn kernels(kernels: &[&[f32]], depth: usize, out: &mut [[f32; ROWS]]) {
    assert!(out.len() >= PLACES * depth && kernels.len() <= ROWS);
    for channel in 0..depth {
        let mut g = [[0f32; ROWS]; KERNEL];
        for (row, kernels) in kernels.iter().enumerate() {
            let kernel = &kernels[channel * KERNEL..][..KERNEL];
            for i in 0..KERNEL {
                g[i][row] = kernel[i];
            }
        }
        let [a, b, c, d] =
            combined([0, 1, 2].map(|i| g[i]), [3, 4, 5].map(|i| g[i]), [6, 7, 8].map(|i| g[i]));
        for (line, [left, middle, right]) in [a, b, c, d].into_iter().enumerate() {
            for row in 0..ROWS {
                let (sum, between) = ((left[row] + right[row]) * 0.5, middle[row] * 0.5);
                out[(4 * line) * depth + channel][row] = left[row];
                out[(4 * line + 1) * depth + channel][row] = sum + between;
                out[(4 * line + 2) * depth + channel][row] = sum - between;
                out[(4 * line + 3) * depth + channel][row] = right[row];
            }
        }
    }
}

/// A row of three numbers of as many kernels as there are rows in a panel.
type Three = [[f32; ROWS]; 3];

/// `G` times kernels whose rows these are.
#[inline(always)]
fn combined(first: Three, second: Three, third: Three) -> [Three; 4] {
    let (mut b, mut c) = (first, first);
    for column in 0..3 {
        for row in 0..ROWS {
            let sum = (first[column][row] + third[column][row]) * 0.5;
            let between = second[column][row] * 0.5;
            (b[column][row], c[column][row]) = (sum + between, sum - between);
        }
    }
    [first, b, c, third]
}

/// What the tiles of a block come to: upper left, upper right, lower left and lower right pixels.
#[inline(always)]
pub(super) fn results(sums: [&Row; PLACES], bias: f32) -> [Row; 4] {
    let mut out = [Row::ZERO; 4];
    let m = sums.map(|row| &row.0);
    for i in 0..BLOCK {
        let (mut upper, mut lower) = ([0f32; 4], [0f32; 4]);
        for column in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|line| m[line + column][i]);
            (upper[column], lower[column]) = (a + b + c, b - c - d);
        }
        out[0].0[i] = upper[0] + upper[1] + upper[2] + bias;
        out[1].0[i] = upper[1] - upper[2] - upper[3] + bias;
        out[2].0[i] = lower[0] + lower[1] + lower[2] + bias;
        out[3].0[i] = lower[1] - lower[2] - lower[3] + bias;
    }
    out
}
