//! How are weights of few bits multiplied with many rows of inputs, where the processor multiplies no matrices?
//!
//! Two panels are unpacked to floats, sixteen rows to a vector, and multiplied with inputs that all rows of weights share.
//! A product is summed up from a row's beginning to its end, whatever stands beside it.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use pulp::{NullaryFnOnce, cast};

use super::interleaved::{GROUP, HALVES, HALVES_WITH_MINIMA, InterleavedRows, PANEL, SIGNED, SIX_BITS};
use super::interleaved_vectors::{IntegerProducts, Kind, with_kind};
use crate::weights::StoredType;

/// One number of each row of two panels.
type Column = [[f32; PANEL]; 2];

/// Multiplies weight rows from `first` on, with which a panel begins, with rows of inputs: as many as the slices of `out`
/// have room for with as many as there are slices.
pub(super) fn float_products(
    simd: IntegerProducts,
    weights: &InterleavedRows,
    first: usize,
    x: &[f32],
    out: &mut [&mut [f32]],
) {
    let outs = out.first().map_or(0, |row| row.len());
    let mut columns = vec![[[0.0; PANEL]; 2]; weights.width];
    for at in (0..outs).step_by(2 * PANEL) {
        for panel in 0..2 {
            if at + panel * PANEL < outs {
                let row = first + at + panel * PANEL;
                with_kind!(simd, weights.stored, unpack(weights, row, panel, &mut columns));
            }
        }
        simd.vectorize(Products { simd, columns: &columns, x, at, out });
    }
}

fn unpack<const BITS: usize, const SCALES: usize, const OFFSET: i32>(
    kind: Kind<BITS, SCALES, OFFSET>,
    weights: &InterleavedRows,
    row: usize,
    panel: usize,
    out: &mut [Column],
) {
    kind.simd.vectorize(Unpack { kind, weights, row, panel, out });
}

/// Writes the numbers of the panel that begins with a row.
struct Unpack<'a, const BITS: usize, const SCALES: usize, const OFFSET: i32> {
    kind: Kind<BITS, SCALES, OFFSET>,
    weights: &'a InterleavedRows,
    row: usize,
    panel: usize,
    out: &'a mut [Column],
}

impl<const BITS: usize, const SCALES: usize, const OFFSET: i32> NullaryFnOnce
    for Unpack<'_, BITS, SCALES, OFFSET>
{
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (kind, layout) = (self.kind, Kind::<BITS, SCALES, OFFSET>::LAYOUT);
        let (numbers, scales) = self.weights.panel(self.row);
        let numbers = numbers.chunks_exact(layout.groups() * layout.group_bytes());
        let out = self.out.chunks_exact_mut(layout.groups() * GROUP);
        for ((scales, numbers), out) in scales.chunks_exact(SCALES).zip(numbers).zip(out) {
            let of_block = kind.block_scales(scales);
            let groups = numbers.chunks_exact(layout.group_bytes()).zip(out.chunks_exact_mut(GROUP));
            for (in_block, (numbers, out)) in groups.enumerate() {
                let numbers = kind.numbers(numbers);
                let scales = kind.scales(of_block, scales, in_block);
                for i in 0..GROUP {
                    let number = kind.number(numbers[i / 4], i % 4);
                    let factors = scales.factors[i / (GROUP / 2)];
                    let weight = kind.simd.avx512f._mm512_fmadd_ps(number, factors, scales.minima);
                    out[i][self.panel] = cast(weight);
                }
            }
        }
    }
}

/// The products of two panels and all rows of inputs.
struct Products<'a, 'o> {
    simd: IntegerProducts,
    columns: &'a [Column],
    x: &'a [f32],
    /// Where in the rows of `out` the panels' products begin.
    at: usize,
    out: &'a mut [&'o mut [f32]],
}

impl NullaryFnOnce for Products<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let (mut row, rows) = (0, self.out.len());
        while row < rows {
            row += match rows - row {
                12.. => self.tile::<12>(row),
                4.. => self.tile::<4>(row),
                _ => self.tile::<1>(row),
            };
        }
    }
}

impl Products<'_, '_> {
    #[inline(always)]
    fn tile<const ROWS: usize>(&mut self, row: usize) -> usize {
        let (wide, width) = (self.simd.avx512f, self.columns.len());
        let mut inputs: [&[f32]; ROWS] = [&[]; ROWS];
        for r in 0..ROWS {
            inputs[r] = &self.x[(row + r) * width..][..width];
        }
        let mut sums = [[wide._mm512_setzero_ps(); 2]; ROWS];
        for i in 0..width {
            let [left, right] = self.columns[i];
            let weights = [cast(left), cast(right)];
            for r in 0..ROWS {
                let input = wide._mm512_set1_ps(inputs[r][i]);
                for panel in 0..2 {
                    sums[r][panel] = wide._mm512_fmadd_ps(weights[panel], input, sums[r][panel]);
                }
            }
        }
        for r in 0..ROWS {
            let panels = self.out[row + r][self.at..].chunks_mut(PANEL);
            for (out, sums) in panels.zip(sums[r]) {
                let sums: [f32; PANEL] = cast(sums);
                out.copy_from_slice(&sums[..out.len()]);
            }
        }
        ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::packed_products::tests::{bytes, matrix};
    use crate::cpu::weight_memory::WeightMemory;

    #[test]
    fn products_agree_with_plain_arithmetic_and_do_not_depend_on_their_neighbours() {
        let Some(simd) = IntegerProducts::try_new() else { return };
        for stored in [StoredType::Q4_0, StoredType::Q5_1, StoredType::Q8_0, StoredType::Q4K, StoredType::Q6K]
        {
            let (width, outs, rows) = (512, 53, 18);
            let part = matrix(stored, width, outs);
            let weights = InterleavedRows::new(&part, &mut WeightMemory::default()).unwrap();
            let x: Vec<f32> = bytes(width * rows, 9).iter().map(|b| (f32::from(*b) - 100.3) / 77.0).collect();
            let products = |first: usize, x: &[f32]| {
                let mut out = vec![f32::NAN; x.len() / width * (outs - first)];
                let mut rows: Vec<_> = out.chunks_exact_mut(outs - first).collect();
                float_products(simd, &weights, first, x, &mut rows);
                out
            };
            let together = products(0, &x);
            let mut numbers = vec![0.0; width];
            for (row, x) in x.chunks_exact(width).enumerate() {
                let own = &together[row * outs..(row + 1) * outs];
                for (o, found) in own.iter().enumerate() {
                    part.unpack(o, &mut numbers);
                    let each = numbers.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                    let (sum, size) = each.fold((0.0, 1e-3), |(sum, size), it| (sum + it, size + it.abs()));
                    assert!((f64::from(*found) - sum).abs() < 2e-6 * size, "{stored:?} {row} {o}");
                }
                assert_eq!(products(0, x), own);
                assert_eq!(products(16, x), own[16..]);
            }
        }
    }
}
