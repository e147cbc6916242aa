//! Two bf16 numbers in 32 bits, the first in the lower half: what the instructions for bf16 take.

use std::ops::{Deref, DerefMut};

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::tiles::{DEPTH, PAIRS};

/// Sixteen pairs or sums, a row of a tile: one line of the cache, so that no row lies in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
struct Line<T>([T; PAIRS]);

/// Numbers of four bytes that begin with a line of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines<T>(Vec<Line<T>>);

/// Pairs in lines.
pub(super) type Pairs = Lines<u32>;
/// Sums in lines.
pub(super) type Sums = Lines<f32>;

impl<T: Copy + Default> Lines<T> {
    /// So many zeros, or a few more.
    pub(super) fn zeros(count: usize) -> Self {
        const { assert!(size_of::<T>() == 4) };
        Self(vec![Line([T::default(); PAIRS]); count.div_ceil(PAIRS)])
    }
}

impl<T> Deref for Lines<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: a line is sixteen numbers of four bytes without a gap, and a vector has no gap between its lines.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * PAIRS)
        }
    }
}

impl<T> DerefMut for Lines<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * PAIRS)
        }
    }
}

/// The nearest bf16, ties to even, in the upper half; the lower half is whatever is left.
#[inline(always)]
fn upper(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    // Rounding must not carry the digits of a NaN away.
    if x.is_nan() { bits | 0x0040_0000 } else { rounded }
}

/// The nearest bf16 as f32.
#[inline(always)]
pub(super) fn rounded(x: f32) -> f32 {
    f32::from_bits(upper(x) & 0xffff_0000)
}

/// The pair of `low` and `high`.
#[inline(always)]
pub(super) fn pair(low: f32, high: f32) -> u32 {
    (upper(low) >> 16) | (upper(high) & 0xffff_0000)
}

/// The first of a pair.
#[inline(always)]
pub(super) fn low(pair: u32) -> f32 {
    f32::from_bits(pair << 16)
}

/// The second of a pair.
#[inline(always)]
pub(super) fn high(pair: u32) -> f32 {
    f32::from_bits(pair & 0xffff_0000)
}

/// Pairs of what lies at the same place in two rows; the shortest slice counts.
#[inline(always)]
pub(super) fn across(first: &[f32], second: &[f32], pairs: &mut [u32]) {
    let count = first.len().min(second.len()).min(pairs.len());
    let (first, second, pairs) = (&first[..count], &second[..count], &mut pairs[..count]);
    #[cfg(target_arch = "x86_64")]
    if avx512::is_there() {
        // SAFETY: the processor has the instructions.
        #[allow(unsafe_code)]
        let done = unsafe { avx512::across(first, second, pairs) };
        return across_widened(&first[done..], &second[done..], &mut pairs[done..]);
    }
    across_widened(first, second, pairs);
}

#[inline(always)]
fn across_widened(first: &[f32], second: &[f32], pairs: &mut [u32]) {
    for ((pair_of, &first), &second) in pairs.iter_mut().zip(first).zip(second) {
        *pair_of = pair(first, second);
    }
}

/// Pairs of neighbours within a row, sixteen pairs after another: the first to `tiles` from `first` on, the next `step` behind. An odd
/// last number is paired with zero.
#[inline(always)]
pub(super) fn along_tiles(row: &[f32], tiles: &mut [u32], first: usize, step: usize) {
    #[cfg(target_arch = "x86_64")]
    let done = match avx512::is_there() {
        // SAFETY: the processor has the instructions.
        #[allow(unsafe_code)]
        true => unsafe { avx512::along_tiles(row, tiles, first, step) },
        false => 0,
    };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for (part, numbers) in row.chunks(DEPTH).enumerate().skip(done) {
        let at = first + part * step;
        along(numbers, &mut tiles[at..at + PAIRS]);
    }
}

/// Pairs of neighbours within a row; an odd last number is paired with zero.
#[inline(always)]
fn along(row: &[f32], pairs: &mut [u32]) {
    let (twos, rest) = row.as_chunks::<2>();
    for (pair_of, [first, second]) in pairs.iter_mut().zip(twos) {
        *pair_of = pair(*first, *second);
    }
    if let ([last], Some(pair_of)) = (rest, pairs.get_mut(twos.len())) {
        *pair_of = pair(*last, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::numbers;
    use super::*;

    #[test]
    fn numbers_are_rounded_as_half_rounds_them() {
        let mut numbers: Vec<f32> = (-3000..3000).map(|i| (i as f32 * 0.37).powi(3) * 1.0e-3).collect();
        numbers.extend([f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1.0e-39, 1.003_906_2, 1.011_718_8]);
        for &x in &numbers {
            let expected = half::bf16::from_f32(x).to_f32();
            let both = pair(x, -x);
            assert_eq!(
                (low(both).to_bits(), high(both).to_bits()),
                (expected.to_bits(), (-expected).to_bits())
            );
        }
        assert!(low(pair(f32::NAN, 0.0)).is_nan() && high(pair(0.0, f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn rows_of_any_length_are_paired_alike() {
        for count in [1, 16, 31, 32, 33, 64, 95, 100] {
            let (first, second) = (numbers(count, 1), numbers(count, 2));
            let expected: Vec<u32> = first.iter().zip(&second).map(|(a, b)| pair(*a, *b)).collect();
            let mut pairs = vec![0; count];
            across(&first, &second, &mut pairs);
            assert_eq!(pairs, expected);
            // A longer partner and a longer place change nothing.
            let mut longer = vec![7; count + 1];
            across(&first, &numbers(count + 5, 2)[..], &mut longer);
            assert_eq!((&longer[..count], longer[count]), (&expected[..], 7));

            let (from, step) = (3, 50);
            let mut tiles = vec![0; from + 4 * step];
            along_tiles(&first, &mut tiles, from, step);
            for (i, two) in first.chunks(2).enumerate() {
                let expected = pair(two[0], two.get(1).copied().unwrap_or(0.0));
                assert_eq!(tiles[from + i / PAIRS * step + i % PAIRS], expected, "{count} {i}");
            }
        }
    }

    #[test]
    fn an_odd_row_ends_with_a_zero() {
        let mut pairs = [7; 3];
        along(&[1.0, 2.0, 3.0], &mut pairs);
        assert_eq!(pairs, [pair(1.0, 2.0), pair(3.0, 0.0), 7]);
    }
}
