//! How are inputs written as whole numbers?
//!
//! Thirty-two inputs at a time share a scale, a power of two by which the largest becomes 2^22 to 2^23; each is rounded to a
//! whole number and written in three digits of base 256 with signs. So what is lost of an input is at most 2^-23 of the
//! largest one beside it, about as much as a float loses of its own size, and products with weights of few bits are sums of
//! products of bytes, which are exact.

use pulp::{Arch, cast};
use rayon::prelude::*;

/// Inputs that share a scale.
pub(super) const BLOCK: usize = 32;
/// Digits of an input, of eight bits each.
pub(super) const DIGITS: usize = 3;
/// Bits of a float's fraction. Whole numbers of one bit less are written, and no larger ones than digits from -128 to 127 can
/// say.
const FRACTION: u32 = 23;
/// What is added to the bits of the largest input, so that one near the next power of two counts as that.
const ROUND_UP: u32 = 0x2_0000;
/// Blocks whose largest input is smaller than this count as zeros.
const LEAST: f32 = 1e-30;
/// Blocks that one task writes; fewer are not worth waking another thread.
const TASK_BLOCKS: usize = 256;

/// Thirty-two inputs.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct InputBlock {
    /// The digits, from the most significant on; of each, words of four neighbouring inputs.
    pub(super) digits: [[i32; BLOCK / 4]; DIGITS],
    /// The sums of the digits of either half of the inputs.
    pub(super) sums: [[i32; 2]; DIGITS],
    /// What one stands for.
    pub(super) scale: f32,
    /// The sum of the inputs.
    pub(super) total: f32,
}

/// Rows of inputs.
#[derive(Default)]
pub(super) struct InputDigits {
    blocks: Vec<InputBlock>,
    /// Blocks in a row.
    width: usize,
}

impl InputDigits {
    /// Writes rows of `width` inputs, which is a multiple of [`BLOCK`], in digits. A block with something infinite or no
    /// number in it has no number for a scale, so that all products with it are no numbers.
    pub(super) fn new(x: &[f32], width: usize) -> InputDigits {
        let nothing = InputBlock { digits: [[0; 8]; DIGITS], sums: [[0; 2]; DIGITS], scale: 0.0, total: 0.0 };
        let inputs = x.as_chunks::<BLOCK>().0;
        let mut blocks = vec![nothing; inputs.len()];
        let write = |(blocks, inputs): (&mut [InputBlock], &[[f32; BLOCK]])| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (block, inputs) in blocks.iter_mut().zip(inputs) {
                        write_block(inputs, block);
                    }
                },
            );
        };
        if inputs.len() <= TASK_BLOCKS {
            write((&mut blocks, inputs));
        } else {
            blocks.par_chunks_mut(TASK_BLOCKS).zip(inputs.par_chunks(TASK_BLOCKS)).for_each(write);
        }
        InputDigits { blocks, width: width / BLOCK }
    }

    /// The blocks of one row.
    pub(super) fn row(&self, row: usize) -> &[InputBlock] {
        &self.blocks[row * self.width..(row + 1) * self.width]
    }
}

