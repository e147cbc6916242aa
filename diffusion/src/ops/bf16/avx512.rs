//! Blocks by `vdpbf16ps`, which processors have since AMD's Zen 4 and Intel's Cooper Lake.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{
    __m512, __m512bh, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_storeu_ps,
};
use std::mem::transmute;

use super::kernel::{BLOCK, Begin, PAIRS, Place, Right, SIDE, TILE};

/// Rows whose sums are in registers at a time.
const ROWS: usize = 8;

/// Whether the processor has the instructions.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
}

/// As [`Session::multiply`](super::kernel::Session::multiply).
///
/// # Safety
/// [`is_there`]. `left` holds two tiles for each offset; from each offset `right` holds its tiles, `begin` holds all that it
/// names; `place` is 32 rows of so many columns.
#[allow(unsafe_code)]
pub(super) unsafe fn block(
    left: &[u32],
    right: Right<'_>,
    offsets: &[usize],
    begin: Begin<'_>,
    place: Place,
) {
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
    begin: Begin<'_>,
    place: Place,
) {
    let (tile, within) = (first / SIDE, first % SIDE);
    let mut sums: [[__m512; TILES]; ROWS] = [[_mm512_setzero_ps(); TILES]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        for (c, sum) in sums.iter_mut().enumerate() {
            let at = tile * begin.down + c * begin.across + (within + r) * begin.row;
            // SAFETY: sixteen numbers of what `begin` names.
            *sum = unsafe { _mm512_loadu_ps(begin.values.as_ptr().add(at)) };
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
                    let (pair, column) =
                        unsafe { (transmute::<_, __m512bh>(pair), transmute::<__m512, __m512bh>(column)) };
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
