//! Tensors on the processor as the slices they are.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Whether the numbers of a tensor lie in this process in single precision, and nothing asks for their gradients: our
/// loops have none.
pub(super) fn is_host<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.device() == Device::flex() && !x.is_autodiff()
}

/// The numbers in row order; not copied where there is no other holder.
pub(super) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    // On the processor a tensor of single precision is at hand, so that reading it cannot fail.
    x.into_data().try_into_vec().unwrap_or_default()
}

/// A tensor of these numbers.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F32))
}

/// Changes the numbers in place.
pub(super) fn edit<const D: usize>(x: Tensor<D>, change: impl FnOnce(&mut [f32])) -> Tensor<D> {
    let shape = x.dims();
    let mut values = values(x);
    change(&mut values);
    tensor(values, shape)
}

/// Makes other numbers of them.
pub(super) fn replace<const D: usize>(
    x: Tensor<D>,
    shape: [usize; D],
    change: impl FnOnce(Vec<f32>) -> Vec<f32>,
) -> Tensor<D> {
    tensor(change(values(x)), shape)
}
