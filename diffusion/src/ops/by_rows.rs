//! Convolutions of large pictures a few rows at a time: what goes in is then copied, and grown, row by row as well, and never stands
//! whole beside what comes out.

use burn::nn::PaddingConfig2d;
use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

use super::host;
use super::layers::Conv2d;

/// Pixels that come out below which the whole is made at once.
const PIXELS_MIN: usize = 256 * 256;
/// Pixels that are made at a time.
const PIXELS: usize = 1 << 15;
/// Rows that are taken at a time at least: two more go in for a kernel that reaches beyond them.
const ROWS_MIN: usize = 32;

/// What `conv` makes of `x` when each of its pixels is repeated `factor` times in both directions. `None` where that is done as well
/// or better at once: on other devices, for small pictures, and for a convolution that does not keep the size.
pub fn conv2d_by_rows(conv: &Conv2d, x: &Tensor<4>, factor: usize) -> Option<Tensor<4>> {
    let [batch, channels, height, width] = x.dims();
    let halo = match (conv.kernel_size, &conv.padding) {
        ([1, 1], PaddingConfig2d::Valid | PaddingConfig2d::Explicit(0, 0, 0, 0)) => 0,
        ([3, 3], PaddingConfig2d::Explicit(1, 1, 1, 1)) => 1,
        _ => return None,
    };
    let plain = conv.stride == [1, 1] && conv.dilation == [1, 1] && conv.groups == 1;
    let line = width * factor * factor;
    if !plain
        || !host::is_host(x)
        || conv.weight.is_autodiff()
        || batch * channels == 0
        || height * line < PIXELS_MIN
    {
        return None;
    }
    let outputs = conv.weight.dims()[0];
    let mut out = vec![0f32; batch * outputs * height * line];
    let rows = (PIXELS / line).max(ROWS_MIN);
    for first in (0..height).step_by(rows) {
        let end = height.min(first + rows);
        let (from, to) = (first.saturating_sub(halo), height.min(end + halo));
        let mut part = x.clone().narrow(2, from, to - from);
        if factor > 1 {
            let size = [(to - from) * factor, width * factor];
            part =
                interpolate(part, InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size));
        }
        let made = host::values(conv.forward(part));
        for (out, made) in out.chunks_exact_mut(height * line).zip(made.chunks_exact((to - from) * line)) {
            out[first * line..end * line].copy_from_slice(&made[(first - from) * line..(end - from) * line]);
        }
    }
    Some(host::tensor(out, [batch, outputs, height * factor, width * factor]))
}

#[cfg(test)]
mod tests {
    use burn::module::{Param, ParamId};
    use burn::tensor::{DType, Device, Distribution};

    use super::super::layers::Conv2dConfig;
    use super::*;

    #[test]
    fn rows_make_the_same_picture_as_the_whole() {
        let padded = PaddingConfig2d::Explicit(1, 1, 1, 1);
        for (side, padding, factor) in [
            (3, padded.clone(), 1),
            (3, padded, 2),
            (1, PaddingConfig2d::Valid, 1),
            (1, PaddingConfig2d::Valid, 2),
        ] {
            // As many channels as the matrix unit wants, and rows that parts do not divide evenly.
            let mut conv =
                Conv2dConfig::new([40, 34], [side, side]).with_padding(padding).init(&Device::flex());
            let x = Tensor::<4>::random(
                [2, 40, 270 / factor, 260 / factor],
                Distribution::Default,
                &Device::flex(),
            );
            let size = [270, 260];
            let nearest = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
            let grown = interpolate(x.clone(), nearest);
            for packed in [false, true] {
                if packed {
                    let short = conv.weight.val().cast(DType::BF16);
                    conv.weight = Param::initialized(ParamId::new(), short).into();
                }
                assert_eq!(conv.weight.is_packed(), packed);
                let whole = conv.forward(grown.clone());
                let by_rows = conv2d_by_rows(&conv, &x, factor).unwrap();
                let far = (by_rows - whole).abs().max().into_scalar::<f32>();
                assert!(far < 1e-5, "{side} {factor} {packed}: {far}");
            }
        }
    }

    #[test]
    fn what_is_small_or_changes_its_size_is_left_alone() {
        let wide = Tensor::<4>::zeros([1, 2, 300, 300], &Device::flex());
        let keeps = Conv2dConfig::new([2, 2], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
        assert!(conv2d_by_rows(&keeps.init(&Device::flex()), &wide, 1).is_some());
        assert!(conv2d_by_rows(&keeps.init(&Device::flex()), &wide.clone().narrow(2, 0, 9), 1).is_none());
        assert!(conv2d_by_rows(&keeps.with_stride([2, 2]).init(&Device::flex()), &wide, 1).is_none());
        assert!(conv2d_by_rows(&Conv2dConfig::new([2, 2], [3, 3]).init(&Device::flex()), &wide, 1).is_none());
    }
}
