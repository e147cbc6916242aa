//! How are weights of few bits multiplied in integers?
//!
//! One instruction multiplies 64 bytes of weights, four of each of sixteen rows, with four bytes of inputs that all rows
//! share, and adds each row's four products to its sum. Weights are bytes without a sign, inputs three digits with one
//! (see [`super::input_digits`]), so that the sums of a block are exact; then they are scaled and added up as floats, from
//! a row's beginning to its end. What stands beside a row of inputs changes none of this: it gives the same numbers, bit by
//! bit, alone and among others.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::{__m512, __m512i};

use pulp::{NullaryFnOnce, cast};

use super::input_digits::{DIGITS, InputBlock, InputDigits};
use super::interleaved::{GROUP, HALVES, HALVES_WITH_MINIMA, InterleavedRows, PANEL, SIGNED, SIX_BITS};
use super::interleaved_vectors::{IntegerProducts, Kind, with_kind};
use crate::weights::StoredType;

impl<const BITS: usize, const SCALES: usize, const OFFSET: i32> Kind<BITS, SCALES, OFFSET> {
    /// The sums of products of the words from `first` to `end` of a group with inputs, as floats.
    #[inline(always)]
    fn sums(self, numbers: &[__m512i; GROUP / 4], inputs: &InputBlock, first: usize, end: usize) -> __m512 {
        let (simd, wide) = (self.simd, self.simd.avx512f);
        let mut sums = [wide._mm512_setzero_si512(); DIGITS];
        for digit in 0..DIGITS {
            if OFFSET != 0 {
                let [left, right] = inputs.sums[digit];
                let sum = match (first, end) {
                    (0, 4) => left,
                    (4, _) => right,
                    _ => left + right,
                };
                sums[digit] = wide._mm512_set1_epi32(-OFFSET * sum);
            }
        }
        for word in first..end {
            for digit in 0..DIGITS {
                sums[digit] = simd.add_products(sums[digit], numbers[word], inputs.digits[digit][word]);
            }
        }
        // No sum of a digit exceeds 32 * 255 * 128, so the last two together still fit into a word.
        let low = wide._mm512_add_epi32(wide._mm512_slli_epi32::<8>(sums[1]), sums[2]);
        let high = wide._mm512_cvtepi32_ps(sums[0]);
        wide._mm512_fmadd_ps(high, wide._mm512_set1_ps(65_536.0), wide._mm512_cvtepi32_ps(low))
    }
}

/// Some rows of weights with all rows of inputs.
struct Products<'a, 'o, const BITS: usize, const SCALES: usize, const OFFSET: i32> {
    kind: Kind<BITS, SCALES, OFFSET>,
    weights: &'a InterleavedRows,
    /// The first row of weights, with which a panel begins.
    first: usize,
    inputs: &'a InputDigits,
    out: &'a mut [&'o mut [f32]],
}

impl<const BITS: usize, const SCALES: usize, const OFFSET: i32> NullaryFnOnce
    for Products<'_, '_, BITS, SCALES, OFFSET>
{
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let outs = self.out.first().map_or(0, |row| row.len());
        for at in (0..outs).step_by(PANEL) {
            let (mut row, rows) = (0, self.out.len());
            while row < rows {
                row += match rows - row {
                    8.. => self.tile::<8>(row, at),
                    4.. => self.tile::<4>(row, at),
                    2.. => self.tile::<2>(row, at),
                    _ => self.tile::<1>(row, at),
                };
            }
        }
    }
}

