//! Layers of weights as burn has them, in bf16 where their weights are packed, and by our own loops in single precision where these are
//! faster.

use burn::module::{Module, Param, ParamId};
use burn::nn;
use burn::nn::{Initializer, PaddingConfig2d};
use burn::tensor::{DType, Device, Tensor};

use super::bf16::{self, PackedMatrix, Surroundings};
use super::shape::Shape;
use super::three_parts::{self, Bias, Rows};
use super::weight::Weight;
use super::{convolution, host};

/// A bias on the processor in single precision.
pub(super) fn numbers(bias: &Param<Tensor<1>>) -> Vec<f32> {
    let bias = bias.val();
    host::values(if bias.dtype() == DType::F32 { bias } else { bias.cast(DType::F32) })
}

/// Shape of a [`Linear`].
#[derive(Debug, Clone)]
pub struct LinearConfig(nn::LinearConfig);

impl LinearConfig {
    /// From `inputs` numbers to `outputs`.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self(nn::LinearConfig::new(inputs, outputs))
    }

    /// Whether a bias is added; it is unless this says otherwise.
    pub fn with_bias(self, bias: bool) -> Self {
        Self(self.0.with_bias(bias))
    }

    /// What the weights are before any are loaded.
    pub fn with_initializer(self, initializer: Initializer) -> Self {
        Self(self.0.with_initializer(initializer))
    }

    /// A layer whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Linear {
        let nn::Linear { weight, bias } = self.0.init(device);
        Linear { weight: weight.into(), bias }
    }
}

/// Rows times a matrix.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`.
    pub weight: Weight<2>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// The matrix for [`forward_gated`](Self::forward_gated), if that takes this input.
    pub(super) fn gate(&self, input: &Tensor<3>) -> Option<&PackedMatrix> {
        self.weight.matrix().filter(|matrix| matrix.has_gate() && host::is_host(input))
    }

    /// The first half of every row of what [`forward`](Self::forward) gives times the gelu of the second, in one pass.
    pub(super) fn forward_gated(&self, matrix: &PackedMatrix, input: Tensor<3>) -> Tensor<3> {
        let ([batch, rows, width], [inputs, outputs]) = (input.dims(), matrix.dims());
        assert_eq!(inputs, width, "rows of {width} numbers for a matrix of {inputs}");
        let bias = self.bias.as_ref().map(numbers);
        host::replace(input, [batch, rows, outputs / 2], |values| {
            bf16::multiply_gated(matrix, bias.as_deref(), &values)
        })
    }

    /// `[…, inputs]` → `[…, outputs]`.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        if let (Some(matrix), true) = (self.weight.matrix(), host::is_host(&input)) {
            let mut shape = input.dims();
            let ([inputs, outputs], last) = (matrix.dims(), shape[D - 1]);
            assert_eq!(inputs, last, "rows of {last} numbers for a matrix of {inputs}");
            shape[D - 1] = outputs;
            let bias = self.bias.as_ref().map(numbers);
            return host::replace(input, shape, |rows| bf16::multiply(matrix, bias.as_deref(), &rows));
        }
        let weight = self.weight.val_as(input.dtype());
        if in_parts(&weight, &input) {
            let mut shape = input.dims();
            let ([inputs, outputs], rows) = (weight.dims(), shape[..D - 1].iter().product());
            shape[D - 1] = outputs;
            let bias = self.bias.as_ref().map(numbers).map_or(Bias::None, Bias::Positions);
            let matrices = Shape::of_matrices(rows, inputs, outputs);
            return host::replace(input, shape, |rows| {
                three_parts::convolve(&Rows::Here(&rows), &Rows::Held(weight), &bias, matrices)
            });
        }
        nn::Linear { weight: Param::initialized(ParamId::from(0), weight), bias: self.bias.clone() }
            .forward(input)
    }
}

/// Rows of a sample below which packing the weights takes as long as the plain product.
const ROWS_MIN: usize = 72;

