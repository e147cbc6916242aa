//! Products of bf16 numbers, summed in f32: what layers whose weights are kept in bf16 compute with on the processor.
//!
//! Whatever the processor has, the same numbers go in: weights and what meets them are rounded to bf16 (nearest, ties to
//! even), each product is exact, sums are f32. The order of the sums is that of the instructions, so that processors
//! of different kinds differ in the last digits; on one machine the bytes are the same whatever the number of threads.

mod amx;
mod attention;
mod avx512;
mod convolution;
mod kernel;
mod linear;
mod pairs;
mod portable;
mod tiles;

pub(super) use attention::attention;
pub(crate) use convolution::{KERNEL_MAX, PackedConvolution};
pub(super) use convolution::{Surroundings, convolve};
pub(crate) use linear::PackedMatrix;
pub(super) use linear::{multiply, multiply_gated};
