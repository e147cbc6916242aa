//! How are weights of few bits multiplied with many rows of inputs, where the processor multiplies matrices?
//!
//! Weights are unpacked and, like the inputs, written as sums of two half-length floats (see [`super::split_floats`]): the
//! products are right to 2^-16 of their size, and added up as floats. What was unpacked stays in the second cache while
//! all rows of inputs pass by.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::{__m512, __m512i};

use pulp::{NullaryFnOnce, cast};

use super::amx::{Halves, MatrixTiles, STEP, Sums, TILE, ZEROS};
use super::interleaved::{GROUP, HALVES, HALVES_WITH_MINIMA, InterleavedRows, PANEL, SIGNED, SIX_BITS};
use super::interleaved_vectors::{IntegerProducts, Kind, with_kind};
use super::split_floats::{ROUNDED_BELOW, SplitInputs};
use crate::weights::StoredType;

/// Bytes of weights that are unpacked at a time: they stay in the second cache, unless two panels of very wide rows are
/// more.
const UNPACKED_BYTES: usize = 768 << 10;

const _: () = assert!(STEP == GROUP && TILE == PANEL);

/// Multiplies weight rows from `first` on, with which a panel begins, with rows of inputs: as many as the slices of `out`
/// have room for with as many as there are slices.
pub(super) fn tile_products(
    (tiles, simd): (MatrixTiles, IntegerProducts),
    weights: &InterleavedRows,
    first: usize,
    inputs: &SplitInputs,
    out: &mut [&mut [f32]],
) {
    let outs = out.first().map_or(0, |row| row.len());
    if outs == 0 {
        return;
    }
    let steps = weights.width / STEP;
    let at_once = (UNPACKED_BYTES / (steps * size_of::<Halves>()) / 2 * 2).max(2).min(outs.div_ceil(PANEL));
    let mut unpacked = vec![ZEROS; at_once * steps];
    let mut sums = [[Sums([[0.0; TILE]; TILE]); 2]; 2];
    for begin in (0..outs).step_by(at_once * PANEL) {
        let panels = at_once.min((outs - begin).div_ceil(PANEL));
        for (panel, unpacked) in unpacked.chunks_exact_mut(steps).take(panels).enumerate() {
            let row = first + begin + panel * PANEL;
            with_kind!(simd, weights.stored, unpack(weights, row, unpacked));
        }
        let panel_of = |panel: usize| &unpacked[panel * steps..(panel + 1) * steps];
        for row in (0..out.len()).step_by(2 * TILE) {
            let left = [inputs.rows(row / TILE), inputs.rows(row / TILE + 1)];
            for panel in (0..panels).step_by(2) {
                // Of an odd number the last is multiplied twice.
                let right = [panel_of(panel), panel_of((panel + 1).min(panels - 1))];
                tiles.multiply(left, right, &mut sums);
                for (out, r) in out[row..].iter_mut().zip(0..2 * TILE) {
                    let out = out[begin + panel * PANEL..].chunks_mut(PANEL);
                    for (out, sums) in out.zip(&sums[r / TILE]) {
                        out.copy_from_slice(&sums.0[r % TILE][..out.len()]);
                    }
                }
            }
        }
    }
}

fn unpack<const BITS: usize, const SCALES: usize, const OFFSET: i32>(
    kind: Kind<BITS, SCALES, OFFSET>,
    weights: &InterleavedRows,
    row: usize,
    out: &mut [Halves],
) {
    let (numbers, scales) = weights.panel(row);
    kind.simd.vectorize(Unpack { kind, numbers, scales, out });
}

/// Writes the numbers of a panel as right sides of products.
struct Unpack<'a, const BITS: usize, const SCALES: usize, const OFFSET: i32> {
    kind: Kind<BITS, SCALES, OFFSET>,
    numbers: &'a [u8],
    scales: &'a [u8],
    out: &'a mut [Halves],
}

impl<const BITS: usize, const SCALES: usize, const OFFSET: i32> NullaryFnOnce
    for Unpack<'_, BITS, SCALES, OFFSET>
{
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (kind, layout) = (self.kind, Kind::<BITS, SCALES, OFFSET>::LAYOUT);
        let numbers = self.numbers.chunks_exact(layout.groups() * layout.group_bytes());
        let blocks = self.scales.chunks_exact(SCALES).zip(numbers);
        for ((scales, numbers), out) in blocks.zip(self.out.chunks_exact_mut(layout.groups())) {
            let of_block = kind.block_scales(scales);
            for (in_block, numbers) in numbers.chunks_exact(layout.group_bytes()).enumerate() {
                let numbers = kind.numbers(numbers);
                let scales = kind.scales(of_block, scales, in_block);
                for pair in 0..TILE {
                    let mut parts = [[scales.minima; 2]; 2];
                    for side in 0..2 {
                        let number = kind.number(numbers[pair / 2], pair % 2 * 2 + side);
                        let weight = kind.simd.avx512f._mm512_fmadd_ps(
                            number,
                            scales.factors[pair / 8],
                            scales.minima,
                        );
                        parts[side] = kind.split(weight);
                    }
                    for part in 0..2 {
                        out[in_block][part].0[pair] = cast(kind.pair(parts[0][part], parts[1][part]));
                    }
                }
            }
        }
    }
}

