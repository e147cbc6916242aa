//! How are rows of weights multiplied that are stored in fewer bits than they mean?
//!
//! A group of numbers is unpacked into registers and multiplied with all rows of inputs there. Types without such a way,
//! and all types where there are many rows of inputs, are unpacked some rows at a time. The products are the same either
//! way. Each loop is written once and compiled for every instruction set that pulp detects.

// Indices, because zipped iterators of several arrays are not unrolled into registers.
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;

use pulp::Arch;

#[cfg(target_arch = "x86_64")]
use super::packed_wide::{Wide, WidePacked, of_group, wide_tiles, wide_unpack};
use super::tiles::{GROUP, Packed, packed_tiles, plain_tiles, unpack};
use crate::weights::{PackedRows, StoredType, scale_and_minimum};

/// With more input rows than this, unpacking once for all of them is faster.
const ROWS_MAX: usize = 8;
/// Packed weights that are unpacked at a time for few rows of inputs: they stay in the nearest cache until they are used.
const FEW_NUMBERS: usize = 4096;
/// The same for many: they stay in the second cache.
const MANY_NUMBERS: usize = 1 << 16;
/// What the product of many rows takes at once.
const MANY_ROWS: usize = 12;

/// Calls a function with the way that a type is unpacked in registers, or else another one.
macro_rules! with_type {
    ($stored:expr, $call:ident, $wide:ident, ($($argument:expr),*), $otherwise:expr) => {
        match ($stored, Arch::new()) {
            #[cfg(target_arch = "x86_64")]
            (StoredType::Q4_0, Arch::V4(simd)) => $wide::<18, _>(simd, Q40, $($argument),*),
            #[cfg(target_arch = "x86_64")]
            (StoredType::Q4_1, Arch::V4(simd)) => $wide::<20, _>(simd, Q41, $($argument),*),
            #[cfg(target_arch = "x86_64")]
            (StoredType::Q8_0, Arch::V4(simd)) => $wide::<34, _>(simd, Q80, $($argument),*),
            #[cfg(target_arch = "x86_64")]
            (StoredType::Q4K, Arch::V4(simd)) => $wide::<144, _>(simd, Q4K, $($argument),*),
            #[cfg(target_arch = "x86_64")]
            (StoredType::Q6K, Arch::V4(simd)) => $wide::<210, _>(simd, Q6K, $($argument),*),
            (StoredType::Q4_0, _) => $call::<18, _>(Q40, $($argument),*),
            (StoredType::Q4_1, _) => $call::<20, _>(Q41, $($argument),*),
            (StoredType::Q8_0, _) => $call::<34, _>(Q80, $($argument),*),
            (StoredType::Q4K, _) => $call::<144, _>(Q4K, $($argument),*),
            (StoredType::Q6K, _) => $call::<210, _>(Q6K, $($argument),*),
            _ => $otherwise,
        }
    };
}

/// Multiplies weight rows from `first` on with rows of inputs: as many as the slices of `out` have room for with as many
/// as there are slices.
pub(super) fn packed_products(part: &PackedRows, first: usize, x: &[f32], out: &mut [&mut [f32]]) {
    if out.len() > ROWS_MAX {
        return unpacked_products(part, first, x, MANY_NUMBERS, out);
    }
    let start = first * part.row_bytes();
    let weights = &part.bytes[start..start + out[0].len() * part.row_bytes()];
    with_type!(
        part.stored,
        packed_tiles,
        wide_tiles,
        (weights, x, part.width, out),
        unpacked_products(part, first, x, FEW_NUMBERS, out)
    );
}

