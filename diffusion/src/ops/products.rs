//! Products of panels of eight rows with blocks of 64 columns, in single precision.
//!
//! A sum runs over the terms in their order, whatever stands beside it: so a sample gives the same numbers alone and among
//! others, and on any number of threads.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

/// Columns of a block.
pub(super) const BLOCK: usize = 64;
/// Rows of a panel, whose numbers lie side by side for each term.
pub(super) const ROWS: usize = 8;

/// A number for each column of a block; begins with a line of the cache, as vectors want it.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Row(pub [f32; BLOCK]);

impl Row {
    /// Of zeros.
    pub const ZERO: Self = Self([0.0; BLOCK]);
}

/// Adds to `sums[row][column]` the sum over the terms of `panel[term][row] · block[term][column]`.
pub(super) struct Add<'a> {
    /// The left side.
    pub panel: &'a [[f32; ROWS]],
    /// The right side, as many terms.
    pub block: &'a [Row],
    /// As many rows as a panel has.
    pub sums: &'a mut [Row],
    /// How many columns count; what stands in the others is of no meaning.
    pub count: usize,
    /// Whether `sums` holds nothing yet.
    pub first: bool,
}

impl Add<'_> {
    /// The columns from `from` on, as many as fit into `VECTORS`, of `COUNT` rows from `first` on.
    #[inline(always)]
    fn tile<S: Simd, const COUNT: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        first: usize,
        from: usize,
    ) {
        let range = from..from + VECTORS * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; COUNT];
        for (panel, block) in self.panel.iter().zip(self.block) {
            let columns = S::as_simd_f32s(&block.0[range.clone()]).0;
            let columns: [S::f32s; VECTORS] = std::array::from_fn(|v| columns[v]);
            for r in 0..COUNT {
                let number = simd.splat_f32s(panel[first + r]);
                for v in 0..VECTORS {
                    sums[r][v] = simd.mul_add_f32s(number, columns[v], sums[r][v]);
                }
            }
        }
        for r in 0..COUNT {
            let to = S::as_mut_simd_f32s(&mut self.sums[first + r].0[range.clone()]).0;
            for v in 0..VECTORS {
                to[v] = if self.first { sums[r][v] } else { simd.add_f32s(to[v], sums[r][v]) };
            }
        }
    }

    #[inline(always)]
    fn all<S: Simd, const COUNT: usize, const VECTORS: usize>(&mut self, simd: S) {
        for from in (0..self.count.min(BLOCK)).step_by(VECTORS * S::F32_LANES) {
            for first in (0..ROWS).step_by(COUNT) {
                self.tile::<S, COUNT, VECTORS>(simd, first, from);
            }
        }
    }
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        assert!(self.panel.len() == self.block.len() && self.sums.len() == ROWS);
        // As many sums as the registers hold beside what they are made of.
        match S::REGISTER_COUNT >= 32 {
            true => self.all::<S, ROWS, 2>(simd),
            false => self.all::<S, { ROWS / 2 }, 2>(simd),
        }
    }
}

/// Adds to `sums[row][column]` the sum over the terms of `rows[row][term] · block[term][column]`: the left side lies row by row
/// there, as what a block was multiplied to does.
pub(super) struct AddRows<'a> {
    /// The left side: up to [`BLOCK`] terms of each row.
    pub rows: &'a [Row],
    /// The right side: `width` columns of each term.
    pub block: &'a [f32],
    /// `width` columns of each row.
    pub sums: &'a mut [f32],
    /// Columns; whole vectors of every instruction set.
    pub width: usize,
}

impl AddRows<'_> {
    #[inline(always)]
    fn tile<S: Simd, const COUNT: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        first: usize,
        from: usize,
    ) {
        let range = from..from + VECTORS * S::F32_LANES;
        let rows: &[Row; COUNT] = self.rows[first..first + COUNT].as_array().unwrap_or(&[Row::ZERO; COUNT]);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; COUNT];
        for (term, block) in self.block.chunks_exact(self.width).enumerate().take(BLOCK) {
            let columns = S::as_simd_f32s(&block[range.clone()]).0;
            let columns: [S::f32s; VECTORS] = std::array::from_fn(|v| columns[v]);
            for r in 0..COUNT {
                let number = simd.splat_f32s(rows[r].0[term]);
                for v in 0..VECTORS {
                    sums[r][v] = simd.mul_add_f32s(number, columns[v], sums[r][v]);
                }
            }
        }
        for r in 0..COUNT {
            let to = &mut self.sums[(first + r) * self.width..(first + r + 1) * self.width];
            let to = S::as_mut_simd_f32s(&mut to[range.clone()]).0;
            for v in 0..VECTORS {
                to[v] = simd.add_f32s(to[v], sums[r][v]);
            }
        }
    }

    #[inline(always)]
    fn all<S: Simd, const COUNT: usize>(&mut self, simd: S) {
        for first in (0..ROWS).step_by(COUNT) {
            let mut from = 0;
            while from < self.width {
                let vectors = ((self.width - from) / S::F32_LANES).min(3);
                match vectors {
                    3 if COUNT == ROWS => self.tile::<S, COUNT, 3>(simd, first, from),
                    2.. => self.tile::<S, COUNT, 2>(simd, first, from),
                    _ => self.tile::<S, COUNT, 1>(simd, first, from),
                }
                from += if COUNT == ROWS { vectors } else { vectors.min(2) } * S::F32_LANES;
            }
        }
    }
}

impl WithSimd for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        assert!(
            self.rows.len() == ROWS
                && self.sums.len() == ROWS * self.width
                && self.width.is_multiple_of(BLOCK_LANES)
        );
        match S::REGISTER_COUNT >= 32 {
            true => self.all::<S, ROWS>(simd),
            false => self.all::<S, { ROWS / 2 }>(simd),
        }
    }
}

/// Numbers of the widest vectors.
pub(super) const BLOCK_LANES: usize = 16;
