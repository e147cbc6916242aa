//! Do the operations that the networks are made of give on a device what they give on the processor?
//!
//! `PLAYHOUSE_GOLDENS_DEVICE=vulkan:0` names the device; without it there is nothing to compare. Where the networks of
//! `goldens.rs` differ, this says by which operation.

mod support;

use burn::nn::{GroupNormConfig, LayerNormConfig, LinearConfig, PaddingConfig2d};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};
use diffusion::ops;
use diffusion::ops::layers::{Conv2d, Conv2dConfig};
use support::say;

/// Largest difference, as a part of the largest number of the result: sums of some hundred products in another order
/// differ by a few units of the last of 24 bits; a wrong kernel is off by far more.
const LIMIT: f64 = 2e-5;

/// Numbers between -1 and 1 that look drawn at random, the same on every machine.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn tensor<const D: usize>(device: &Device, shape: [usize; D], seed: u64) -> Tensor<D> {
    let values = numbers(shape.iter().product(), seed);
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

fn conv(
    device: &Device,
    channels: [usize; 2],
    side: usize,
    stride: usize,
    padding: PaddingConfig2d,
) -> Conv2d {
    let mut conv = Conv2dConfig::new(channels, [side, side])
        .with_stride([stride, stride])
        .with_padding(padding)
        .init(device);
    let [into, from] = [channels[1], channels[0]];
    conv.weight = burn::module::Param::from_tensor(tensor(device, [into, from, side, side], 91)).into();
    conv.bias = Some(burn::module::Param::from_tensor(tensor(device, [into], 92)));
    conv
}

/// The result of an operation on a device.
type Run = Box<dyn Fn(&Device) -> Vec<f32>>;
/// An operation, by name.
type Operation = (String, Run);

fn flat<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

