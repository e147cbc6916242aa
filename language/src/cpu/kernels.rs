//! Which loops run over the numbers? Each is written once and compiled for every instruction set that pulp detects.

use half::f16;
use pulp::{Arch, Simd, WithSimd};

/// Sums and maxima that are made side by side: a vector of the widest instruction set.
pub(super) const LANES: usize = 16;

/// `out[r] += Σ shares[r][i] * values[i]`.
struct WeightedSums<'a> {
    shares: &'a [f32],
    values: &'a [f32],
    out: &'a mut [f32],
    width: usize,
}

impl WeightedSums<'_> {
    /// Sums for `ROWS` rows, some vectors of them at a time, which stay in registers from the first value to the last.
    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize>(&mut self, simd: S, first: usize) {
        const VECTORS: usize = 4;
        let (width, count) = (self.width, self.values.len() / self.width);
        let shares: [&[f32]; ROWS] =
            std::array::from_fn(|r| &self.shares[(first + r) * count..(first + r + 1) * count]);
        let panel = VECTORS * S::F32_LANES;
        let mut from = 0;
        while from + panel <= width {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            for (i, value) in self.values.chunks_exact(width).enumerate() {
                let (value, _) = S::as_simd_f32s(&value[from..from + panel]);
                for r in 0..ROWS {
                    let share = simd.splat_f32s(shares[r][i]);
                    for v in 0..VECTORS {
                        sums[r][v] = simd.mul_add_f32s(share, value[v], sums[r][v]);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                let start = (first + r) * width + from;
                let (out, _) = S::as_mut_simd_f32s(&mut self.out[start..start + panel]);
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = simd.add_f32s(*out, *sum);
                }
            }
            from += panel;
        }
        for (r, shares) in shares.iter().enumerate() {
            let out = &mut self.out[(first + r) * width..(first + r + 1) * width][from..];
            for (value, share) in self.values.chunks_exact(width).zip(*shares) {
                out.iter_mut().zip(&value[from..]).for_each(|(out, value)| *out += share * value);
            }
        }
    }
}

impl WithSimd for WeightedSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (mut first, rows) = (0, self.out.len() / self.width);
        while first < rows {
            first += match rows - first {
                3.. if S::F32_LANES == 16 => {
                    self.rows::<S, 3>(simd, first);
                    3
                }
                2.. => {
                    self.rows::<S, 2>(simd, first);
                    2
                }
                _ => {
                    self.rows::<S, 1>(simd, first);
                    1
                }
            };
        }
    }
}

/// Adds the values to each row of `out`, each times the row's share of it; `shares` is `[rows, values]`.
pub(super) fn weighted_sums(shares: &[f32], values: &[f32], width: usize, out: &mut [f32]) {
    Arch::new().dispatch(WeightedSums { shares, values, out, width });
}

/// e to the power of `x`, within two units in the last place; written so that compilers can vectorise it.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
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
pub(crate) fn largest(scores: &[f32]) -> f32 {
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
pub(super) fn exponentials(scores: &mut [f32], largest: f32) -> f32 {
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

/// Widens half-precision numbers. What is infinite or no number becomes something of 65,536 or more: memories hold none.
pub(super) fn widen(from: &[f16], to: &mut [f32]) {
    let arch = Arch::new();
    #[cfg(target_arch = "x86_64")]
    if let Arch::V4(simd) = arch {
        let (blocks, to_blocks) = (from.as_chunks::<LANES>(), to.as_chunks_mut::<LANES>());
        simd.vectorize(
            #[inline(always)]
            || {
                for (from, to) in blocks.0.iter().zip(to_blocks.0) {
                    let halves = pulp::cast(from.map(f16::to_bits));
                    *to = pulp::cast(simd.avx512f._mm512_cvtph_ps(halves));
                }
            },
        );
        return widen_by_bits(blocks.1, to_blocks.1);
    }
    arch.dispatch(
        #[inline(always)]
        || widen_by_bits(from, to),
    );
}

#[inline(always)]
fn widen_by_bits(from: &[f16], to: &mut [f32]) {
    // Exponents begin at 15 there and at 127 here; the product also normalizes what was subnormal.
    const SCALE: f32 = f32::from_bits((127 + 127 - 15) << 23);
    for (to, from) in to.iter_mut().zip(from) {
        let bits = u32::from(from.to_bits());
        let size = f32::from_bits((bits & 0x7fff) << 13) * SCALE;
        *to = f32::from_bits(size.to_bits() | (bits & 0x8000) << 16);
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
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let (blocks, rest) = x.as_chunks::<LANES>();
            let mut sums = [0f32; LANES];
            for block in blocks {
                for (sum, value) in sums.iter_mut().zip(block) {
                    *sum += value * value;
                }
            }
            let rest = rest.iter().map(|value| f64::from(value * value));
            let square: f64 = sums.iter().copied().map(f64::from).chain(rest).sum();
            let scale = (1.0 / (square / x.len() as f64 + eps).sqrt()) as f32;
            for ((out, value), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = value * scale * weight;
            }
        },
    );
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
    fn weighted_sums_and_exponentials_agree_with_plain_arithmetic() {
        let mut scores = vec![0.5, -2.0, 3.0, 1e4, -1e4];
        assert_eq!(largest(&scores), 1e4);
        assert!((exponentials(&mut scores, 1e4) - 1.0).abs() < 1e-6);
        assert_eq!(scores[3], 1.0);
        for (width, rows) in [(13, 1), (64, 3), (83, 6)] {
            let (values, shares) = (numbers(5 * width, 3), numbers(5 * rows, 4));
            let mut out = vec![1.0; rows * width];
            weighted_sums(&shares, &values, width, &mut out);
            for r in 0..rows {
                let shares = &shares[5 * r..5 * r + 5];
                for i in 0..width {
                    let plain: f32 = 1.0 + (0..5).map(|v| shares[v] * values[v * width + i]).sum::<f32>();
                    assert!((out[r * width + i] - plain).abs() < 1e-5);
                }
                let mut alone = vec![1.0; width];
                weighted_sums(shares, &values, width, &mut alone);
                assert_eq!(alone, out[r * width..(r + 1) * width]);
            }
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
