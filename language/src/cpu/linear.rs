//! How is a matrix of weights multiplied with few rows, and with many?

use rayon::prelude::*;

use super::kernels::{LANES, row_products, transpose};
use super::matrix_product::{Matrix, multiply};
use super::packed_products::{block_sums, packed_products};
use crate::weights::{PackedRows, StoredType};

/// Up to this many input rows loops over weight rows win; beyond, blocked products do.
const FEW_ROWS: usize = 8;
/// Weights that one task reads; small enough to share out evenly, large enough to be worth a task.
const TASK_WEIGHTS: usize = 1 << 16;
/// Weight rows of a block that is multiplied with many input rows; a multiple of what the product's kernels take at once.
const BLOCK_ROWS: usize = 96;
/// Input rows that are multiplied at once, so that they stay near as well.
const ROWS_AT_ONCE: usize = 256;
/// Wider rows than this come in smaller blocks, so that a block stays in the second cache.
const WIDE: usize = 2048;

/// A matrix `[out, in]`, in memory once.
pub(super) struct Linear {
    weights: Weights,
    bias: Option<Vec<f32>>,
    out_features: usize,
    in_features: usize,
}

enum Weights {
    /// Plain floats.
    Plain(Vec<f32>),
    /// As the file stores them, a part after the other, and unpacked where they are used: reading four bits and
    /// unpacking them is faster than reading the 32 bits that they mean, and nothing is rounded on the way.
    Packed(Vec<PackedRows>),
}

impl Linear {
    /// A matrix whose rows are those of `parts`, all of the same width.
    pub(super) fn new(parts: Vec<PackedRows>, bias: Option<Vec<f32>>) -> Linear {
        let in_features = parts.first().map_or(1, |part| part.width);
        let out_features = parts.iter().map(PackedRows::rows).sum();
        let weights = if parts.iter().all(|part| part.stored == StoredType::F32) {
            let mut plain = vec![0.0; out_features * in_features];
            let mut rest = plain.as_mut_slice();
            for part in parts {
                let (own, after) = rest.split_at_mut(part.rows() * in_features);
                part.unpack(0, own);
                rest = after;
            }
            Weights::Plain(plain)
        } else {
            Weights::Packed(parts)
        };
        Linear { weights, bias, out_features, in_features }
    }

    pub(super) fn out_features(&self) -> usize {
        self.out_features
    }

    /// Appends one row of weights to `out`; false if there is no such row.
    pub(super) fn push_row(&self, mut row: usize, out: &mut Vec<f32>) -> bool {
        let width = self.in_features;
        match &self.weights {
            Weights::Plain(numbers) => {
                let Some(found) = numbers.get(row.saturating_mul(width)..).and_then(|rest| rest.get(..width))
                else {
                    return false;
                };
                out.extend_from_slice(found);
                true
            }
            Weights::Packed(parts) => {
                for part in parts {
                    if row < part.rows() {
                        let start = out.len();
                        out.resize(start + width, 0.0);
                        part.unpack(row, &mut out[start..]);
                        return true;
                    }
                    row -= part.rows();
                }
                false
            }
        }
    }

    /// `x`: `[rows, in]` → `[rows, out]`.
    pub(super) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.in_features;
        let mut out = match rows {
            0 => Vec::new(),
            1..=FEW_ROWS => self.few_rows(x, rows),
            _ => x.chunks(ROWS_AT_ONCE * self.in_features).flat_map(|x| self.many_rows(x)).collect(),
        };
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.out_features) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
        out
    }

    /// A block of weight rows is unpacked once and multiplied with all rows of `x` while it is near. The product runs
    /// along the rows of `x`: those lie side by side, so that no weight needs to be moved first.
    fn many_rows(&self, x: &[f32]) -> Vec<f32> {
        let width = self.in_features;
        let rows = x.len() / width;
        let stride = rows.next_multiple_of(LANES);
        let mut columns = vec![0.0; width * stride];
        transpose(x, width, &mut columns, stride);
        let columns = Matrix::new(columns.as_slice(), width, stride, stride);
        let block_rows = if width > WIDE { BLOCK_ROWS / 2 } else { BLOCK_ROWS };
        let product = |weights: &[f32]| {
            let count = weights.len() / width;
            let mut across = vec![0.0; count * stride];
            let weights = Matrix::new(weights, count, width, width);
            multiply(Matrix::new(&mut across, count, stride, stride), 0.0, weights, columns, 1.0);
            let mut out = vec![0.0; stride * count];
            transpose(&across, stride, &mut out, count);
            out
        };
        let blocks: Vec<Vec<f32>> = match &self.weights {
            Weights::Plain(weights) => weights.par_chunks(block_rows * width).map(product).collect(),
            Weights::Packed(parts) => parts
                .par_iter()
                .flat_map(|part| {
                    let starts = (0..part.rows()).into_par_iter().step_by(block_rows);
                    starts.map_init(Vec::new, move |unpacked, first| {
                        unpacked.resize((part.rows() - first).min(block_rows) * width, 0.0);
                        part.unpack(first, unpacked);
                        product(unpacked)
                    })
                })
                .collect(),
        };
        let mut out = vec![0.0; rows * self.out_features];
        out.par_chunks_mut(self.out_features).enumerate().for_each(|(row, mut out)| {
            for block in &blocks {
                let (own, rest) = std::mem::take(&mut out).split_at_mut(block.len() / stride);
                own.copy_from_slice(&block[row * own.len()..(row + 1) * own.len()]);
                out = rest;
            }
        });
        out
    }

    fn few_rows(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let width = self.in_features;
        let task_rows = (TASK_WEIGHTS / width).max(1);
        let mut products = vec![0.0; self.out_features * rows];
        match &self.weights {
            Weights::Plain(weights) => {
                products
                    .par_chunks_mut(task_rows * rows)
                    .zip(weights.par_chunks(task_rows * width))
                    .for_each(|(out, weights)| row_products(weights, x, width, rows, out));
            }
            Weights::Packed(parts) => {
                let sums = block_sums(x);
                let mut rest = products.as_mut_slice();
                for part in parts {
                    let (own, after) = rest.split_at_mut(part.rows() * rows);
                    own.par_chunks_mut(task_rows * rows)
                        .enumerate()
                        .for_each(|(task, out)| packed_products(part, task * task_rows, x, &sums, rows, out));
                    rest = after;
                }
            }
        }
        if rows == 1 {
            return products;
        }
        let mut out = vec![0.0; products.len()];
        for (o, column) in products.chunks_exact(rows).enumerate() {
            for (r, value) in column.iter().enumerate() {
                out[r * self.out_features + o] = *value;
            }
        }
        out
    }
}
