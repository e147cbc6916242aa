//! The few operations that everything else is made of, in one place so that they can be made fast.

use burn::nn::GroupNorm;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor, activation, module};

/// `x · sigmoid(x)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

/// `x · Φ(x)`, by the error function.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// `x · sigmoid(1.702 x)`.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x * 1.702)
}

/// `hidden · gelu(gate)`, the two halves of the last axis.
pub fn geglu(projected: Tensor<3>) -> Tensor<3> {
    let mut halves = projected.chunk(2, 2).into_iter();
    match (halves.next(), halves.next()) {
        (Some(hidden), Some(gate)) => hidden * gelu(gate),
        _ => unreachable!("two chunks were asked for"),
    }
}

/// Group normalisation, followed by SiLU.
pub fn group_norm_silu(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    silu(norm.forward(x))
}

/// Scaled dot-product attention of `heads` heads.
///
/// `query`: `[batch, n, heads · d]`, `key` and `value`: `[batch, m, heads · d]` → `[batch, n, heads · d]`.
pub fn attention(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    masked_attention(query, key, value, heads, None)
}

/// [`attention`] in which a query may not look where `mask` (`[batch, 1, n, m]`) is true.
pub fn masked_attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
    mask: Option<Tensor<4, Bool>>,
) -> Tensor<3> {
    let [batch, queries, width] = query.dims();
    let split = |x: Tensor<3>| {
        let length = x.dims()[1];
        x.reshape([batch, length, heads, width / heads]).swap_dims(1, 2)
    };
    let (query, key, value) = (split(query), split(key), split(value));
    let mask = mask.map(|mask| {
        let keys = key.dims()[2];
        mask.expand([batch, heads, queries, keys])
    });
    module::attention(query, key, value, mask, None, AttentionModuleOptions::default())
        .swap_dims(1, 2)
        .reshape([batch, queries, width])
}