impl<const BITS: usize, const SCALES: usize, const OFFSET: i32> Products<'_, '_, BITS, SCALES, OFFSET> {
    /// The products of the panel that begins with row `at` of ours and of the rows of inputs from `row` on.
    #[inline(always)]
    fn tile<const ROWS: usize>(&mut self, row: usize, at: usize) -> usize {
        let (kind, wide) = (self.kind, self.kind.simd.avx512f);
        let layout = Kind::<BITS, SCALES, OFFSET>::LAYOUT;
        let (numbers, scales) = self.weights.panel(self.first + at);
        let groups = self.weights.width / GROUP;
        let mut inputs: [&[InputBlock]; ROWS] = [&[]; ROWS];
        for r in 0..ROWS {
            inputs[r] = &self.inputs.row(row + r)[..groups];
        }
        let mut sums = [wide._mm512_setzero_ps(); ROWS];
        let numbers = numbers.chunks_exact(layout.groups() * layout.group_bytes());
        for (block, (scales, numbers)) in scales.chunks_exact(SCALES).zip(numbers).enumerate() {
            let of_block = kind.block_scales(scales);
            for (in_block, numbers) in numbers.chunks_exact(layout.group_bytes()).enumerate() {
                let group = block * layout.groups() + in_block;
                kind.simd.prefetch(numbers);
                let numbers = kind.numbers(numbers);
                let scales = kind.scales(of_block, scales, in_block);
                for r in 0..ROWS {
                    let input = &inputs[r][group];
                    let product = if Kind::<BITS, SCALES, OFFSET>::SPLIT {
                        let left = kind.sums(&numbers, input, 0, 4);
                        let right = kind.sums(&numbers, input, 4, 8);
                        let left = wide._mm512_mul_ps(left, scales.factors[0]);
                        wide._mm512_fmadd_ps(right, scales.factors[1], left)
                    } else {
                        let sums = kind.sums(&numbers, input, 0, 8);
                        wide._mm512_mul_ps(sums, scales.factors[0])
                    };
                    sums[r] = wide._mm512_fmadd_ps(product, wide._mm512_set1_ps(input.scale), sums[r]);
                    if Kind::<BITS, SCALES, OFFSET>::HAS_MINIMA {
                        let total = wide._mm512_set1_ps(input.total);
                        sums[r] = wide._mm512_fmadd_ps(scales.minima, total, sums[r]);
                    }
                }
            }
        }
        for r in 0..ROWS {
            let sums: [f32; PANEL] = cast(sums[r]);
            let out = &mut self.out[row + r][at..];
            let count = out.len().min(PANEL);
            out[..count].copy_from_slice(&sums[..count]);
        }
        ROWS
    }
}

/// Multiplies weight rows from `first` on, with which a panel begins, with rows of inputs: as many as the slices of `out`
/// have room for with as many as there are slices.
pub(super) fn integer_products(
    simd: IntegerProducts,
    weights: &InterleavedRows,
    first: usize,
    inputs: &InputDigits,
    out: &mut [&mut [f32]],
) {
    with_kind!(simd, weights.stored, products(weights, first, inputs, out));
}