/// The same for any type: some rows are unpacked, then multiplied.
fn unpacked_products(part: &PackedRows, first: usize, x: &[f32], numbers: usize, out: &mut [&mut [f32]]) {
    let (width, outs) = (part.width, out[0].len());
    let at_once = (numbers / width / MANY_ROWS * MANY_ROWS).max(4).min(outs);
    let mut unpacked = vec![0.0; at_once * width];
    for done in (0..outs).step_by(at_once) {
        let count = at_once.min(outs - done);
        let unpacked = &mut unpacked[..count * width];
        let start = (first + done) * part.row_bytes();
        let weights = &part.bytes[start..start + count * part.row_bytes()];
        with_type!(
            part.stored,
            unpack,
            wide_unpack,
            (weights, unpacked),
            part.unpack(first + done, unpacked)
        );
        let mut out: Vec<&mut [f32]> = out.iter_mut().map(|row| &mut row[done..done + count]).collect();
        plain_tiles(unpacked, x, width, &mut out);
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

#[derive(Clone, Copy)]
struct Q40;
#[derive(Clone, Copy)]
struct Q41;
#[derive(Clone, Copy)]
struct Q80;
#[derive(Clone, Copy)]
struct Q4K;
#[derive(Clone, Copy)]
struct Q6K;

impl Packed<18> for Q40 {
    const GROUPS: usize = 1;

    #[inline(always)]
    fn group(self, block: &[u8; 18], _: usize) -> [f32; GROUP] {
        let scale = half(block, 0);
        four_bits(block, 2, scale, -8.0 * scale)
    }
}

impl Packed<20> for Q41 {
    const GROUPS: usize = 1;

    #[inline(always)]
    fn group(self, block: &[u8; 20], _: usize) -> [f32; GROUP] {
        four_bits(block, 4, half(block, 0), half(block, 2))
    }
}

impl Packed<34> for Q80 {
    const GROUPS: usize = 1;

    #[inline(always)]
    fn group(self, block: &[u8; 34], _: usize) -> [f32; GROUP] {
        let scale = half(block, 0);
        let mut numbers = [0.0; GROUP];
        for i in 0..GROUP {
            numbers[i] = f32::from(block[2 + i].cast_signed()) * scale;
        }
        numbers
    }
}

impl Packed<144> for Q4K {
    const GROUPS: usize = 8;

    #[inline(always)]
    fn group(self, block: &[u8; 144], group: usize) -> [f32; GROUP] {
        let (scale, minimum) = scale_and_minimum(&block[4..16], group);
        let (scale, minimum) = (half(block, 0) * scale, -half(block, 2) * minimum);
        let shift = group % 2 * 4;
        let bytes = part(block, 16 + group / 2 * GROUP);
        let mut numbers = [0.0; GROUP];
        for i in 0..GROUP {
            numbers[i] = f32::from((bytes[i] >> shift) & 15).mul_add(scale, minimum);
        }
        numbers
    }
}

impl Packed<210> for Q6K {
    const GROUPS: usize = 8;

    #[inline(always)]
    fn group(self, block: &[u8; 210], group: usize) -> [f32; GROUP] {
        let (side, quarter) = (group / 4, group % 4);
        let (low, high) = (part(block, 64 * side + 32 * (quarter % 2)), part(block, 128 + 32 * side));
        let (low_shift, high_shift) = (4 * (quarter / 2), 2 * quarter);
        let scale = half(block, 208);
        let mut numbers = [0.0; GROUP];
        for i in 0..GROUP {
            let number = ((low[i] >> low_shift) & 15) | ((high[i] >> high_shift) & 3) << 4;
            numbers[i] = f32::from(number) - 32.0;
        }
        for (half, numbers) in numbers.as_chunks_mut::<{ GROUP / 2 }>().0.iter_mut().enumerate() {
            let scale = scale * f32::from(block[192 + 2 * group + half].cast_signed());
            for number in numbers {
                *number *= scale;
            }
        }
        numbers
    }
}

#[cfg(target_arch = "x86_64")]
impl WidePacked<18> for Q40 {
    #[inline(always)]
    fn vectors(self, wide: Wide, block: &[u8; 18], _: usize) -> [__m512; 2] {
        let (scale, lanes) = (wide.half(block, 0), wide.lanes(block.last_chunk().unwrap_or(&[0; 16])));
        let table = wide.table(scale, wide.product(scale, wide.splat(-8.0)));
        [wide.low(lanes, table), wide.high(lanes, table)]
    }
}

#[cfg(target_arch = "x86_64")]
impl WidePacked<20> for Q41 {
    #[inline(always)]
    fn vectors(self, wide: Wide, block: &[u8; 20], _: usize) -> [__m512; 2] {
        let table = wide.table(wide.half(block, 0), wide.half(block, 2));
        let lanes = wide.lanes(block.last_chunk().unwrap_or(&[0; 16]));
        [wide.low(lanes, table), wide.high(lanes, table)]
    }
}

#[cfg(target_arch = "x86_64")]
impl WidePacked<34> for Q80 {
    #[inline(always)]
    fn vectors(self, wide: Wide, block: &[u8; 34], _: usize) -> [__m512; 2] {
        let (scale, bytes) = (wide.half(block, 0), part(block, 2).as_chunks().0);
        [wide.signed(&bytes[0], scale), wide.signed(&bytes[1], scale)]
    }
}

#[cfg(target_arch = "x86_64")]
impl WidePacked<144> for Q4K {
    #[inline(always)]
    fn vectors(self, wide: Wide, block: &[u8; 144], group: usize) -> [__m512; 2] {
        let table = of_group(wide, block, group);
        let bytes = part(block, 16 + group / 2 * GROUP).as_chunks().0;
        let lanes = [wide.lanes(&bytes[0]), wide.lanes(&bytes[1])];
        match group % 2 {
            0 => [wide.low(lanes[0], table), wide.low(lanes[1], table)],
            _ => [wide.high(lanes[0], table), wide.high(lanes[1], table)],
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl WidePacked<210> for Q6K {
    #[inline(always)]
    fn vectors(self, wide: Wide, block: &[u8; 210], group: usize) -> [__m512; 2] {
        let (side, quarter) = (group / 4, group % 4);
        let low = part(block, 64 * side + 32 * (quarter % 2)).as_chunks().0;
        let high = part(block, 128 + 32 * side).as_chunks().0;
        let shift = [4 * (quarter / 2) as i32, 2 * quarter as i32];
        let scale = wide.half(block, 208);
        let first = wide.product(scale, wide.splat(f32::from(block[192 + 2 * group].cast_signed())));
        let second = wide.product(scale, wide.splat(f32::from(block[193 + 2 * group].cast_signed())));
        [wide.six_bits([&low[0], &high[0]], shift, first), wide.six_bits([&low[1], &high[1]], shift, second)]
    }
}

/// Bytes of a group, of a length that loops need not check.
#[inline(always)]
fn part(block: &[u8], at: usize) -> &[u8; GROUP] {
    match block.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(part) => part,
        None => &[0; GROUP],
    }
}

/// Thirty-two four-bit numbers from `at` on: the low halves of sixteen bytes, then the high ones. What they mean is
/// rounded once, as a scale of 11 bits times a number of four is exact.
#[inline(always)]
fn four_bits<const BYTES: usize>(bytes: &[u8; BYTES], at: usize, scale: f32, minimum: f32) -> [f32; GROUP] {
    let mut numbers = [0.0; GROUP];
    for i in 0..GROUP / 2 {
        numbers[i] = f32::from(bytes[at + i] & 15).mul_add(scale, minimum);
        numbers[i + GROUP / 2] = f32::from(bytes[at + i] >> 4).mul_add(scale, minimum);
    }
    numbers
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn bytes(count: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(count)
        .collect()
    }

    fn products(part: &PackedRows, first: usize, x: &[f32]) -> Vec<f32> {
        let outs = part.rows() - first;
        let mut out = vec![f32::NAN; x.len() / part.width * outs];
        packed_products(part, first, x, &mut out.chunks_exact_mut(outs).collect::<Vec<_>>());
        out
    }

    /// A matrix of random blocks whose scales and minima lie between a thousandth and one, of either sign.
    pub(in super::super) fn matrix(stored: StoredType, width: usize, outs: usize) -> PackedRows {
        let mut packed = bytes(stored.row_bytes(width) * outs, 7);
        for block in packed.chunks_exact_mut(stored.block_bytes()) {
            for at in match stored {
                StoredType::Q4_1 | StoredType::Q5_1 | StoredType::Q4K | StoredType::Q5K => [1, 3],
                StoredType::Q6K => [209, 209],
                _ => [1, 1],
            } {
                block[at] = 0x14 + (block[at] & 0x83);
            }
        }
        PackedRows { stored, width, bytes: packed }
    }

    #[test]
    fn products_agree_with_those_of_unpacked_numbers_and_do_not_depend_on_their_neighbours() {
        for stored in [
            StoredType::Q4_0,
            StoredType::Q4_1,
            StoredType::Q5_1,
            StoredType::Q8_0,
            StoredType::Q4K,
            StoredType::Q6K,
        ] {
            for (blocks, outs, rows) in [(1, 1, 1), (2, 3, 2), (18, 5, 3), (3, 4, 7), (5, 14, 21)] {
                let width = blocks * stored.block_len();
                let part = matrix(stored, width, outs);
                let x: Vec<f32> =
                    bytes(width * rows, 9).iter().map(|b| f32::from(*b) / 100.0 - 1.0).collect();
                let out = products(&part, 0, &x);
                let mut numbers = vec![0.0; outs * width];
                part.unpack(0, &mut numbers);
                for r in 0..rows {
                    let x = &x[r * width..(r + 1) * width];
                    for o in 0..outs {
                        let weights = &numbers[o * width..(o + 1) * width];
                        let each = weights.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                        let (plain, size) =
                            each.fold((0.0, 1e-3), |(sum, size), it| (sum + it, size + it.abs()));
                        let error = (f64::from(out[r * outs + o]) - plain).abs() / size;
                        assert!(error < 2e-6, "{stored:?} {width} {outs} {rows}: {error}");
                    }
                    // A batch changes nothing, nor does where a task begins.
                    assert_eq!(products(&part, 0, x), out[r * outs..(r + 1) * outs], "{stored:?} {width}");
                    assert_eq!(products(&part, outs / 2, x), out[r * outs + outs / 2..(r + 1) * outs]);
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