#[inline(always)]
fn write_block(inputs: &[f32; BLOCK], block: &mut InputBlock) {
    // Without their signs, floats are in the order of their bits, and what is no number is the largest of all.
    let bits = inputs.iter().fold(0, |largest, input| largest.max(input.to_bits() & 0x7fff_ffff));
    let largest = f32::from_bits(bits);
    if largest < LEAST {
        return;
    }
    if !largest.is_finite() {
        (block.scale, block.total) = (f32::NAN, f32::NAN);
        return;
    }
    // The exponent, which floats keep as a number from 1 to 254.
    let exponent = (bits + ROUND_UP) >> FRACTION;
    let by = f32::from_bits((2 * 127 + FRACTION - 1 - exponent) << FRACTION);
    let mut digits = [[0i8; BLOCK]; DIGITS];
    let mut numbers = [0i32; BLOCK];
    for (number, input) in numbers.iter_mut().zip(inputs) {
        *number = (input * by).round_ties_even() as i32;
    }
    block.scale = f32::from_bits((exponent + 1 - FRACTION) << FRACTION);
    block.total = numbers.iter().sum::<i32>() as f32 * block.scale;
    for digit in (0..DIGITS).rev() {
        for (number, out) in numbers.iter_mut().zip(&mut digits[digit]) {
            *out = *number as i8;
            *number = (*number - i32::from(*out)) >> 8;
        }
        for (half, sum) in digits[digit].as_chunks::<{ BLOCK / 2 }>().0.iter().zip(&mut block.sums[digit]) {
            *sum = half.iter().map(|digit| i32::from(*digit)).sum();
        }
        block.digits[digit] = cast(digits[digit]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the digits of an input stand for.
    fn value(block: &InputBlock, input: usize) -> f64 {
        let number = block.digits.iter().fold(0, |number, words| {
            let bytes: [i8; BLOCK] = cast(*words);
            number * 256 + i32::from(bytes[input])
        });
        f64::from(number) * f64::from(block.scale)
    }

    #[test]
    fn inputs_are_kept_to_a_part_of_the_largest() {
        // Of each size also some that come near to the next power of two.
        for size in [1e-29, 1e-3, 1.0, 1.99, 1.999_999_9, 3e4, 1e36] {
            let x: Vec<f32> = (0..4 * BLOCK)
                .map(|i| ((i * i) as f32 * 0.37).sin() * size * if i == 40 { 3.0 } else { 1.0 })
                .collect();
            let digits = InputDigits::new(&x, 2 * BLOCK);
            for i in 0..x.len() {
                let block = &digits.row(i / (2 * BLOCK))[i / BLOCK % 2];
                let beside = || x.as_chunks::<BLOCK>().0[i / BLOCK].iter();
                let largest = beside().fold(0.0, |largest: f32, x| largest.max(x.abs()));
                let error = (value(block, i % BLOCK) - f64::from(x[i])).abs() / f64::from(largest);
                assert!(error < 1.01 * 2f64.powi(-23), "{}: {error}", x[i]);
            }
            for block in &digits.blocks {
                let total: f64 = (0..BLOCK).map(|i| value(block, i)).sum();
                assert!((f64::from(block.total) - total).abs() <= 16.0 * f64::from(block.scale));
                for (digits, sums) in block.digits.iter().zip(block.sums) {
                    let bytes: [i8; BLOCK] = cast(*digits);
                    let sum = |half: &[i8]| half.iter().map(|digit| i32::from(*digit)).sum::<i32>();
                    assert_eq!(sums, [sum(&bytes[..16]), sum(&bytes[16..])]);
                }
            }
        }
    }

    #[test]
    fn extremes_are_kept_or_have_no_number() {
        let mut x = [0.0; BLOCK];
        let digits = InputDigits::new(&x, BLOCK);
        assert_eq!((digits.blocks[0].scale, digits.blocks[0].total), (0.0, 0.0));
        // Too small for a scale that floats can say, and the least that is not.
        x[7] = -0.9e-30;
        let digits = InputDigits::new(&x, BLOCK);
        assert_eq!((digits.blocks[0].scale, value(&digits.blocks[0], 7)), (0.0, 0.0));
        x[7] = -1.1e-30;
        let digits = InputDigits::new(&x, BLOCK);
        assert!((value(&digits.blocks[0], 7) / f64::from(x[7]) - 1.0).abs() < 1e-6);
        x[7] = -f32::MAX;
        let digits = InputDigits::new(&x, BLOCK);
        assert!((value(&digits.blocks[0], 7) / f64::from(f32::MAX) + 1.0).abs() < 1e-6);
        assert_eq!(value(&digits.blocks[0], 8), 0.0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            x[9] = bad;
            let digits = InputDigits::new(&x, BLOCK);
            assert!(digits.blocks[0].scale.is_nan() && digits.blocks[0].total.is_nan());
        }
    }
}
