//! Blocks by `vdpbf16ps`, which processors have since AMD's Zen 4 and Intel's Cooper Lake.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps,
    _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_storeu_si512,
};
use std::mem::transmute;

use super::tiles::{BLOCK, DEPTH, First, PAIRS, Place, Right, SIDE, TILE};

/// Rows whose sums are in registers at a time.
const ROWS: usize = 8;

/// Whether the processor has the instructions.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// As [`along_tiles`](super::pairs::along_tiles) as far as there are 32 numbers for a part; returns how many parts there are.
///
/// # Safety
/// [`is_there`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[allow(unsafe_code)]
pub(super) unsafe fn along_tiles(row: &[f32], tiles: &mut [u32], first: usize, step: usize) -> usize {
    let parts = row.as_chunks::<DEPTH>().0;
    for (part, numbers) in parts.iter().enumerate() {
        let at = first + part * step;
        let to = &mut tiles[at..at + PAIRS];
        // SAFETY: reads 32 numbers that are there and writes 16 pairs whose place was just checked.
        unsafe {
            let low = _mm512_loadu_ps(numbers.as_ptr());
            let high = _mm512_loadu_ps(numbers.as_ptr().add(SIDE));
            let pairs: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs);
        }
    }
    parts.len()
}

/// As [`across`](super::pairs::across) of slices of one length, as far as there are sixteen; returns how many pairs there are.
///
/// # Safety
/// [`is_there`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[allow(unsafe_code)]
pub(super) unsafe fn across(first: &[f32], second: &[f32], pairs: &mut [u32]) -> usize {
    // The i-th of the first sixteen, then the i-th of the second.
    let order: [u16; DEPTH] = std::array::from_fn(|i| (i / 2 + i % 2 * SIDE) as u16);
    // SAFETY: 64 bytes of plain data.
    let order: __m512i = unsafe { transmute(order) };
    let (first, second, pairs) =
        (first.as_chunks::<SIDE>().0, second.as_chunks::<SIDE>().0, pairs.as_chunks_mut::<SIDE>().0);
    let count = first.len().min(second.len()).min(pairs.len());
    for ((first, second), pairs) in first.iter().zip(second).zip(pairs) {
        // SAFETY: reads sixteen numbers twice and writes sixteen pairs, all of which are there.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(first.as_ptr()), _mm512_loadu_ps(second.as_ptr()));
            let both: __m512i = transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(pairs.as_mut_ptr().cast(), _mm512_permutexvar_epi16(order, both));
        }
    }
    count * SIDE
}

/// As [`Session::multiply`](super::kernel::Session::multiply).
///
/// # Safety
/// [`is_there`]. `left` holds two tiles for each offset; from each offset `right` holds its tiles, `begin` holds all that it
/// names; `place` is 32 rows of so many columns.
#[allow(unsafe_code)]
pub(super) unsafe fn block(left: &[u32], right: Right<'_>, offsets: &[usize], begin: First, place: Place) {
    for first in (0..BLOCK).step_by(ROWS) {
        match right.tiles {
            // SAFETY: what is asked of the caller; `first + ROWS` is at most 32.
            1 => unsafe { rows::<1>(first, left, right, offsets, begin, place) },
            // SAFETY: what is asked of the caller; `first + ROWS` is at most 32.
            _ => unsafe { rows::<2>(first, left, right, offsets, begin, place) },
        }
    }
}

/// Eight rows of a block from `first` on.
///
/// # Safety
/// As of [`block`] with `TILES` tiles; `first` is 0, 8, 16 or 24.
#[target_feature(enable = "avx512f,avx512bf16")]
#[allow(unsafe_code)]
unsafe fn rows<const TILES: usize>(
    first: usize,
    left: &[u32],
    right: Right<'_>,
    offsets: &[usize],
    begin: First,
    place: Place,
) {
    let (tile, within) = (first / SIDE, first % SIDE);
    let mut sums: [[__m512; TILES]; ROWS] = [[_mm512_setzero_ps(); TILES]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        for (c, sum) in sums.iter_mut().enumerate() {
            let at = tile * begin.down + c * begin.across + (within + r) * begin.row;
            // SAFETY: sixteen numbers of what `begin` names.
            *sum = unsafe { _mm512_loadu_ps(begin.first.add(at)) };
        }
    }
    for (step, &offset) in offsets.iter().enumerate() {
        let from = step * 2 * TILE + tile * TILE + within * PAIRS;
        for p in 0..PAIRS {
            let mut columns = [_mm512_setzero_ps(); TILES];
            for (c, column) in columns.iter_mut().enumerate() {
                let at = offset + c * right.tile + p * right.row;
                // SAFETY: a row of a tile of the right factor.
                *column = unsafe { _mm512_loadu_ps(right.pairs.as_ptr().add(at).cast()) };
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: a pair of a tile of the left factor.
                let pair = unsafe { *left.as_ptr().add(from + r * PAIRS + p) };
                let pair = _mm512_set1_epi32(pair.cast_signed());
                for (sum, column) in sums.iter_mut().zip(columns) {
                    // SAFETY: all three are 512 bits of plain data.
                    let (pair, column) = unsafe {
                        (transmute::<__m512i, __m512bh>(pair), transmute::<__m512, __m512bh>(column))
                    };
                    *sum = _mm512_dpbf16_ps(*sum, pair, column);
                }
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (c, sum) in sums.iter().enumerate() {
            // SAFETY: sixteen cells of the place.
            unsafe { _mm512_storeu_ps(place.first.add((first + r) * place.stride + c * SIDE), *sum) };
        }
    }
}
