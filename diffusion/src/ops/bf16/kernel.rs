//! A block of a product, 32 rows by 16 or 32 columns ([`tiles`](super::tiles)), by the best instructions that the processor has.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx;
#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::portable;
use super::tiles::{BLOCK, Begin, PAIRS, Place, Right, SIDE, TILE};
use crate::ops::amx::{self as unit, Tiles};

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instructions {
    /// Tiles of the processor: `tdpbf16ps`.
    #[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code))]
    Amx,
    /// Vectors of pairs: `vdpbf16ps`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512,
    /// Widened to f32.
    Portable,
}

impl Instructions {
    /// The best of this processor.
    pub(super) fn best() -> Self {
        static BEST: OnceLock<Instructions> = OnceLock::new();
        *BEST.get_or_init(|| Self::all().into_iter().next().unwrap_or(Self::Portable))
    }

    /// All that this processor has, best first.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        if unit::is_there() {
            all.push(Self::Amx);
        }
        #[cfg(target_arch = "x86_64")]
        if avx512::is_there() {
            all.push(Self::Avx512);
        }
        all.push(Self::Portable);
        all
    }
}

/// Where the steps of the right factor begin, in pairs.
pub(super) struct Offsets {
    at: Vec<usize>,
    largest: usize,
}

impl Offsets {
    pub(super) fn new(at: Vec<usize>) -> Self {
        let largest = at.iter().max().copied().unwrap_or(0);
        Self { at, largest }
    }

    /// Steps of tiles that are stored one after another, two by two.
    pub(super) fn of_tiles(steps: usize) -> Self {
        Self::new((0..steps).map(|step| step * 2 * TILE).collect())
    }

    /// How many steps there are.
    pub(super) fn steps(&self) -> usize {
        self.at.len()
    }
}

/// A matrix of results that several threads fill, each its own cells. They may hold nothing before.
pub(super) struct Cells<'a> {
    first: *mut f32,
    length: usize,
    /// How far apart the rows lie.
    stride: usize,
    slice: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: a pointer to numbers that are borrowed for as long; what writes through it promises, by `Cells::block`, that
// no other thread touches the same cells.
#[allow(unsafe_code)]
unsafe impl Send for Cells<'_> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Cells<'_> {}

impl<'a> Cells<'a> {
    pub(super) fn new(slice: &'a mut [f32], stride: usize) -> Self {
        Self { first: slice.as_mut_ptr(), length: slice.len(), stride, slice: PhantomData }
    }

    /// Of the first `length` cells of a vector's room, which need not be zeroed for it.
    fn of_room(vector: &'a mut Vec<f32>, length: usize, stride: usize) -> Self {
        let room = &mut vector.spare_capacity_mut()[..length];
        Self { first: room.as_mut_ptr().cast(), length, stride, slice: PhantomData }
    }

    /// The `rows` × `columns` cells from (`row`, `column`) on.
    ///
    /// # Panics
    /// Where they do not lie within.
    fn first_of(&self, row: usize, column: usize, rows: usize, columns: usize) -> *mut f32 {
        let begin = row * self.stride + column;
        let end = begin + rows.saturating_sub(1) * self.stride + columns;
        assert!(rows > 0 && column + columns <= self.stride && end <= self.length);
        self.first.wrapping_add(begin)
    }

    /// A whole block for [`Session::multiply`].
    ///
    /// # Safety
    /// Until the block is computed, nothing else reads or writes these cells.
    #[allow(unsafe_code)]
    pub(super) unsafe fn block(&self, row: usize, column: usize, tiles: usize) -> Place {
        Place { first: self.first_of(row, column, BLOCK, tiles * SIDE), stride: self.stride }
    }

