//! How are weights of few bits multiplied where vectors have 512 bits?
//!
//! As in [`super::tiles`], with unpacking of its own: a vector of the sixteen numbers that four bits can mean in a block is
//! looked up by the lowest four bits of each lane, which are neither masked nor converted nor scaled. The numbers are
//! those of the loops for all processors.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::{__m512, __m512i};

use pulp::x86::V4;
use pulp::{NullaryFnOnce, Simd, cast};

use super::tiles::{GROUP, Packed};
use crate::weights::scale_and_minimum;

/// As [`Packed`], in two vectors.
pub(super) trait WidePacked<const BYTES: usize>: Packed<BYTES> {
    fn vectors(self, wide: Wide, block: &[u8; BYTES], group: usize) -> [__m512; 2];
}

/// The instructions, and the numbers from 0 to 15.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    simd: V4,
    table: __m512,
}

impl Wide {
    fn new(simd: V4) -> Wide {
        let table = std::array::from_fn::<f32, 16, _>(|number| number as f32);
        Wide { simd, table: cast(table) }
    }

    /// The half-precision number at `at` in all lanes.
    #[inline(always)]
    pub(super) fn half(self, bytes: &[u8], at: usize) -> __m512 {
        let bits = i16::from_le_bytes([bytes[at], bytes[at + 1]]);
        self.simd.avx512f._mm512_cvtph_ps(self.simd.avx._mm256_set1_epi16(bits))
    }

    #[inline(always)]
    pub(super) fn splat(self, number: f32) -> __m512 {
        self.simd.avx512f._mm512_set1_ps(number)
    }

    #[inline(always)]
    pub(super) fn product(self, left: __m512, right: __m512) -> __m512 {
        self.simd.avx512f._mm512_mul_ps(left, right)
    }

    /// Sixteen bytes, each in a lane.
    #[inline(always)]
    pub(super) fn lanes(self, bytes: &[u8; 16]) -> __m512i {
        self.simd.avx512f._mm512_cvtepu8_epi32(cast(*bytes))
    }

    /// The table of `scale * number + minimum`.
    #[inline(always)]
    pub(super) fn table(self, scale: __m512, minimum: __m512) -> __m512 {
        self.simd.avx512f._mm512_fmadd_ps(self.table, scale, minimum)
    }

    /// What a table says to the lowest four bits of lanes.
    #[inline(always)]
    pub(super) fn low(self, lanes: __m512i, table: __m512) -> __m512 {
        self.simd.avx512f._mm512_permutexvar_ps(lanes, table)
    }

    /// The same of the next four bits.
    #[inline(always)]
    pub(super) fn high(self, lanes: __m512i, table: __m512) -> __m512 {
        self.low(self.simd.avx512f._mm512_srli_epi32::<4>(lanes), table)
    }

    /// What signed bytes mean.
    #[inline(always)]
    pub(super) fn signed(self, bytes: &[u8; 16], scale: __m512) -> __m512 {
        let lanes = self.simd.avx512f._mm512_cvtepi8_epi32(cast(*bytes));
        self.product(self.simd.avx512f._mm512_cvtepi32_ps(lanes), scale)
    }
}

impl Wide {
    /// `scale * (number - 32)` for numbers of six bits: four of them in one byte and two in another, each shifted.
    #[inline(always)]
    pub(super) fn six_bits(self, bytes: [&[u8; 16]; 2], shift: [i32; 2], scale: __m512) -> __m512 {
        let simd = self.simd.avx512f;
        let low = simd._mm512_srlv_epi32(self.lanes(bytes[0]), simd._mm512_set1_epi32(shift[0]));
        let low = simd._mm512_and_si512(low, simd._mm512_set1_epi32(15));
        let high = simd._mm512_srlv_epi32(self.lanes(bytes[1]), simd._mm512_set1_epi32(shift[1]));
        let high = simd._mm512_and_si512(high, simd._mm512_set1_epi32(3));
        let numbers = simd._mm512_or_si512(low, simd._mm512_slli_epi32::<4>(high));
        let numbers = simd._mm512_sub_epi32(numbers, simd._mm512_set1_epi32(32));
        self.product(simd._mm512_cvtepi32_ps(numbers), scale)
    }
}

/// As [`super::tiles::packed_tiles`].
pub(super) fn wide_tiles<const BYTES: usize, T: WidePacked<BYTES>>(
    simd: V4,
    stored: T,
    weights: &[u8],
    x: &[f32],
    width: usize,
    out: &mut [&mut [f32]],
) {
    let weights = weights.as_chunks().0;
    simd.vectorize(WideTiles { stored, wide: Wide::new(simd), weights, x, width, out });
}

