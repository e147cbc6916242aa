//! How is a matrix of weights multiplied with few rows, and with many?

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use super::kernels::row_products;
use super::packed_products::{block_sums, packed_products};
use crate::error::LanguageError;
use crate::weights::{PackedRows, StoredType};

/// Up to this many input rows our own loops win; beyond, burn's blocked product does.
const FEW_ROWS: usize = 8;
/// Weights that one task reads; small enough to share out evenly, large enough to be worth a task.
const TASK_WEIGHTS: usize = 1 << 16;

/// A matrix `[out, in]`, in memory once.
pub(super) struct Linear {
    weights: Weights,
    bias: Option<Vec<f32>>,
    out_features: usize,
    in_features: usize,
}

#[allow(
    clippy::large_enum_variant,
    reason = "a model has some hundred of them, and each is read for every token"
)]
enum Weights {
    /// Plain floats, seen both as a slice and as a burn tensor.
    Plain { numbers: Bytes, tensor: Tensor<2> },
    /// As the file stores them, a part after the other, and unpacked where they are used: reading four bits and
    /// unpacking them is faster than reading the 32 bits that they mean, and nothing is rounded on the way.
    Packed(Vec<PackedRows>),
}

impl Linear {
    /// A matrix whose rows are those of `parts`, all of the same width.
    pub(super) fn new(parts: Vec<PackedRows>, bias: Option<Vec<f32>>, device: &Device) -> Linear {
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
            let numbers = Bytes::from_elems(plain).shared();
            let data = TensorData::from_bytes(numbers.clone(), [out_features, in_features], DType::F32);
            Weights::Plain { numbers, tensor: Tensor::from_data(data, device) }
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
            Weights::Plain { numbers, .. } => {
                let numbers: &[f32] = bytemuck::cast_slice(numbers);
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
    pub(super) fn forward(&self, x: Vec<f32>, device: &Device) -> Result<Vec<f32>, LanguageError> {
        let rows = x.len() / self.in_features;
        let mut out = match rows {
            0 => Vec::new(),
            1..=FEW_ROWS => self.few_rows(&x, rows),
            _ => {
                let weights = match &self.weights {
                    Weights::Plain { tensor, .. } => tensor.clone(),
                    Weights::Packed(parts) => self.unpacked(parts, device),
                };
                let x = Tensor::<2>::from_data(TensorData::new(x, [rows, self.in_features]), device);
                x.matmul(weights.transpose())
                    .into_data()
                    .try_into_vec::<f32>()
                    .map_err(|error| LanguageError::malformed("matrix product", format!("{error:?}")))?
            }
        };
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.out_features) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
        Ok(out)
    }

    /// All weights as a tensor, for one use.
    fn unpacked(&self, parts: &[PackedRows], device: &Device) -> Tensor<2> {
        let width = self.in_features;
        let mut numbers = vec![0.0; self.out_features * width];
        let task_rows = (TASK_WEIGHTS / width).max(1);
        let mut rest = numbers.as_mut_slice();
        for part in parts {
            let (own, after) = rest.split_at_mut(part.rows() * width);
            own.par_chunks_mut(task_rows * width)
                .enumerate()
                .for_each(|(task, out)| part.unpack(task * task_rows, out));
            rest = after;
        }
        Tensor::from_data(TensorData::new(numbers, [self.out_features, width]), device)
    }

    fn few_rows(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let width = self.in_features;
        let task_rows = (TASK_WEIGHTS / width).max(1);
        let mut products = vec![0.0; self.out_features * rows];
        match &self.weights {
            Weights::Plain { numbers, .. } => {
                let weights: &[f32] = bytemuck::cast_slice(numbers);
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
