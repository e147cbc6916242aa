//! The few operations that everything else is made of, in one place so that they can be made fast.
//!
//! On the processor, those that are made of exponentials run on our own vectorised loops, for burn's call
//! the C library number by number; elsewhere, and in other precisions, they are burn's.

mod amx;
mod attention;
mod bf16;
mod by_rows;
mod convolution;
mod elementwise;
mod exponential;
mod group_norm;
mod host;
pub mod layers;
mod products;
#[cfg(test)]
mod reference;
mod shape;
mod three_parts;
mod vectors;
mod weight;
mod winograd;

pub use by_rows::conv2d_by_rows;

use burn::nn::GroupNorm;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor, activation, module};

use crate::ops::layers::{Conv2d, Linear};

/// `x · sigmoid(x)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match host::is_host(&x) {
        true => host::edit(x, elementwise::silu),
        false => activation::silu(x),
    }
}

/// `x · Φ(x)`, by the error function.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match host::is_host(&x) {
        true => host::edit(x, elementwise::gelu),
        false => activation::gelu(x),
    }
}

/// `x · sigmoid(1.702 x)`.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match host::is_host(&x) {
        true => host::edit(x, elementwise::quick_gelu),
        false => x.clone() * activation::sigmoid(x * 1.702),
    }
}

/// `hidden · gelu(gate)`, the two halves of the last axis.
pub fn geglu(projected: Tensor<3>) -> Tensor<3> {
    let [batch, rows, width] = projected.dims();
    let half = width / 2;
    if host::is_host(&projected) {
        return host::replace(projected, [batch, rows, half], |values| elementwise::geglu(values, half));
    }
    projected.clone().narrow(2, 0, half) * gelu(projected.narrow(2, half, half))
}

/// [`geglu`] of what `linear` makes of every row.
pub fn linear_geglu(linear: &Linear, input: Tensor<3>) -> Tensor<3> {
    match linear.gate(&input) {
        Some(matrix) => linear.forward_gated(matrix, input),
        None => geglu(linear.forward(input)),
    }
}

/// `x` above zero, `slope · x` below.
pub fn leaky_relu<const D: usize>(x: Tensor<D>, slope: f64) -> Tensor<D> {
    match host::is_host(&x) {
        true => host::edit(x, |values| elementwise::leaky_relu(values, slope as f32)),
        false => activation::leaky_relu(x, slope),
    }
}

/// Group normalisation.
pub fn group_norm(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    match host::is_host(&x) {
        true => group_norm::on_host(norm, x, false),
        false => norm.forward(x),
    }
}

/// Group normalisation, followed by SiLU.
pub fn group_norm_silu(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    match host::is_host(&x) {
        true => group_norm::on_host(norm, x, true),
        false => silu(norm.forward(x)),
    }
}

/// A convolution.
pub fn conv2d(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    conv.forward(x)
}

/// Scaled dot-product attention of `heads` heads.
///
/// `query`: `[batch, n, heads · d]`, `key` and `value`: `[batch, m, heads · d]` → `[batch, n, heads · d]`.
pub fn attention(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    match host::is_host(&query) && host::is_host(&key) && host::is_host(&value) {
        true => attention::on_host(query, key, value, heads),
        false => masked_attention(query, key, value, heads, None),
    }
}