/// Whether the matrix unit is asked in the place of burn. What one sample asks decides, for its numbers must be the same alone and
/// among others: rows of two axes are samples.
fn in_parts<const D: usize>(weight: &Tensor<2>, input: &Tensor<D>) -> bool {
    let dims = input.dims();
    let [.., rows, last] = dims[..] else { return false };
    let [inputs, outputs] = weight.dims();
    D >= 3
        && rows >= ROWS_MIN
        && last == inputs
        && !dims.contains(&0)
        && host::is_host(input)
        && host::is_host(weight)
        && three_parts::pays(Shape::of_matrices(rows, inputs, outputs))
}

/// Shape of a [`Conv2d`].
#[derive(Debug, Clone)]
pub struct Conv2dConfig(nn::conv::Conv2dConfig);

impl Conv2dConfig {
    /// From so many channels to so many, with a kernel of a height and a width.
    pub fn new(channels: [usize; 2], kernel_size: [usize; 2]) -> Self {
        Self(nn::conv::Conv2dConfig::new(channels, kernel_size))
    }

    /// Pixels from one output to the next; 1 unless this says otherwise.
    pub fn with_stride(self, stride: [usize; 2]) -> Self {
        Self(self.0.with_stride(stride))
    }

    /// Zeros around the picture; none unless this says otherwise.
    pub fn with_padding(self, padding: PaddingConfig2d) -> Self {
        Self(self.0.with_padding(padding))
    }

    /// Whether a bias is added; it is unless this says otherwise.
    pub fn with_bias(self, bias: bool) -> Self {
        Self(self.0.with_bias(bias))
    }

    /// A layer whose weights are still to be loaded.
    pub fn init(&self, device: &Device) -> Conv2d {
        let conv = self.0.init(device);
        Conv2d {
            weight: conv.weight.into(),
            bias: conv.bias,
            stride: conv.stride,
            kernel_size: conv.kernel_size,
            dilation: conv.dilation,
            groups: conv.groups,
            padding: conv.padding,
        }
    }
}

/// A convolution of pictures.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[outputs, inputs / groups, height, width]`.
    pub weight: Weight<4>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Pixels from one output to the next.
    pub stride: [usize; 2],
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Pixels from one place of the kernel to the next.
    pub dilation: [usize; 2],
    /// Parts of the channels that know nothing of each other.
    pub groups: usize,
    /// Zeros around the picture.
    #[module(skip)]
    pub padding: PaddingConfig2d,
}

impl Conv2d {
    /// `[batch, inputs, height, width]` → `[batch, outputs, …]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        if let (Some(weights), Some(around), true) =
            (self.weight.convolution(), self.surroundings(), host::is_host(&input))
        {
            let [batch, channels, height, width] = input.dims();
            let inputs = weights.dims()[1];
            assert_eq!(inputs, channels, "{channels} channels for a kernel of {inputs}");
            let bias = self.bias.as_ref().map(numbers);
            let values = host::values(input);
            let (out, [outputs, height, width]) =
                bf16::convolve(weights, bias.as_deref(), &values, [height, width], around);
            return host::tensor(out, [batch, outputs, height, width]);
        }
        let weight = self.weight.val_as(input.dtype());
        if host::is_host(&input)
            && host::is_host(&weight)
            && let Some(plan) = convolution::plan(self, &weight, &input)
        {
            return convolution::on_host(self, weight, input, plan);
        }
        let conv = nn::conv::Conv2d {
            weight: Param::initialized(ParamId::from(0), weight),
            bias: self.bias.clone(),
            stride: self.stride,
            kernel_size: self.kernel_size,
            dilation: self.dilation,
            groups: self.groups,
            padding: self.padding.clone(),
        };
        conv.forward(input)
    }

    /// What is around the picture; none where that is not computed in bf16.
    fn surroundings(&self) -> Option<Surroundings> {
        let padding = match self.padding {
            PaddingConfig2d::Explicit(top, left, bottom, right) => [top, left, bottom, right],
            PaddingConfig2d::Valid => [0; 4],
            _ => return None,
        };
        let plain = self.groups == 1 && self.dilation == [1, 1] && self.stride[0] == self.stride[1];
        (plain && self.stride[0] > 0).then_some(Surroundings { padding, stride: self.stride[0] })
    }
}