fn products<const BITS: usize, const SCALES: usize, const OFFSET: i32>(
    kind: Kind<BITS, SCALES, OFFSET>,
    weights: &InterleavedRows,
    first: usize,
    inputs: &InputDigits,
    out: &mut [&mut [f32]],
) {
    kind.simd.vectorize(Products { kind, weights, first, inputs, out });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::packed_products::{
        packed_products,
        tests::{bytes, matrix},
    };
    use crate::cpu::weight_memory::WeightMemory;
    use crate::weights::PackedRows;

    const TYPES: [StoredType; 8] = [
        StoredType::Q4_0,
        StoredType::Q4_1,
        StoredType::Q5_0,
        StoredType::Q5_1,
        StoredType::Q8_0,
        StoredType::Q4K,
        StoredType::Q5K,
        StoredType::Q6K,
    ];

    /// In integers where the processor multiplies these, and in floats, as it is done elsewhere.
    fn ways() -> impl Iterator<Item = Option<IntegerProducts>> {
        IntegerProducts::try_new().map(Some).into_iter().chain([None])
    }

    fn all_products(way: Option<IntegerProducts>, part: &PackedRows, first: usize, x: &[f32]) -> Vec<f32> {
        let outs = part.rows() - first;
        let mut out = vec![f32::INFINITY; x.len() / part.width * outs];
        let mut rows: Vec<_> = out.chunks_exact_mut(outs).collect();
        match way {
            Some(simd) => {
                let weights = InterleavedRows::new(part, &mut WeightMemory::default()).unwrap();
                integer_products(simd, &weights, first, &InputDigits::new(x, part.width), &mut rows);
            }
            None => packed_products(part, first, x, &mut rows),
        }
        out
    }

    /// The product of a row in doubles, and the sum of the sizes of what it adds up.
    fn plain(part: &PackedRows, row: usize, x: &[f32]) -> (f64, f64) {
        let mut weights = vec![0.0; part.width];
        part.unpack(row, &mut weights);
        let each = weights.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
        each.fold((0.0, 0.0), |(sum, size), it| (sum + it, size + it.abs()))
    }

    #[test]
    fn products_agree_with_plain_arithmetic_and_do_not_depend_on_their_neighbours() {
        for (way, stored) in ways().flat_map(|way| TYPES.map(|stored| (way, stored))) {
            for (blocks, outs, rows) in [(1, 1, 1), (2, 16, 2), (18, 37, 3), (3, 20, 7), (5, 48, 21)] {
                let width = blocks * stored.block_len();
                let part = matrix(stored, width, outs);
                let x: Vec<f32> =
                    bytes(width * rows, 9).iter().map(|b| f32::from(*b) / 100.0 - 1.0).collect();
                let out = all_products(way, &part, 0, &x);
                for (r, x) in x.chunks_exact(width).enumerate() {
                    let own = &out[r * outs..(r + 1) * outs];
                    for (o, found) in own.iter().enumerate() {
                        let (sum, size) = plain(&part, o, x);
                        let error = (f64::from(*found) - sum).abs() / (size + 1e-3);
                        // Sums of floats are rounded at each step.
                        assert!(
                            error < if way.is_some() { 1e-6 } else { 4e-6 },
                            "{stored:?} {width} {outs} {rows}, {o} {r}: {found} for {sum}, {size}"
                        );
                    }
                    // A batch changes nothing, nor does where a task begins.
                    assert_eq!(all_products(way, &part, 0, x), own, "{stored:?} {width}");
                    let later = outs / PANEL / 2 * PANEL;
                    assert_eq!(all_products(way, &part, later, x), own[later..]);
                }
            }
        }
    }

    #[test]
    fn extreme_inputs_give_what_they_give_in_floats() {
        for (way, stored) in ways().flat_map(|way| TYPES.map(|stored| (way, stored))) {
            let width = 512;
            let part = matrix(stored, width, 16);
            assert_eq!(all_products(way, &part, 0, &vec![0.0; width]), [0.0; 16], "{stored:?}");
            // Beside a huge input others of its block are kept to 2^-23 of it.
            let mut x: Vec<f32> = bytes(width, 3).iter().map(|b| f32::from(*b) / 128.0 - 1.0).collect();
            x[100] = 1e6;
            let found = all_products(way, &part, 0, &x);
            for (o, found) in found.iter().enumerate() {
                let (sum, size) = plain(&part, o, &x);
                let mut weights = vec![0.0; width];
                part.unpack(o, &mut weights);
                let beside: f32 = weights[96..128].iter().map(|weight| weight.abs()).sum();
                let limit = 4e-6 * size + f64::from(beside) * 1e6 * 2f64.powi(-23);
                assert!((f64::from(*found) - sum).abs() < limit, "{stored:?}: {found} for {sum}");
            }
            // All of one sign and size: the largest sums of digits that there are.
            for value in [1.0, -1.0] {
                let x = vec![value; width];
                for (o, found) in all_products(way, &part, 0, &x).iter().enumerate() {
                    let (sum, size) = plain(&part, o, &x);
                    assert!((f64::from(*found) - sum).abs() < 4e-6 * size, "{stored:?}: {found} for {sum}");
                }
            }
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                x[100] = bad;
                let found = all_products(way, &part, 0, &x);
                // In floats what is infinite may stay so.
                let is_lost = |product: &f32| product.is_nan() || way.is_none() && product.is_infinite();
                assert!(found.iter().all(is_lost), "{stored:?}");
            }
        }
    }
}