/// As [`super::tiles::unpack`].
pub(super) fn wide_unpack<const BYTES: usize, T: WidePacked<BYTES>>(
    simd: V4,
    stored: T,
    weights: &[u8],
    out: &mut [f32],
) {
    let (weights, out) = (weights.as_chunks().0, out.as_chunks_mut().0);
    simd.vectorize(WideUnpack { stored, wide: Wide::new(simd), weights, out });
}

struct WideUnpack<'a, const BYTES: usize, T> {
    stored: T,
    wide: Wide,
    weights: &'a [[u8; BYTES]],
    out: &'a mut [[f32; GROUP]],
}

impl<const BYTES: usize, T: WidePacked<BYTES>> NullaryFnOnce for WideUnpack<'_, BYTES, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (block, out) in self.weights.iter().zip(self.out.chunks_exact_mut(T::GROUPS)) {
            for (group, out) in out.iter_mut().enumerate() {
                *out = cast(self.stored.vectors(self.wide, block, group));
            }
        }
    }
}

struct WideTiles<'a, 'o, const BYTES: usize, T> {
    stored: T,
    wide: Wide,
    weights: &'a [[u8; BYTES]],
    x: &'a [f32],
    width: usize,
    out: &'a mut [&'o mut [f32]],
}

impl<const BYTES: usize, T: WidePacked<BYTES>> NullaryFnOnce for WideTiles<'_, '_, BYTES, T> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let (mut first, rows) = (0, self.out.len());
        while first < rows {
            first += match rows - first {
                4.. => self.rows::<4, 4>(first),
                2.. => self.rows::<4, 2>(first),
                _ => self.rows::<4, 1>(first),
            };
        }
    }
}

impl<const BYTES: usize, T: WidePacked<BYTES>> WideTiles<'_, '_, BYTES, T> {
    #[inline(always)]
    fn rows<const OUTS: usize, const ROWS: usize>(&mut self, first: usize) -> usize {
        let outs = self.out[first].len();
        let whole = outs - outs % OUTS;
        for o in (0..whole).step_by(OUTS) {
            self.tile::<OUTS, ROWS>(first, o);
        }
        for o in whole..outs {
            self.tile::<1, ROWS>(first, o);
        }
        ROWS
    }

    #[inline(always)]
    fn tile<const OUTS: usize, const ROWS: usize>(&mut self, first: usize, o: usize) {
        let simd = self.wide.simd;
        let blocks = self.width / (GROUP * T::GROUPS);
        let weights = &self.weights[o * blocks..(o + OUTS) * blocks];
        let x = self.x[first * self.width..(first + ROWS) * self.width].as_chunks::<16>().0;
        let vectors = 2 * blocks * T::GROUPS;
        let mut weight_rows: [&[[u8; BYTES]]; OUTS] = [&[]; OUTS];
        let mut inputs: [&[[f32; 16]]; ROWS] = [&[]; ROWS];
        for i in 0..OUTS {
            weight_rows[i] = &weights[i * blocks..][..blocks];
        }
        for r in 0..ROWS {
            inputs[r] = &x[r * vectors..][..vectors];
        }
        let mut sums = [[self.wide.splat(0.0); ROWS]; OUTS];
        for block in 0..blocks {
            for group in 0..T::GROUPS {
                let mut numbers = [[self.wide.table; 2]; OUTS];
                for i in 0..OUTS {
                    numbers[i] = self.stored.vectors(self.wide, &weight_rows[i][block], group);
                }
                let at = 2 * (block * T::GROUPS + group);
                for r in 0..ROWS {
                    for half in 0..2 {
                        let input = cast(inputs[r][at + half]);
                        for i in 0..OUTS {
                            sums[i][r] = simd.avx512f._mm512_fmadd_ps(numbers[i][half], input, sums[i][r]);
                        }
                    }
                }
            }
        }
        for i in 0..OUTS {
            for r in 0..ROWS {
                self.out[first + r][o + i] = simd.reduce_sum_f32s(cast(sums[i][r]));
            }
        }
    }
}

/// The table of a group of Q4_K.
#[inline(always)]
pub(super) fn of_group(wide: Wide, block: &[u8; 144], group: usize) -> __m512 {
    let (scale, minimum) = scale_and_minimum(&block[4..16], group);
    let scale = wide.product(wide.half(block, 0), wide.splat(scale));
    wide.table(scale, wide.product(wide.half(block, 2), wide.splat(-minimum)))
}