    /// Writes into one row from `column` on.
    ///
    /// # Safety
    /// Meanwhile nothing else reads or writes these cells.
    #[allow(unsafe_code)]
    pub(super) unsafe fn write(&self, row: usize, column: usize, values: &[f32]) {
        let first = self.first_of(row, column, 1, values.len());
        // SAFETY: the cells lie within what is borrowed, as was just checked, so that `values` lies elsewhere; the caller
        // promises that they are touched by no one else meanwhile.
        unsafe { first.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }
}

/// A matrix of `length` numbers in rows of `stride`, all of which `fill` writes.
///
/// # Safety
/// When `fill` comes back without a panic, each cell was written.
#[allow(unsafe_code)]
pub(super) unsafe fn filled(length: usize, stride: usize, fill: impl FnOnce(&Cells<'_>)) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(length);
    fill(&Cells::of_room(&mut numbers, length, stride));
    // SAFETY: there is room for `length` numbers, and the caller promises that all are written.
    unsafe { numbers.set_len(length) };
    numbers
}

/// The thread's right to compute blocks: while there is one, the processor's tiles are set up.
pub(super) struct Session {
    with: Instructions,
    /// There where `with` needs them.
    tiles: Option<Tiles>,
}

impl Session {
    pub(super) fn new(with: Instructions) -> Self {
        let tiles = if with == Instructions::Amx { Tiles::new() } else { None };
        assert!(with != Instructions::Amx || tiles.is_some());
        #[cfg(target_arch = "x86_64")]
        assert!(with != Instructions::Avx512 || avx512::is_there());
        Self { with, tiles }
    }

    /// Computes a block: `place = begin + left · right`. `left` is all its tiles, two for each step.
    ///
    /// # Safety
    /// `place` was made by [`Cells::block`] for as many tiles as `right` has, and what that asks for holds; with [`Begin::there`] it
    /// holds numbers.
    #[allow(unsafe_code)]
    pub(super) unsafe fn multiply(
        &self,
        left: &[u32],
        right: Right<'_>,
        offsets: &Offsets,
        begin: Begin<'_>,
        place: Place,
    ) {
        // SAFETY: what is asked of the caller.
        unsafe { self.multiply_steps(left, right, offsets, 0..offsets.steps(), begin, place) }
    }

    /// As [`multiply`](Self::multiply) some of the steps alone.
    ///
    /// # Safety
    /// As there.
    #[allow(unsafe_code)]
    pub(super) unsafe fn multiply_steps(
        &self,
        left: &[u32],
        right: Right<'_>,
        offsets: &Offsets,
        taken: Range<usize>,
        begin: Begin<'_>,
        place: Place,
    ) {
        let (left, at) = (&left[taken.start * 2 * TILE..taken.end * 2 * TILE], &offsets.at[taken]);
        let steps = at.len();
        assert!(steps > 0 && left.len() >= steps * 2 * TILE && matches!(right.tiles, 1 | 2));
        let columns = (right.tiles - 1) * right.tile + (PAIRS - 1) * right.row + SIDE;
        assert!(right.pairs.len() >= offsets.largest + columns);
        debug_assert_eq!(self.tiles.is_some(), self.with == Instructions::Amx);
        let begin = begin.first(right.tiles, place);
        match self.with {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: the processor has the instructions and the thread has its tiles set up, by `new`. All tiles that are
            // read lie within their slices by the assertions; the place is whole, by what the caller promises.
            Instructions::Amx => unsafe { amx::block(left, right, at, begin, place) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the instructions, by `new`; for the rest as above.
            Instructions::Avx512 => unsafe { avx512::block(left, right, at, begin, place) },
            // SAFETY: the place is whole, by what the caller promises.
            _ => unsafe { portable::block(left, right, at, begin, place) },
        }
    }
}

/// Deterministic numbers around zero.
#[cfg(test)]
pub(super) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::pairs::{high, low, pair};
    use super::*;

    #[test]
    fn every_kind_of_instructions_computes_a_block() {
        for (steps, tiles, row) in [(1, 1, 16), (1, 2, 16), (3, 2, 77), (9, 1, 50), (40, 2, 16)] {
            let left: Vec<u32> =
                numbers(steps * 2 * TILE, 1).iter().map(|x| pair(*x, x * 0.7 - 0.1)).collect();
            // Rows far apart, the second tile beside the first, steps that overlap.
            let beside = if row == SIDE { TILE } else { SIDE };
            let at: Vec<usize> =
                (0..steps).map(|step| step * if row == SIDE { 2 * TILE } else { 5 }).collect();
            let right: Vec<u32> = numbers(at[steps - 1] + (PAIRS - 1) * row + beside + SIDE, 2)
                .iter()
                .map(|x| pair(*x, 0.3 - x))
                .collect();
            let values = numbers(BLOCK, 3);
            let stride = 40;
            let mut expected = vec![9.0; BLOCK * stride];
            for r in 0..BLOCK {
                for c in 0..tiles * SIDE {
                    let mut sum = f64::from(values[c]);
                    for (step, &at) in at.iter().enumerate() {
                        for p in 0..PAIRS {
                            let l = left[step * 2 * TILE + r / SIDE * TILE + r % SIDE * PAIRS + p];
                            let r = right[at + c / SIDE * beside + p * row + c % SIDE];
                            sum += f64::from(low(l)) * f64::from(low(r));
                            sum += f64::from(high(l)) * f64::from(high(r));
                        }
                    }
                    expected[r * stride + c] = sum;
                }
            }
            let offsets = Offsets::new(at);
            for with in Instructions::all() {
                let mut out = vec![9f32; BLOCK * stride];
                let cells = Cells::new(&mut out, stride);
                let session = Session::new(with);
                let right = Right { pairs: &right, row, tile: beside, tiles };
                // SAFETY: the cells are this test's alone.
                #[allow(unsafe_code)]
                unsafe {
                    let place = cells.block(0, 0, tiles);
                    session.multiply(&left, right, &offsets, Begin::columns(&values), place);
                }
                for (i, (found, expected)) in out.iter().zip(&expected).enumerate() {
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-5 * (steps as f64 * 32.0),
                        "{with:?} {steps} {tiles} {i}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic]
    fn what_does_not_lie_within_is_refused() {
        let (mut out, values) = (vec![0f32; BLOCK * BLOCK], [0f32; BLOCK]);
        let cells = Cells::new(&mut out, BLOCK);
        let (left, right) = (vec![0; 2 * TILE], vec![0; 2 * TILE - 1]);
        let session = Session::new(Instructions::Portable);
        // SAFETY: the cells are this test's alone.
        #[allow(unsafe_code)]
        unsafe {
            let (place, offsets) = (cells.block(0, 0, 2), Offsets::of_tiles(1));
            session.multiply(&left, Right::of_tiles(&right, 2), &offsets, Begin::columns(&values), place);
        }
    }
}
