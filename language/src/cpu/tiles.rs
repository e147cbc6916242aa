//! In which order are products summed up, whatever stands beside them?
//!
//! Some rows of weights are multiplied with some rows of inputs at a time, so that what was read or unpacked once serves
//! many products. Whatever the size of such a tile, a product is summed up in the same order: one vector of sums runs
//! over the row from its beginning to its end, then its lanes are added. So a row of inputs gives the same numbers, bit
//! by bit, alone and among others.
//!
//! Loops stand here in the place of closures: the compiler may make those functions of their own, for the least of all
//! processors.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use pulp::{Arch, Simd, WithSimd};

/// Numbers that are unpacked at a time; whole vectors of every instruction set.
pub(super) const GROUP: usize = 32;

/// A way to store numbers in blocks of `BYTES` bytes.
pub(super) trait Packed<const BYTES: usize>: Copy {
    /// Groups of [`GROUP`] numbers in a block.
    const GROUPS: usize;

    /// One of the groups of a block.
    fn group(self, block: &[u8; BYTES], group: usize) -> [f32; GROUP];
}

/// `out[r][o] = weights[o] · x[r]` for weights that are unpacked on the way.
struct PackedTiles<'a, 'o, const BYTES: usize, T> {
    stored: T,
    weights: &'a [[u8; BYTES]],
    x: &'a [f32],
    width: usize,
    out: &'a mut [&'o mut [f32]],
}

impl<const BYTES: usize, T: Packed<BYTES>> PackedTiles<'_, '_, BYTES, T> {
    /// The products of the input rows from `first` on.
    #[inline(always)]
    fn rows<S: Simd, const OUTS: usize, const ROWS: usize>(&mut self, simd: S, first: usize) {
        let x: [&[[f32; GROUP]]; ROWS] = std::array::from_fn(|r| {
            self.x[(first + r) * self.width..(first + r + 1) * self.width].as_chunks().0
        });
        let outs = self.out[first].len();
        let whole = outs - outs % OUTS;
        for o in (0..whole).step_by(OUTS) {
            self.tile::<S, OUTS, ROWS>(simd, x, first, o);
        }
        for o in whole..outs {
            self.tile::<S, 1, ROWS>(simd, x, first, o);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const OUTS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        x: [&[[f32; GROUP]]; ROWS],
        first: usize,
        o: usize,
    ) {
        let blocks = self.width / (GROUP * T::GROUPS);
        let weights: [&[[u8; BYTES]]; OUTS] =
            std::array::from_fn(|i| &self.weights[(o + i) * blocks..(o + i + 1) * blocks]);
        // So that the loop need not check it.
        for i in 0..OUTS {
            assert!(weights[i].len() == blocks);
        }
        for r in 0..ROWS {
            assert!(x[r].len() == blocks * T::GROUPS);
        }
        let mut sums = [[simd.splat_f32s(0.0); ROWS]; OUTS];
        for block in 0..blocks {
            for group in 0..T::GROUPS {
                let mut numbers = [[0.0; GROUP]; OUTS];
                for i in 0..OUTS {
                    numbers[i] = self.stored.group(&weights[i][block], group);
                }
                for v in 0..GROUP / S::F32_LANES {
                    for i in 0..OUTS {
                        let numbers = S::as_simd_f32s(&numbers[i]).0[v];
                        for r in 0..ROWS {
                            let input = S::as_simd_f32s(&x[r][block * T::GROUPS + group]).0[v];
                            sums[i][r] = simd.mul_add_f32s(numbers, input, sums[i][r]);
                        }
                    }
                }
            }
        }
        for i in 0..OUTS {
            for r in 0..ROWS {
                self.out[first + r][o + i] = simd.reduce_sum_f32s(sums[i][r]);
            }
        }
    }
}

impl<const BYTES: usize, T: Packed<BYTES>> WithSimd for PackedTiles<'_, '_, BYTES, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let wide = S::F32_LANES == 16;
        let (mut first, rows) = (0, self.out.len());
        while first < rows {
            // More sums than half of the registers hold would have to be stored again and again.
            first += match rows - first {
                8.. if wide => {
                    self.rows::<S, 2, 8>(simd, first);
                    8
                }
                4.. => {
                    self.rows::<S, 2, 4>(simd, first);
                    4
                }
                2.. => {
                    self.rows::<S, 2, 2>(simd, first);
                    2
                }
                _ if wide => {
                    self.rows::<S, 4, 1>(simd, first);
                    1
                }
                _ => {
                    self.rows::<S, 2, 1>(simd, first);
                    1
                }
            };
        }
    }
}

/// `out[r][o] = weights[o] · x[r]`; `weights` are as many rows as each slice of `out` has room for, and `x` as many as
/// there are slices.
pub(super) fn packed_tiles<const BYTES: usize, T: Packed<BYTES>>(
    stored: T,
    weights: &[u8],
    x: &[f32],
    width: usize,
    out: &mut [&mut [f32]],
) {
    Arch::new().dispatch(PackedTiles { stored, weights: weights.as_chunks().0, x, width, out });
}

/// Unpacks whole blocks.
struct Unpack<'a, const BYTES: usize, T> {
    stored: T,
    weights: &'a [[u8; BYTES]],
    out: &'a mut [[f32; GROUP]],
}

