//! How is a float written as the sum of two of half its length?
//!
//! As its nearest number of eight significant bits (bf16), and the nearest one to what is left: the sum is right to 2^-17
//! of its size.

use pulp::Arch;
use rayon::prelude::*;

use super::amx::{Halves, STEP, TILE, ZEROS};

/// Bits of the least float that is cut, since rounding would make it infinite.
pub(super) const ROUNDED_BELOW: u32 = 0x7f7f_8000;
/// Rows that are multiplied at a time.
const ROWS: usize = 2 * TILE;

/// The two parts of two floats, as words of neighbours. Of something infinite or no number the sum is
/// no number.
#[inline(always)]
fn split(left: f32, right: f32) -> [u32; 2] {
    let first = [nearest(left), nearest(right)];
    let second = [nearest(left - f32::from_bits(first[0])), nearest(right - f32::from_bits(first[1]))];
    [first[0] >> 16 | first[1], second[0] >> 16 | second[1]]
}

/// The bits of the nearest float of which the lower half is zero. Nothing becomes infinite by it, and what is no number
/// leaves something that is none, here or in the difference.
#[inline(always)]
fn nearest(number: f32) -> u32 {
    let bits = number.to_bits();
    let rounded = if bits & 0x7fff_ffff < ROUNDED_BELOW { bits + 0x8000 } else { bits };
    rounded & 0xffff_0000
}

/// Rows of inputs, filled up with zeros to whole tiles.
pub(super) struct SplitInputs {
    tiles: Vec<Halves>,
    /// Steps in a row.
    steps: usize,
}

impl SplitInputs {
    /// Splits rows of `width` inputs, which is a multiple of [`STEP`].
    pub(super) fn new(x: &[f32], width: usize) -> SplitInputs {
        let steps = width / STEP;
        let tiles_of_rows = (x.len() / width).next_multiple_of(ROWS) / TILE;
        let mut tiles = vec![ZEROS; tiles_of_rows * steps];
        tiles.par_chunks_mut(steps).zip(x.par_chunks(TILE * width)).for_each(|(tiles, rows)| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (row, inputs) in rows.chunks_exact(width).enumerate() {
                        for (tile, inputs) in tiles.iter_mut().zip(inputs.as_chunks::<STEP>().0) {
                            for (at, pair) in inputs.as_chunks::<2>().0.iter().enumerate() {
                                [tile[0].0[row][at], tile[1].0[row][at]] = split(pair[0], pair[1]);
                            }
                        }
                    }
                },
            );
        });
        SplitInputs { tiles, steps }
    }

    /// Sixteen rows from `16 * tile` on.
    pub(super) fn rows(&self, tile: usize) -> &[Halves] {
        &self.tiles[tile * self.steps..(tile + 1) * self.steps]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a word's lower or upper half says.
    fn half(word: u32, side: usize) -> f32 {
        f32::from_bits(if side == 0 { word << 16 } else { word & 0xffff_0000 })
    }

    #[test]
    fn parts_make_the_number_and_keep_what_is_none() {
        let mut bits = 1u32;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pair = [f32::from_bits(bits), f32::from_bits(bits.rotate_left(9) & 0xffff_3fff)];
            let [first, second] = split(pair[0], pair[1]);
            for (side, number) in pair.into_iter().enumerate() {
                let sum = half(first, side) + half(second, side);
                if !number.is_finite() {
                    assert!(sum.is_nan(), "{number} {:x}: {sum}", number.to_bits());
                } else if number.abs() > 1e-30 {
                    assert!((sum / number - 1.0).abs() <= 2f32.powi(-16), "{number}: {sum}");
                }
            }
        }
        for bits in [0x7fff_8000, 0xffff_ffff, 0x7f80_0001, 0x7f80_0000, 0xff80_0000] {
            let [first, second] = split(1.0, f32::from_bits(bits));
            assert!((half(first, 1) + half(second, 1)).is_nan(), "{bits:x}");
            assert_eq!((half(first, 0), half(second, 0)), (1.0, 0.0));
        }
        let [first, second] = split(f32::MAX, f32::MIN);
        assert!((half(first, 0) + half(second, 0)) / f32::MAX > 0.9999 && half(second, 1).is_finite());
    }
}
