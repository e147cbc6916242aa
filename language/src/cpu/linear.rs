//! How is a matrix of weights multiplied with few rows, and with many?

use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use super::kernels::row_products;
use crate::error::LanguageError;

/// Up to this many input rows our own loops win; beyond, burn's blocked product does.
const FEW_ROWS: usize = 8;
/// Weights that one task reads; small enough to share out evenly, large enough to be worth a task.
const TASK_WEIGHTS: usize = 1 << 16;

/// A matrix `[out, in]`, kept once and seen both as a slice and as a burn tensor.
pub(super) struct Linear {
    numbers: Bytes,
    tensor: Tensor<2>,
    bias: Option<Vec<f32>>,
    out_features: usize,
    in_features: usize,
}

impl Linear {
    pub(super) fn new(
        weight: Vec<f32>,
        in_features: usize,
        bias: Option<Vec<f32>>,
        device: &Device,
    ) -> Linear {
        let out_features = weight.len() / in_features;
        let numbers = Bytes::from_elems(weight).shared();
        let data = TensorData::from_bytes(numbers.clone(), [out_features, in_features], DType::F32);
        Linear { numbers, tensor: Tensor::from_data(data, device), bias, out_features, in_features }
    }

    pub(super) fn out_features(&self) -> usize {
        self.out_features
    }

    /// All weights, row after row.
    pub(super) fn weights(&self) -> &[f32] {
        bytemuck::cast_slice(&self.numbers)
    }

    /// `x`: `[rows, in]` → `[rows, out]`.
    pub(super) fn forward(&self, x: Vec<f32>, device: &Device) -> Result<Vec<f32>, LanguageError> {
        let rows = x.len() / self.in_features;
        let mut out = match rows {
            0 => Vec::new(),
            1..=FEW_ROWS => self.few_rows(&x, rows),
            _ => {
                let x = Tensor::<2>::from_data(TensorData::new(x, [rows, self.in_features]), device);
                x.matmul(self.tensor.clone().transpose())
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

    fn few_rows(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let weights = self.weights();
        let mut products = vec![0.0; self.out_features * rows];
        let task_rows = (TASK_WEIGHTS / self.in_features).max(1);
        products
            .par_chunks_mut(task_rows * rows)
            .zip(weights.par_chunks(task_rows * self.in_features))
            .for_each(|(out, weights)| row_products(weights, x, self.in_features, rows, out));
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