impl<const BITS: usize, const SCALES: usize, const OFFSET: i32> Kind<BITS, SCALES, OFFSET> {
    /// As [`super::split_floats::split`]; each part is the upper half of a lane.
    #[inline(always)]
    fn split(self, numbers: __m512) -> [__m512; 2] {
        let first = self.nearest(numbers);
        [first, self.nearest(self.simd.avx512f._mm512_sub_ps(numbers, first))]
    }

    #[inline(always)]
    fn nearest(self, numbers: __m512) -> __m512 {
        let wide = self.simd.avx512f;
        let bits: __m512i = cast(numbers);
        let size = wide._mm512_and_si512(bits, wide._mm512_set1_epi32(i32::MAX));
        let is_rounded =
            wide._mm512_cmplt_epu32_mask(size, wide._mm512_set1_epi32(ROUNDED_BELOW.cast_signed()));
        let bits = wide._mm512_mask_add_epi32(bits, is_rounded, bits, wide._mm512_set1_epi32(0x8000));
        cast(wide._mm512_and_si512(bits, wide._mm512_set1_epi32(0xffff_0000u32.cast_signed())))
    }

    /// The upper halves of lanes: those of `left` become the lower ones.
    #[inline(always)]
    fn pair(self, left: __m512, right: __m512) -> __m512i {
        let wide = self.simd.avx512f;
        wide._mm512_or_si512(wide._mm512_srli_epi32::<16>(cast(left)), cast(right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::packed_products::tests::{bytes, matrix};
    use crate::cpu::weight_memory::WeightMemory;
    use crate::weights::PackedRows;

    #[test]
    fn products_agree_with_plain_arithmetic() {
        let (Some(tiles), Some(simd)) = (MatrixTiles::try_new(), IntegerProducts::try_new()) else {
            println!("skipped: this processor multiplies no matrices");
            return;
        };
        for stored in [
            StoredType::Q4_0,
            StoredType::Q4_1,
            StoredType::Q5_0,
            StoredType::Q5_1,
            StoredType::Q8_0,
            StoredType::Q4K,
            StoredType::Q5K,
            StoredType::Q6K,
        ] {
            for (blocks, outs, rows) in [(1, 5, 17), (18, 37, 33), (3, 16, 64), (400, 70, 20)] {
                let width = blocks * stored.block_len();
                let part = matrix(stored, width, outs);
                let weights = InterleavedRows::new(&part, &mut WeightMemory::default()).unwrap();
                let x: Vec<f32> =
                    bytes(width * rows, 9).iter().map(|b| (f32::from(*b) - 100.3) / 77.0).collect();
                let inputs = SplitInputs::new(&x, width);
                let first = outs / PANEL / 2 * PANEL;
                let mut out = vec![f32::NAN; rows * (outs - first)];
                let mut rest: Vec<_> = out.chunks_exact_mut(outs - first).collect();
                tile_products((tiles, simd), &weights, first, &inputs, &mut rest);
                let mut numbers = vec![0.0; width];
                for o in first..outs {
                    part.unpack(o, &mut numbers);
                    for (r, x) in x.chunks_exact(width).enumerate() {
                        let each = numbers.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                        let (sum, size) =
                            each.fold((0.0, 1e-3), |(sum, size), it| (sum + it, size + it.abs()));
                        let error = (f64::from(out[r * (outs - first) + o - first]) - sum).abs() / size;
                        assert!(error < 4e-6, "{stored:?} {width} {outs} {rows}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_get_what_they_get_alone_and_nothing_hides_what_is_no_number() {
        let (Some(tiles), Some(simd)) = (MatrixTiles::try_new(), IntegerProducts::try_new()) else { return };
        let (width, outs, rows) = (512, 80, 37);
        let mut part = matrix(StoredType::Q4_1, width, outs);
        let mut x: Vec<f32> = bytes(width * rows, 9).iter().map(|b| (f32::from(*b) - 100.3) / 77.0).collect();
        let products = |part: &PackedRows, first: usize, x: &[f32]| {
            let (inputs, weights) = (
                SplitInputs::new(x, width),
                InterleavedRows::new(part, &mut WeightMemory::default()).unwrap(),
            );
            let mut out = vec![f32::INFINITY; x.len() / width * (outs - first)];
            let mut rows: Vec<_> = out.chunks_exact_mut(outs - first).collect();
            tile_products((tiles, simd), &weights, first, &inputs, &mut rows);
            out
        };
        let together = products(&part, 0, &x);
        for row in [0, 15, 16, 36] {
            let own = &together[row * outs..(row + 1) * outs];
            assert_eq!(products(&part, 0, &x[row * width..(row + 1) * width]), own);
            assert_eq!(products(&part, 48, &x[row * width..(row + 1) * width]), own[48..]);
        }
        for bad in
            [f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0xffff_ffff), f32::from_bits(0x7fff_8000)]
        {
            x[3 * width + 70] = bad;
            let found = products(&part, 0, &x);
            assert!(found[3 * outs..4 * outs].iter().all(|product| product.is_nan()), "{bad}");
            assert_eq!(found[4 * outs..], together[4 * outs..]);
        }
        // A damaged scale: the second row of weights is no number, the others are.
        let row_bytes = part.row_bytes();
        part.bytes[row_bytes..row_bytes + 2].fill(0xff);
        let found = products(&part, 0, &x);
        for (place, product) in found.iter().enumerate().filter(|(place, _)| place / outs != 3) {
            assert_eq!(product.is_nan(), place % outs == 1, "{place}");
        }
    }
}
