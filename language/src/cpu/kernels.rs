//! Which loops run over the numbers? Each is written once and compiled for every instruction set that pulp detects.

use half::f16;
use pulp::{Arch, Simd, WithSimd};

/// Rows of input that share one pass over the weights.
pub(super) const ROWS_MAX: usize = 4;
/// Sums and maxima that are made side by side: a vector of the widest instruction set.
pub(super) const LANES: usize = 16;

/// `out[o * ROWS + r] = weight[o] · x[r]` for a block of weight rows.
struct RowProducts<'a, const ROWS: usize> {
    weight: &'a [f32],
    x: &'a [f32],
    width: usize,
    out: &'a mut [f32],
    stride: usize,
}

impl<const ROWS: usize> WithSimd for RowProducts<'_, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &self.x[r * self.width..(r + 1) * self.width]);
        for (weight, out) in self.weight.chunks_exact(self.width).zip(self.out.chunks_mut(self.stride)) {
            let (weight, weight_tail) = S::as_simd_f32s(weight);
            let mut sums = [[simd.splat_f32s(0.0); 4]; ROWS];
            let split = rows.map(|row| S::as_simd_f32s(row));
            let quads = weight.len() / 4;
            for quad in 0..quads {
                for lane in 0..4 {
                    let w = weight[4 * quad + lane];
                    for r in 0..ROWS {
                        sums[r][lane] = simd.mul_add_f32s(w, split[r].0[4 * quad + lane], sums[r][lane]);
                    }
                }
            }
            for (i, w) in weight.iter().enumerate().skip(4 * quads) {
                for r in 0..ROWS {
                    sums[r][0] = simd.mul_add_f32s(*w, split[r].0[i], sums[r][0]);
                }
            }
            for r in 0..ROWS {
                let lower = simd.add_f32s(sums[r][0], sums[r][1]);
                let upper = simd.add_f32s(sums[r][2], sums[r][3]);
                let tail: f32 = weight_tail.iter().zip(split[r].1).map(|(w, x)| w * x).sum();
                out[r] = simd.reduce_sum_f32s(simd.add_f32s(lower, upper)) + tail;
            }
        }
    }
}

/// Multiplies a block of weight rows with `rows` input rows, `out` being laid out `[weight row][input row]`.
pub(super) fn row_products(weight: &[f32], x: &[f32], width: usize, rows: usize, out: &mut [f32]) {
    let arch = Arch::new();
    let mut first = 0;
    while first < rows {
        let take = (rows - first).min(ROWS_MAX);
        let x = &x[first * width..(first + take) * width];
        let out = &mut out[first..];
        match take {
            1 => arch.dispatch(RowProducts::<1> { weight, x, width, out, stride: rows }),
            2 => arch.dispatch(RowProducts::<2> { weight, x, width, out, stride: rows }),
            3 => arch.dispatch(RowProducts::<3> { weight, x, width, out, stride: rows }),
            _ => arch.dispatch(RowProducts::<4> { weight, x, width, out, stride: rows }),
        }
        first += take;
    }
}

/// `out += Σ shares[i] * rows[i]`.
struct WeightedSum<'a> {
    shares: &'a [f32],
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for WeightedSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.out.len();
        let (out, out_tail) = S::as_mut_simd_f32s(self.out);
        for (share, row) in self.shares.iter().zip(self.rows.chunks_exact(width)) {
            let (row, row_tail) = S::as_simd_f32s(row);
            let splat = simd.splat_f32s(*share);
            for (sum, value) in out.iter_mut().zip(row) {
                *sum = simd.mul_add_f32s(splat, *value, *sum);
            }
            for (sum, value) in out_tail.iter_mut().zip(row_tail) {
                *sum += share * value;
            }
        }
    }
}

/// Adds the rows to `out`, each times its share.
pub(super) fn weighted_sum(shares: &[f32], rows: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(WeightedSum { shares, rows, out });
}

/// e to the power of `x`, within two units in the last place; written so that compilers can vectorise it.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to a whole number, which then sits in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts: the first has so few bits that its product with a whole number is exact.
    let rest = x - whole * 0.693_359_4 - whole * -2.121_944_4e-4;
    let mut poly = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        poly = poly * rest + coefficient;
    }
    let mantissa = poly * rest * rest + rest + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    mantissa * f32::from_bits(exponent)
}

/// The largest of some scores.
fn largest(scores: &[f32]) -> f32 {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let larger = |a: f32, b: f32| if b > a { b } else { a };
            let (blocks, rest) = scores.as_chunks::<LANES>();
            let mut lanes = [f32::NEG_INFINITY; LANES];
            for block in blocks {
                for (lane, score) in lanes.iter_mut().zip(block) {
                    *lane = larger(*lane, *score);
                }
            }
            lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
        },
    )
}

/// Replaces each score by e to the power of how much it exceeds `largest`, and returns the sum.
fn exponentials(scores: &mut [f32], largest: f32) -> f32 {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let (blocks, rest) = scores.as_chunks_mut::<LANES>();
            let mut sums = [0f32; LANES];
            for block in blocks {
                for (sum, score) in sums.iter_mut().zip(block) {
                    *score = exp(*score - largest);
                    *sum += *score;
                }
            }
            for score in rest.iter_mut() {
                *score = exp(*score - largest);
            }
            sums.iter().chain(rest.iter()).sum()
        },
    )
}

/// Turns scores into shares that add up to one.
pub(super) fn softmax(scores: &mut [f32]) {
    let inverse = 1.0 / exponentials(scores, largest(scores));
    scores.iter_mut().for_each(|score| *score *= inverse);
}

