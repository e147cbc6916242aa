//! How are rows of weights multiplied that are stored in fewer bits than they mean?
//!
//! A block of 32 numbers is `scale * q + minimum`, so its product with inputs is `scale * Σ q x + minimum * Σ x`: the
//! small whole numbers `q` are multiplied as they are unpacked, and the sums of inputs are made once for all rows. Types
//! without such a loop are unpacked a few rows at a time. Each loop is written once and compiled for every instruction
//! set that pulp detects.

use pulp::{Arch, Simd, WithSimd};

use super::kernels::row_products;
use crate::weights::{PackedRows, StoredType};

/// Numbers in a block of the types that are multiplied as they are.
const BLOCK: usize = 32;
/// With more input rows than this, unpacking once for all of them is faster.
const ROWS_MAX: usize = 2;
/// Packed weights that are unpacked at a time: they stay in the nearest cache until they are used.
const UNPACKED_NUMBERS: usize = 4096;

/// The sums of a whole number of blocks of inputs.
pub(super) fn block_sums(x: &[f32]) -> Vec<f32> {
    x.chunks(BLOCK).map(|block| block.iter().sum()).collect()
}

/// Multiplies weight rows from `first` on with `rows` input rows, `out` being laid out `[weight row][input row]`; `sums`
/// are the inputs' [`block_sums`].
pub(super) fn packed_products(
    part: &PackedRows,
    first: usize,
    x: &[f32],
    sums: &[f32],
    rows: usize,
    out: &mut [f32],
) {
    let start = first * part.row_bytes();
    let weights = &part.bytes[start..start + out.len() / rows * part.row_bytes()];
    let (width, arch) = (part.width, Arch::new());
    match part.stored {
        _ if rows > ROWS_MAX => unpacked_products(part, first, x, rows, out),
        StoredType::Q4_0 => arch.dispatch(Products::<18, Q40> { weights, x, sums, width, out, stored: Q40 }),
        StoredType::Q4_1 => arch.dispatch(Products::<20, Q41> { weights, x, sums, width, out, stored: Q41 }),
        StoredType::Q8_0 => arch.dispatch(Products::<34, Q80> { weights, x, sums, width, out, stored: Q80 }),
        _ => unpacked_products(part, first, x, rows, out),
    }
}

struct Products<'a, const BYTES: usize, T> {
    weights: &'a [u8],
    x: &'a [f32],
    sums: &'a [f32],
    width: usize,
    out: &'a mut [f32],
    stored: T,
}

impl<const BYTES: usize, T: Packed<BYTES>> WithSimd for Products<'_, BYTES, T> {
    type Output = ();

    /// The loops are plain, so that the compiler makes the best of each instruction set.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let blocks = self.width / BLOCK;
        let rows = self.x.len() / self.width;
        for (weights, out) in self.weights.chunks_exact(blocks * BYTES).zip(self.out.chunks_exact_mut(rows)) {
            let inputs = self.x.chunks_exact(self.width).zip(self.sums.chunks_exact(blocks));
            for ((x, sums), out) in inputs.zip(out) {
                let mut totals = [0.0f32; BLOCK / 2];
                let mut minima = 0.0f32;
                let blocks = weights.as_chunks::<BYTES>().0.iter().zip(x.as_chunks::<BLOCK>().0);
                for ((block, x), sum) in blocks.zip(sums) {
                    let (scale, minimum, numbers) = self.stored.block(block);
                    for i in 0..BLOCK / 2 {
                        let pair = numbers[i].mul_add(x[i], numbers[i + BLOCK / 2] * x[i + BLOCK / 2]);
                        totals[i] = pair.mul_add(scale, totals[i]);
                    }
                    minima = minimum.mul_add(*sum, minima);
                }
                *out = totals.iter().sum::<f32>() + minima;
            }
        }
    }
}

/// The half-precision number at `at`; such a number is a single-precision one with a smaller exponent.
#[inline(always)]
fn half(bytes: &[u8], at: usize) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits(0x7780_0000);
    let bits = u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let size = f32::from_bits((bits & 0x7fff) << 13) * TWO_TO_112;
    f32::from_bits(size.to_bits() | (bits & 0x8000) << 16)
}

/// A way to store numbers in blocks.
trait Packed<const BYTES: usize> {
    /// A block's scale, minimum and whole numbers.
    fn block(&self, block: &[u8; BYTES]) -> (f32, f32, [f32; BLOCK]);
}

struct Q40;
struct Q41;
struct Q80;