impl<const BYTES: usize, T: Packed<BYTES>> WithSimd for Unpack<'_, BYTES, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (block, out) in self.weights.iter().zip(self.out.chunks_exact_mut(T::GROUPS)) {
            for (group, out) in out.iter_mut().enumerate() {
                let numbers = self.stored.group(block, group);
                let numbers = S::as_simd_f32s(&numbers).0;
                for (out, numbers) in S::as_mut_simd_f32s(out).0.iter_mut().zip(numbers) {
                    *out = *numbers;
                }
            }
        }
    }
}

/// Unpacks whole blocks.
pub(super) fn unpack<const BYTES: usize, T: Packed<BYTES>>(stored: T, weights: &[u8], out: &mut [f32]) {
    Arch::new().dispatch(Unpack { stored, weights: weights.as_chunks().0, out: out.as_chunks_mut().0 });
}

/// The same for weights that are floats.
struct PlainTiles<'a, 'o> {
    weights: &'a [f32],
    x: &'a [f32],
    width: usize,
    out: &'a mut [&'o mut [f32]],
}

impl PlainTiles<'_, '_> {
    #[inline(always)]
    fn rows<S: Simd, const OUTS: usize, const ROWS: usize>(&mut self, simd: S, first: usize) {
        let width = self.width;
        let x: [&[f32]; ROWS] =
            std::array::from_fn(|r| &self.x[(first + r) * width..(first + r + 1) * width]);
        let outs = self.out[first].len();
        let whole = outs - outs % OUTS;
        for o in (0..whole).step_by(OUTS) {
            self.tile::<S, OUTS, ROWS>(simd, x, first, o);
        }
        for o in whole..outs {
            self.tile::<S, 1, ROWS>(simd, x, first, o);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const OUTS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        x: [&[f32]; ROWS],
        first: usize,
        o: usize,
    ) {
        let width = self.width;
        let vectors = width / S::F32_LANES;
        let weights: [&[f32]; OUTS] =
            std::array::from_fn(|i| &self.weights[(o + i) * width..(o + i + 1) * width]);
        let mut inputs: [&[S::f32s]; ROWS] = [&[]; ROWS];
        for r in 0..ROWS {
            inputs[r] = &S::as_simd_f32s(x[r]).0[..vectors];
        }
        let mut numbers: [&[S::f32s]; OUTS] = [&[]; OUTS];
        for i in 0..OUTS {
            numbers[i] = &S::as_simd_f32s(weights[i]).0[..vectors];
        }
        let mut sums = [[simd.splat_f32s(0.0); ROWS]; OUTS];
        for v in 0..vectors {
            for r in 0..ROWS {
                let input = inputs[r][v];
                for i in 0..OUTS {
                    sums[i][r] = simd.mul_add_f32s(numbers[i][v], input, sums[i][r]);
                }
            }
        }
        let rest = vectors * S::F32_LANES..width;
        for i in 0..OUTS {
            for r in 0..ROWS {
                let ends = weights[i][rest.clone()].iter().zip(&x[r][rest.clone()]);
                let end: f32 = ends.map(|(weight, x)| weight * x).sum();
                self.out[first + r][o + i] = simd.reduce_sum_f32s(sums[i][r]) + end;
            }
        }
    }
}

impl WithSimd for PlainTiles<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let wide = S::F32_LANES == 16;
        let (mut first, rows) = (0, self.out.len());
        while first < rows {
            first += match rows - first {
                8.. if wide => {
                    self.rows::<S, 3, 8>(simd, first);
                    8
                }
                4.. if wide => {
                    self.rows::<S, 4, 4>(simd, first);
                    4
                }
                4.. => {
                    self.rows::<S, 2, 4>(simd, first);
                    4
                }
                3 => {
                    self.rows::<S, 3, 3>(simd, first);
                    3
                }
                2 => {
                    self.rows::<S, 4, 2>(simd, first);
                    2
                }
                _ => {
                    self.rows::<S, 4, 1>(simd, first);
                    1
                }
            };
        }
    }
}

/// As [`packed_tiles`], for floats.
pub(super) fn plain_tiles(weights: &[f32], x: &[f32], width: usize, out: &mut [&mut [f32]]) {
    Arch::new().dispatch(PlainTiles { weights, x, width, out });
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

    fn products(weights: &[f32], x: &[f32], width: usize) -> Vec<f32> {
        let outs = weights.len() / width;
        let mut out = vec![f32::NAN; x.len() / width * outs];
        plain_tiles(weights, x, width, &mut out.chunks_exact_mut(outs).collect::<Vec<_>>());
        out
    }

    #[test]
    fn products_agree_with_plain_sums_for_odd_sizes_and_do_not_depend_on_their_neighbours() {
        for (width, outs, rows) in [(1, 1, 1), (7, 3, 2), (64, 5, 3), (83, 4, 7), (160, 9, 21)] {
            let (weights, x) = (numbers(width * outs, 1), numbers(width * rows, 2));
            let out = products(&weights, &x, width);
            for r in 0..rows {
                let x = &x[r * width..(r + 1) * width];
                for o in 0..outs {
                    let weights = &weights[o * width..(o + 1) * width];
                    let plain: f64 = weights.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                    assert!((f64::from(out[r * outs + o]) - plain).abs() < 1e-5, "{width} {outs} {rows}");
                    assert_eq!(products(weights, x, width), [out[r * outs + o]], "{width} {outs} {rows}");
                }
                assert_eq!(products(&weights, x, width), out[r * outs..(r + 1) * outs]);
            }
        }
    }
}