/// Raises each column's `largest` to the largest score in it; `scores` is `[any, columns]`.
pub(super) fn raise_to_largest(scores: &[f32], largest: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in scores.chunks_exact(largest.len()) {
                for (largest, score) in largest.iter_mut().zip(row) {
                    *largest = if *score > *largest { *score } else { *largest };
                }
            }
        },
    );
}

/// As [`exponentials`], of every column; adds what each sums up to.
pub(super) fn column_exponentials(scores: &mut [f32], largest: &[f32], sums: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in scores.chunks_exact_mut(largest.len()) {
                for ((score, largest), sum) in row.iter_mut().zip(largest).zip(sums.iter_mut()) {
                    *score = exp(*score - largest);
                    *sum += *score;
                }
            }
        },
    );
}

/// Widens half-precision numbers. What is infinite or no number becomes 65,536 or a little more: memories hold none.
pub(super) fn widen(from: &[f16], to: &mut [f32]) {
    // Exponents begin at 15 there and at 127 here; the product also normalizes what was subnormal.
    const SCALE: f32 = f32::from_bits((127 + 127 - 15) << 23);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (to, from) in to.iter_mut().zip(from) {
                let bits = u32::from(from.to_bits());
                let size = f32::from_bits((bits & 0x7fff) << 13) * SCALE;
                *to = f32::from_bits(size.to_bits() | (bits & 0x8000) << 16);
            }
        },
    );
}

/// Writes `[rows, columns]` as `[columns, stride]`.
pub(super) fn transpose(from: &[f32], columns: usize, to: &mut [f32], stride: usize) {
    // In squares, so that what is read and what is written both stay near.
    let rows = from.len() / columns.max(1);
    for row in (0..rows).step_by(LANES) {
        for column in (0..columns).step_by(LANES) {
            for row in row..rows.min(row + LANES) {
                for column in column..columns.min(column + LANES) {
                    to[column * stride + row] = from[row * columns + column];
                }
            }
        }
    }
}

/// `out = silu(gate) * up`.
pub(super) fn silu_times(gate: &[f32], up: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp(-gate)) * up;
            }
        },
    );
}

/// `out = x / rms(x) * weight`.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f64, out: &mut [f32]) {
    let mut square = 0f64;
    for chunk in x.chunks(64) {
        square += f64::from(chunk.iter().map(|value| value * value).sum::<f32>());
    }
    let scale = (1.0 / (square / x.len() as f64 + eps).sqrt()) as f32;
    for ((out, value), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = value * scale * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .take(count)
        .collect()
    }

    #[test]
    fn every_finite_half_is_widened_exactly() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|half| half.is_finite()).collect();
        let mut wide = vec![f32::NAN; halves.len()];
        widen(&halves, &mut wide);
        for (half, wide) in halves.iter().zip(&wide) {
            assert_eq!(half.to_f32().to_bits(), wide.to_bits(), "{half}");
        }
    }

    #[test]
    fn exp_agrees_with_the_library() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let (ours, theirs) = (exp(x), x.exp());
            assert!((ours / theirs - 1.0).abs() < 5e-7, "{x}: {ours} {theirs}");
        }
        assert!(exp(-1000.0) < 1e-37);
    }

    #[test]
    fn row_products_agree_with_plain_sums_for_odd_sizes() {
        for (width, outs, rows) in [(1, 1, 1), (7, 3, 2), (64, 5, 3), (83, 4, 7), (160, 2, 9)] {
            let (weight, x) = (numbers(width * outs, 1), numbers(width * rows, 2));
            let mut out = vec![f32::NAN; outs * rows];
            row_products(&weight, &x, width, rows, &mut out);
            for o in 0..outs {
                for r in 0..rows {
                    let plain: f64 = (0..width)
                        .map(|i| f64::from(weight[o * width + i]) * f64::from(x[r * width + i]))
                        .sum();
                    assert!((f64::from(out[o * rows + r]) - plain).abs() < 1e-5, "{width} {outs} {rows}");
                }
            }
        }
    }

    #[test]
    fn weighted_sum_and_softmax_agree_with_plain_arithmetic() {
        let rows = numbers(5 * 13, 3);
        let mut shares = vec![0.5, -2.0, 3.0, 1e4, -1e4];
        softmax(&mut shares);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(shares[3], 1.0);
        let shares = numbers(5, 4);
        let mut out = vec![1.0; 13];
        weighted_sum(&shares, &rows, &mut out);
        for i in 0..13 {
            let plain: f32 = 1.0 + (0..5).map(|r| shares[r] * rows[r * 13 + i]).sum::<f32>();
            assert!((out[i] - plain).abs() < 1e-5);
        }
    }

    #[test]
    fn norm_and_silu_follow_their_formulas() {
        let x = numbers(100, 5);
        let weight = numbers(100, 6);
        let mut out = vec![0.0; 100];
        rms_norm(&x, &weight, 1e-5, &mut out);
        let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 100.0;
        for i in 0..100 {
            let plain = f64::from(x[i]) / (mean + 1e-5).sqrt() * f64::from(weight[i]);
            assert!((f64::from(out[i]) - plain).abs() < 1e-6);
        }
        silu_times(&x, &weight, &mut out);
        for i in 0..100 {
            let gate = f64::from(x[i]);
            let plain = gate / (1.0 + (-gate).exp()) * f64::from(weight[i]);
            assert!((f64::from(out[i]) - plain).abs() < 1e-6);
        }
    }
}