impl Packed<18> for Q40 {
    #[inline(always)]
    fn block(&self, block: &[u8; 18]) -> (f32, f32, [f32; BLOCK]) {
        let scale = half(block, 0);
        (scale, -8.0 * scale, four_bits(block, 2))
    }
}

impl Packed<20> for Q41 {
    #[inline(always)]
    fn block(&self, block: &[u8; 20]) -> (f32, f32, [f32; BLOCK]) {
        (half(block, 0), half(block, 2), four_bits(block, 4))
    }
}

impl Packed<34> for Q80 {
    #[inline(always)]
    fn block(&self, block: &[u8; 34]) -> (f32, f32, [f32; BLOCK]) {
        let mut numbers = [0.0; BLOCK];
        for (number, byte) in numbers.iter_mut().zip(&block[2..]) {
            *number = f32::from(byte.cast_signed());
        }
        (half(block, 0), 0.0, numbers)
    }
}

/// Thirty-two four-bit numbers from `at` on: the low halves of sixteen bytes, then the high ones.
#[inline(always)]
fn four_bits<const BYTES: usize>(bytes: &[u8; BYTES], at: usize) -> [f32; BLOCK] {
    let mut numbers = [0.0; BLOCK];
    for i in 0..BLOCK / 2 {
        numbers[i] = f32::from(bytes[at + i] & 15);
        numbers[i + BLOCK / 2] = f32::from(bytes[at + i] >> 4);
    }
    numbers
}

/// The same for any type: a few rows are unpacked, then multiplied.
fn unpacked_products(part: &PackedRows, first: usize, x: &[f32], rows: usize, out: &mut [f32]) {
    let width = part.width;
    let at_once = (UNPACKED_NUMBERS / width).max(1);
    let mut unpacked = vec![0.0; at_once * width];
    for (block, out) in out.chunks_mut(at_once * rows).enumerate() {
        let unpacked = &mut unpacked[..out.len() / rows * width];
        part.unpack(first + block * at_once, unpacked);
        row_products(unpacked, x, width, rows, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(count)
        .collect()
    }

    #[test]
    fn products_agree_with_those_of_unpacked_numbers() {
        for stored in [StoredType::Q4_0, StoredType::Q4_1, StoredType::Q8_0] {
            for (width, outs, rows) in [(32, 1, 1), (64, 3, 2), (576, 5, 3), (96, 4, 4), (160, 2, 7)] {
                let mut packed = bytes(stored.row_bytes(width) * outs, 7);
                for block in packed.chunks_exact_mut(stored.block_bytes()) {
                    // Scales and minima between a thousandth and one, of either sign.
                    block[1] = 0x14 + (block[1] & 0x87);
                    block[3] = if stored == StoredType::Q4_1 { 0x14 + (block[3] & 0x87) } else { block[3] };
                }
                let part = PackedRows { stored, width, bytes: packed };
                let x: Vec<f32> =
                    bytes(width * rows, 9).iter().map(|b| f32::from(*b) / 100.0 - 1.0).collect();
                let mut out = vec![f32::NAN; outs * rows];
                packed_products(&part, 0, &x, &block_sums(&x), rows, &mut out);
                let mut numbers = vec![0.0; outs * width];
                part.unpack(0, &mut numbers);
                for o in 0..outs {
                    for r in 0..rows {
                        let products = (0..width)
                            .map(|i| f64::from(numbers[o * width + i]) * f64::from(x[r * width + i]));
                        let (plain, size) =
                            products.fold((0.0, 1e-3), |(sum, size), it| (sum + it, size + it.abs()));
                        let error = (f64::from(out[o * rows + r]) - plain).abs() / size;
                        assert!(error < 2e-6, "{stored:?} {width} {outs} {rows}: {error}");
                    }
                }
                // A batch changes nothing, nor does where a task begins.
                let mut alone = vec![f32::NAN; outs];
                packed_products(&part, 0, &x[..width], &block_sums(&x[..width]), 1, &mut alone);
                assert!(rows > ROWS_MAX || (0..outs).all(|o| alone[o] == out[o * rows]));
                if outs > 1 {
                    let mut rest = vec![f32::NAN; (outs - 1) * rows];
                    packed_products(&part, 1, &x, &block_sums(&x), rows, &mut rest);
                    assert_eq!(rest, out[rows..]);
                }
            }
        }
    }

    #[test]
    fn halves_are_read_exactly() {
        for bits in (0..0x7c00u16).chain(0x8000..0xfc00) {
            assert_eq!(half(&bits.to_le_bytes(), 0), half::f16::from_bits(bits).to_f32());
        }
    }
}
