//! Numbers of single precision as the sum of three of eight significant bits, in the order in which the matrix unit reads
//! them.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

use super::tiles::{COLUMNS, DEPTH, PAIRS, PARTS, SIDE};

/// A row of a tile of the left side; begins with a line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(pub [u16; DEPTH]);

impl Line {
    /// Of zeros.
    pub const ZERO: Self = Self([0; DEPTH]);
}

/// Lines of one step of the left side.
pub(super) const LINES: usize = PARTS * SIDE;

/// The parts of a number, from the highest, as the upper halves of single precision: each but the last is rounded to eight
/// significant bits, which leaves the last no more than that. Their sum is the number itself, unless it is within 2⁻⁸ of the
/// largest or below 2⁻¹⁰⁰.
#[inline(always)]
fn parts(x: f32) -> [u32; PARTS] {
    let rounded = |x: f32| x.to_bits().wrapping_add(0x8000) & 0xFFFF_0000;
    // What is infinite or no number is cut off: rounded, it might become a number.
    let high = if x.is_finite() { rounded(x) } else { x.to_bits() & 0xFFFF_0000 };
    let rest = x - f32::from_bits(high);
    let middle = rounded(rest);
    [high, middle, (rest - f32::from_bits(middle)).to_bits() & 0xFFFF_0000]
}

/// Packs a channel's numbers for one step: `lines[part · SIDE + row]`.
#[inline(always)]
fn pack_row(numbers: &[f32; DEPTH], row: usize, lines: &mut [Line]) {
    assert!(lines.len() == LINES && row < SIDE);
    let mut of = [[0u16; DEPTH]; PARTS];
    for i in 0..DEPTH {
        let [high, middle, low] = parts(numbers[i]);
        of[0][i] = (high >> 16) as u16;
        of[1][i] = (middle >> 16) as u16;
        of[2][i] = (low >> 16) as u16;
    }
    for part in 0..PARTS {
        lines[part * SIDE + row].0 = of[part];
    }
}

/// Packs [`DEPTH`] channels of the rows of the left side, each `channels · taps` numbers, from a channel on: as many steps as there are
/// taps. What is beyond the rows or channels is zero.
#[inline(always)]
pub(super) fn left<const TAPS: usize>(rows: &[f32], channels: usize, from: usize, lines: &mut [Line]) {
    let count = channels.saturating_sub(from).min(DEPTH);
    let width = channels * TAPS;
    for (row, numbers) in rows.chunks_exact(width).enumerate() {
        let numbers = numbers[from * TAPS..][..count * TAPS].as_chunks::<TAPS>().0;
        let mut of_taps = [[0f32; DEPTH]; TAPS];
        match numbers.as_array::<DEPTH>() {
            Some(numbers) => spread(numbers, &mut of_taps),
            None => spread(numbers, &mut of_taps),
        }
        for tap in 0..TAPS {
            pack_row(&of_taps[tap], row, &mut lines[tap * LINES..(tap + 1) * LINES]);
        }
    }
    for row in rows.len() / width..SIDE {
        for tap in 0..TAPS {
            for part in 0..PARTS {
                lines[tap * LINES + part * SIDE + row] = Line::ZERO;
            }
        }
    }
}

/// Puts the numbers of each tap side by side.
#[inline(always)]
fn spread<const TAPS: usize>(numbers: &[[f32; TAPS]], of_taps: &mut [[f32; DEPTH]; TAPS]) {
    for tap in 0..TAPS {
        for channel in 0..numbers.len().min(DEPTH) {
            of_taps[tap][channel] = numbers[channel][tap];
        }
    }
}

/// Packs two rows of the right side as the pairs of that number, tile by tile: the parts of a tile lie behind each other.
#[inline(always)]
pub(super) fn right(first: &[f32], second: &[f32], pair: usize, to: &mut [u32]) {
    assert!(pair < PAIRS);
    let blocks = to.as_chunks_mut::<{ PARTS * PAIRS * COLUMNS }>().0;
    let (first, second) = (first.as_chunks::<COLUMNS>().0, second.as_chunks::<COLUMNS>().0);
    assert!(first.len() == blocks.len() && second.len() == blocks.len());
    for at in 0..blocks.len() {
        let mut of = [[0u32; COLUMNS]; PARTS];
        for i in 0..COLUMNS {
            let (a, b) = (parts(first[at][i]), parts(second[at][i]));
            for part in 0..PARTS {
                of[part][i] = a[part] >> 16 | b[part];
            }
        }
        for part in 0..PARTS {
            blocks[at][(part * PAIRS + pair) * COLUMNS..][..COLUMNS].copy_from_slice(&of[part]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_number() {
        for i in 0..100_000u32 {
            let x = f32::from_bits(0x3F80_0000u32.wrapping_add(i.wrapping_mul(0x9E37_79B9) >> 9));
            for x in [x, -x * 1e-20, x * 1e30, 0.0] {
                let of = parts(x).map(f32::from_bits);
                assert_eq!(of[0] + (of[1] + of[2]), x, "{x}: {of:?}");
                assert!(
                    of[1].abs() <= of[0].abs() / 256.0 && of[2].abs() <= of[0].abs() / 65_536.0,
                    "{x}: {of:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none_and_what_is_too_small_stays_small() {
        let of = |x: f32| parts(x).map(f32::from_bits).iter().sum::<f32>();
        for bits in [0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7F80_0001] {
            let x = f32::from_bits(bits);
            assert!(!of(x).is_finite(), "{x}: {:?}", parts(x).map(f32::from_bits));
        }
        for x in [f32::from_bits(1), f32::from_bits(0x7F_FFFF), f32::MIN_POSITIVE, -f32::from_bits(0x8000)] {
            assert!((of(x) - x).abs() <= f32::MIN_POSITIVE / 128.0, "{x:e}: {:e}", of(x));
        }
    }
}
