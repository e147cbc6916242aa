//! Networks that make pictures larger, as `basicsr.archs` has them.

pub mod rrdb_net;
pub mod srvgg_compact;

use burn::tensor::Tensor;

/// `torch.nn.functional.pixel_unshuffle`: squares of `side` × `side` pixels become channels.
pub(crate) fn pixel_unshuffle(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let (height, width) = (height / side, width / side);
    let x = x.reshape([batch, channels, height, side, width, side]).permute([0, 1, 3, 5, 2, 4]);
    x.reshape([batch, channels * side * side, height, width])
}

/// `torch.nn.functional.pixel_shuffle`, the way back.
pub(crate) fn pixel_shuffle(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let channels = channels / (side * side);
    let x = x.reshape([batch, channels, side, side, height, width]).permute([0, 1, 4, 2, 5, 3]);
    x.reshape([batch, channels, height * side, width * side])
}