/// [`attention`] whose products are in bf16 where it runs on the processor.
pub fn attention_in_bf16(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    if !(host::is_host(&query) && host::is_host(&key) && host::is_host(&value)) {
        return attention(query, key, value, heads);
    }
    let ([batch, queries, width], [_, keys, _]) = (query.dims(), key.dims());
    let (query, key, value) = (host::values(query), host::values(key), host::values(value));
    host::tensor(
        bf16::attention(&query, &key, &value, [batch, queries, keys, heads]),
        [batch, queries, width],
    )
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

#[cfg(test)]
mod tests {
    use burn::module::{Param, ParamId};
    use burn::nn::{self, GroupNormConfig};
    use burn::tensor::{DType, Device, Distribution};

    use super::layers::{Conv2dConfig, Linear, LinearConfig};
    use super::*;

    /// Numbers up to some twenty, added in another order: a wrong loop is off by far more.
    const ROUNDING: f32 = 1e-4;

    fn random<const D: usize>(shape: [usize; D], spread: f64) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.1, spread), &Device::flex())
    }

    fn distance<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).abs().max().into_scalar::<f32>()
    }

    #[test]
    fn our_loops_agree_with_burns() {
        let x = random([3, 17, 70], 4.0);
        assert!(distance(silu(x.clone()), activation::silu(x.clone())) < ROUNDING);
        assert!(distance(gelu(x.clone()), activation::gelu(x.clone())) < ROUNDING);
        assert!(
            distance(quick_gelu(x.clone()), x.clone() * activation::sigmoid(x.clone() * 1.702)) < ROUNDING
        );
        let leaky = activation::leaky_relu(x.clone(), 0.2);
        assert!(distance(leaky_relu(x.clone(), 0.2), leaky) < ROUNDING);
        let halves = (x.clone().narrow(2, 0, 35), x.clone().narrow(2, 35, 35));
        assert!(distance(geglu(x), halves.0 * activation::gelu(halves.1)) < ROUNDING);

        let picture = random([2, 24, 9, 5], 3.0);
        let norm = GroupNormConfig::new(8, 24).init(&Device::flex());
        assert!(distance(group_norm(&norm, picture.clone()), norm.forward(picture.clone())) < ROUNDING);
        let expected = activation::silu(norm.forward(picture.clone()));
        assert!(distance(group_norm_silu(&norm, picture), expected) < ROUNDING);
    }

    /// What burn's own layer makes of it.
    fn by_burn(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
        let conv = nn::conv::Conv2d {
            weight: Param::initialized(ParamId::new(), conv.weight.val()),
            bias: conv.bias.clone(),
            stride: conv.stride,
            kernel_size: conv.kernel_size,
            dilation: conv.dilation,
            groups: conv.groups,
            padding: conv.padding.clone(),
        };
        conv.forward(x)
    }

    #[test]
    fn convolutions_agree_with_burns() {
        use burn::nn::PaddingConfig2d::{Explicit, Valid};
        for (channels, side, padding, stride, height, width) in [
            ([5, 11], 3, Explicit(1, 1, 1, 1), 1, 9, 7),
            ([5, 11], 3, Explicit(1, 1, 1, 1), 2, 9, 8),
            ([5, 11], 3, Explicit(0, 0, 1, 1), 2, 8, 6),
            ([5, 11], 3, Explicit(2, 1, 0, 2), 1, 5, 6),
            ([5, 11], 3, Explicit(1, 1, 1, 1), 1, 1, 1),
            ([5, 11], 3, Valid, 1, 6, 3),
            // As large as the matrix unit and Winograd's sums want it.
            ([40, 70], 3, Explicit(1, 1, 1, 1), 1, 15, 14),
            ([64, 64], 3, Explicit(2, 0, 1, 1), 1, 17, 20),
            ([64, 40], 1, Valid, 1, 9, 11),
            ([64, 40], 1, Explicit(1, 0, 0, 2), 1, 9, 11),
            ([20, 24], 3, Explicit(1, 1, 1, 1), 1, 15, 14),
            // What our loops leave to burn.
            ([40, 40], 1, Valid, 2, 9, 11),
            ([40, 40], 5, Explicit(2, 2, 2, 2), 1, 9, 11),
            // More than fits into one strip of columns.
            ([64, 2], 3, Explicit(1, 1, 1, 1), 1, 150, 140),
        ] {
            let conv = Conv2dConfig::new(channels, [side, side])
                .with_padding(padding.clone())
                .with_stride([stride, stride])
                .init(&Device::flex());
            let x = random([2, channels[0], height, width], 2.0);
            let far = distance(conv2d(&conv, x.clone()), by_burn(&conv, x));
            assert!(far < ROUNDING, "{channels:?} {side} {padding:?} {stride} {height} {width}: {far}");
        }
        // Weights and bias in another type than the numbers.
        let mut halves = Conv2dConfig::new([40, 36], [3, 3]).init(&Device::flex());
        let x = random([1, 40, 12, 12], 1.0);
        let expected = by_burn(&halves, x.clone());
        let half = |bias: Param<Tensor<1>>| Param::initialized(bias.id, bias.val().cast(DType::F16));
        halves.bias = halves.bias.map(half);
        halves.weight = Param::initialized(ParamId::new(), halves.weight.val().cast(DType::F16)).into();
        assert!(distance(conv2d(&halves, x), expected) < 1e-2);
        let grouped = Conv2d { groups: 2, ..Conv2dConfig::new([20, 40], [3, 3]).init(&Device::flex()) };
        let x = random([1, 40, 12, 12], 2.0);
        assert!(distance(conv2d(&grouped, x.clone()), by_burn(&grouped, x)) < ROUNDING);
        let none = Conv2dConfig::new([40, 40], [3, 3]).init(&Device::flex());
        assert_eq!(conv2d(&none, Tensor::zeros([0, 40, 9, 9], &Device::flex())).dims(), [0, 40, 7, 7]);
    }

    #[test]
    fn layers_agree_with_burns_and_samples_with_themselves_alone() {
        for (rows, inputs, outputs) in [(77, 70, 50), (300, 320, 96), (5, 64, 64)] {
            let layer = LinearConfig::new(inputs, outputs).init(&Device::flex());
            let weight = layer.weight.val();
            let x = random([2, rows, inputs], 1.0);
            let together = layer.forward(x.clone());
            let bias = layer.bias.as_ref().unwrap().val().unsqueeze::<3>();
            let expected = x.clone().matmul(weight.clone().unsqueeze()) + bias;
            assert!(distance(together.clone(), expected.clone()) < ROUNDING, "{rows} {inputs}");
            let alone = layer.forward(x.clone().narrow(0, 1, 1)).into_data();
            assert_eq!(alone, together.narrow(0, 1, 1).into_data(), "{rows} {inputs}");
            // A weight that lies the other way round, as one does that a LoRA was merged into.
            let turned = weight.transpose().clone().into_data();
            let turned = Tensor::<2>::from_data(turned, &Device::flex()).transpose();
            let turned =
                Linear { weight: Param::initialized(ParamId::new(), turned).into(), ..layer.clone() };
            assert!(distance(turned.forward(x), expected) < ROUNDING, "{rows} {inputs}");
        }
        // Rows of two axes are samples: eighty of them are as one.
        let layer = LinearConfig::new(64, 96).init(&Device::flex());
        let x = random([80, 64], 1.0);
        let one = layer.forward(x.clone().narrow(0, 7, 1)).into_data();
        assert!(distance(Tensor::from_data(one, &Device::flex()), layer.forward(x).narrow(0, 7, 1)) < 1e-6);
    }

    #[test]
    fn attention_agrees_with_burns_at_every_size() {
        for (batch, queries, keys, heads, width) in
            [(1, 1, 1, 1, 1), (2, 200, 77, 5, 40), (1, 130, 130, 1, 64), (2, 65, 300, 2, 18)]
        {
            let query = random([batch, queries, width], 2.0);
            let (key, value) = (random([batch, keys, width], 2.0), random([batch, keys, width], 2.0));
            let expected = masked_attention(query.clone(), key.clone(), value.clone(), heads, None);
            assert!(
                distance(attention(query, key, value, heads), expected) < ROUNDING,
                "{queries} {keys} {heads}"
            );
        }
    }

    #[test]
    fn what_is_a_view_is_read_as_it_lies() {
        let x = random([4, 6, 8], 1.0);
        let turned = x.clone().swap_dims(1, 2);
        assert!(distance(silu(turned.clone()).swap_dims(1, 2), activation::silu(x.clone())) < ROUNDING);
        // The original is not written over.
        let before = x.clone().into_data();
        let _ = silu(x.clone());
        assert_eq!(before, x.into_data());
    }
}