fn operations() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    let mut add = |name: String, run: Run| all.push((name, run));
    add("upload and read".into(), Box::new(|device| flat(tensor(device, [3, 5], 1))));
    add("add".into(), Box::new(|device| flat(tensor(device, [7, 33], 1) + tensor(device, [7, 33], 2))));
    add("add a row".into(), Box::new(|device| flat(tensor(device, [7, 33], 1) + tensor(device, [1, 33], 2))));
    add("exp".into(), Box::new(|device| flat(tensor(device, [7, 33], 1).exp())));
    for [rows, inner, columns] in
        [[1, 32, 8], [4, 4, 4], [7, 33, 5], [16, 64, 64], [77, 32, 128], [130, 70, 90]]
    {
        let run = move |device: &Device| {
            flat(tensor(device, [rows, inner], 1).matmul(tensor(device, [inner, columns], 2)))
        };
        add(format!("matmul {rows}×{inner} by {inner}×{columns}"), Box::new(run));
        let run = move |device: &Device| {
            flat(tensor(device, [rows, inner], 1).matmul(tensor(device, [columns, inner], 2).transpose()))
        };
        add(format!("matmul {rows}×{inner} by a transposed {columns}×{inner}"), Box::new(run));
        let run = move |device: &Device| {
            flat(tensor(device, [2, 3, rows, inner], 1).matmul(tensor(device, [2, 3, inner, columns], 2)))
        };
        add(format!("matmul of six {rows}×{inner} by {inner}×{columns}"), Box::new(run));
        let run = move |device: &Device| {
            let mut linear = LinearConfig::new(inner, columns).init(device);
            linear.weight = burn::module::Param::from_tensor(tensor(device, [inner, columns], 2));
            linear.bias = Some(burn::module::Param::from_tensor(tensor(device, [columns], 3)));
            flat(linear.forward(tensor(device, [2, rows, inner], 1)))
        };
        add(format!("linear {rows}×{inner} to {columns}"), Box::new(run));
    }
    add("sum of an axis".into(), Box::new(|device| flat(tensor(device, [5, 37], 1).sum_dim(1))));
    add("maximum of an axis".into(), Box::new(|device| flat(tensor(device, [5, 37], 1).max_dim(1))));
    for [rows, width] in [[3, 7], [77, 77], [130, 32]] {
        let run = move |device: &Device| flat(activation::softmax(tensor(device, [rows, width], 1) * 9.0, 1));
        add(format!("softmax {rows}×{width}"), Box::new(run));
        let run = move |device: &Device| {
            flat(LayerNormConfig::new(width).init(device).forward(tensor(device, [2, rows, width], 1)))
        };
        add(format!("layer norm {rows}×{width}"), Box::new(run));
    }
    add("silu".into(), Box::new(|device| flat(ops::silu(tensor(device, [5, 37], 1) * 5.0))));
    add("gelu".into(), Box::new(|device| flat(ops::gelu(tensor(device, [5, 37], 1) * 5.0))));
    add("quick gelu".into(), Box::new(|device| flat(ops::quick_gelu(tensor(device, [5, 37], 1) * 5.0))));
    add("geglu".into(), Box::new(|device| flat(ops::geglu(tensor(device, [2, 5, 64], 1) * 5.0))));
    for groups in [1, 8, 32] {
        let run = move |device: &Device| {
            let norm = GroupNormConfig::new(groups, 32).init(device);
            flat(ops::group_norm_silu(&norm, tensor(device, [2, 32, 6, 5], 1)))
        };
        add(format!("group norm of {groups} and silu"), Box::new(run));
    }
    for (channels, side, stride, pad) in
        [([4, 32], 3, 1, 1), ([32, 64], 3, 2, 1), ([32, 4], 1, 1, 0), ([64, 64], 3, 1, 1), ([3, 32], 7, 7, 0)]
    {
        let run = move |device: &Device| {
            let padding = PaddingConfig2d::Explicit(pad, pad, pad, pad);
            flat(ops::conv2d(
                &conv(device, channels, side, stride, padding),
                tensor(device, [2, channels[0], 14, 14], 1),
            ))
        };
        add(
            format!("convolution {side}×{side} of {} to {}, stride {stride}", channels[0], channels[1]),
            Box::new(run),
        );
    }
    for [queries, keys, heads, width] in [[5, 5, 1, 8], [77, 77, 2, 32], [64, 77, 4, 32], [256, 256, 2, 80]] {
        let run = move |device: &Device| {
            let of = |rows, seed| tensor::<3>(device, [2, rows, width], seed);
            flat(ops::attention(of(queries, 1), of(keys, 2), of(keys, 3), heads))
        };
        add(format!("attention of {heads} heads, {queries} queries, {keys} keys"), Box::new(run));
    }
    let run = |device: &Device| {
        let mask: Vec<bool> = (0..77 * 77).map(|at| at % 77 > at / 77).collect();
        let mask = Tensor::<2, burn::tensor::Bool>::from_data(TensorData::new(mask, [77, 77]), device);
        let of = |seed| tensor::<3>(device, [2, 77, 32], seed);
        flat(ops::masked_attention(of(1), of(2), of(3), 4, Some(mask.reshape([1, 1, 77, 77]))))
    };
    add("attention behind a mask".into(), Box::new(run));
    let run = |device: &Device| {
        let ids = Tensor::<1, Int>::from_data(TensorData::new(vec![3i64, 0, 9, 9, 4], [5]), device);
        flat(tensor::<2>(device, [10, 33], 1).select(0, ids))
    };
    add("rows by number".into(), Box::new(run));
    let run = |device: &Device| {
        let [a, b] = [tensor::<4>(device, [2, 3, 4, 5], 1), tensor::<4>(device, [2, 2, 4, 5], 2)];
        flat(Tensor::cat(vec![a, b], 1).slice([0..2, 1..4]).swap_dims(1, 3))
    };
    add("join, slice and turn".into(), Box::new(run));
    let run = |device: &Device| {
        let x = tensor::<4>(device, [1, 3, 4, 5], 1);
        let options = burn::tensor::ops::InterpolateOptions::new(burn::tensor::ops::InterpolateMode::Nearest);
        flat(burn::tensor::module::interpolate(x, options.with_output_size([8, 10])))
    };
    add("enlarge to the nearest".into(), Box::new(run));
    all
}

#[test]
fn every_operation_gives_the_numbers_of_the_processor() {
    let Some(device) = support::other_device() else {
        say("skipped: PLAYHOUSE_GOLDENS_DEVICE names no device");
        return;
    };
    let only = std::env::var("PLAYHOUSE_OPERATION").unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, run) in operations().into_iter().filter(|(name, _)| name.contains(&only)) {
        let expected = run(&Device::flex());
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&device)));
        let Ok(found) = found else {
            say(&format!("{name}: failed"));
            wrong.push(name);
            continue;
        };
        let largest = expected.iter().fold(0f64, |most, value| most.max(f64::from(value.abs())));
        let error = match expected.len() == found.len() {
            false => f64::INFINITY,
            true => expected
                .iter()
                .zip(&found)
                .map(|(a, b)| f64::from((a - b).abs()))
                .fold(0.0, |worst: f64, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) }),
        };
        let is_right = error <= LIMIT * largest.max(1.0);
        say(&format!(
            "{}: {name}: error {error:.1e} of {largest:.1}",
            if is_right { "right" } else { "WRONG" }
        ));
        if !is_right {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{} operations differ: {wrong:#?}", wrong.len());
}
