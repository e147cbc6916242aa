//! Blocks on any processor: pairs are widened to f32, which is exact, and multiplied as such.

use pulp::{Arch, NullaryFnOnce};

use super::pairs::{high, low};
use super::tiles::{BLOCK, First, PAIRS, Place, Right, SIDE, TILE};

/// Rows whose sums are in registers at a time.
const ROWS: usize = 4;

/// As [`Session::multiply`](super::kernel::Session::multiply).
///
/// # Safety
/// `place` is 32 rows of so many columns as `right` has; `begin` holds all that it names.
#[allow(unsafe_code)]
pub(super) unsafe fn block(left: &[u32], right: Right<'_>, offsets: &[usize], begin: First, place: Place) {
    let arch = Arch::new();
    for first in (0..BLOCK).step_by(ROWS) {
        for tile in 0..right.tiles {
            let sums = match arch {
                // Without the instruction, a fused multiplication is a call of the C library.
                Arch::Scalar => rows::<false>(first, tile, left, right, offsets, begin),
                _ => arch.dispatch(Rows { first, tile, left, right, offsets, begin }),
            };
            for (r, sums) in sums.iter().enumerate() {
                let to = place.first.wrapping_add((first + r) * place.stride + tile * SIDE);
                // SAFETY: sixteen cells within the place; the sums lie elsewhere.
                unsafe { to.copy_from_nonoverlapping(sums.as_ptr(), SIDE) };
            }
        }
    }
}

/// [`rows`] with fused multiplications, for the processor's widest instructions.
struct Rows<'a> {
    first: usize,
    tile: usize,
    left: &'a [u32],
    right: Right<'a>,
    offsets: &'a [usize],
    begin: First,
}

impl NullaryFnOnce for Rows<'_> {
    type Output = [[f32; SIDE]; ROWS];

    #[inline(always)]
    fn call(self) -> Self::Output {
        rows::<true>(self.first, self.tile, self.left, self.right, self.offsets, self.begin)
    }
}

/// Four rows by one tile of columns.
#[inline(always)]
fn rows<const FUSED: bool>(
    first: usize,
    tile: usize,
    left: &[u32],
    right: Right<'_>,
    offsets: &[usize],
    begin: First,
) -> [[f32; SIDE]; ROWS] {
    let add = |sum: f32, a: f32, b: f32| if FUSED { a.mul_add(b, sum) } else { sum + a * b };
    let (half, within) = (first / SIDE, first % SIDE);
    let mut sums = [[0f32; SIDE]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        let at = half * begin.down + tile * begin.across + (within + r) * begin.row;
        // SAFETY: sixteen numbers of what `begin` names, which the caller of `block` promises.
        #[allow(unsafe_code)]
        unsafe {
            begin.first.add(at).copy_to_nonoverlapping(sums.as_mut_ptr(), SIDE);
        }
    }
    for (step, offset) in offsets.iter().enumerate() {
        let from = step * 2 * TILE + half * TILE + within * PAIRS;
        let rows: &[u32] = &left[from..from + ROWS * PAIRS];
        for p in 0..PAIRS {
            let at = offset + tile * right.tile + p * right.row;
            let Some(columns) = right.pairs[at..].first_chunk::<SIDE>() else { continue };
            let (lows, highs) = (columns.map(low), columns.map(high));
            for (r, sums) in sums.iter_mut().enumerate() {
                let pair = rows[r * PAIRS + p];
                let (first, second) = (low(pair), high(pair));
                for ((sum, low), high) in sums.iter_mut().zip(lows).zip(highs) {
                    *sum = add(add(*sum, first, low), second, high);
                }
            }
        }
    }
    sums
}
