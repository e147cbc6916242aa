//! How do weights of few bits lie in memory where they are multiplied in integers?
//!
//! Sixteen rows lie together, one to each lane of a vector: a lane holds four neighbouring numbers of its row, so that
//! four inputs, the same for all lanes, meet them in one instruction, and sums of a block need no additions across lanes.
//! The same bits are kept as in the file, in another order, filled up to whole panels of rows.
//!
//! A panel is the numbers of all its groups of 32, then the scales of all its blocks. Numbers of a group: vectors of the
//! lowest four bits, of which the lower half of a byte is number `8 v + j` of its row and the upper half `8 v + 4 + j`
//! (vector `v`, byte `j` of a lane); then, where numbers have five or six bits, vectors of the others; or bytes in order.

use bytes::BytesMut;
use rayon::prelude::*;

use super::threads::on_reply_threads;
use super::weight_memory::WeightMemory;
use crate::weights::{PackedRows, StoredType, scale_and_minimum};

/// Rows that lie together.
pub(super) const PANEL: usize = 16;
/// Numbers that are multiplied at a time; as many as inputs share a scale.
pub(super) const GROUP: usize = 32;
/// Bytes of a vector.
pub(super) const VECTOR: usize = 64;

/// Kinds of scales, which are named by their bytes in a panel: a half-precision number for each row…
pub(super) const HALVES: usize = 32;
/// …with a minimum of the same kind…
pub(super) const HALVES_WITH_MINIMA: usize = 64;
/// …both, and for each of eight groups a factor of six bits to either: lines of 16 bytes, one to a row, which hold the
/// eight factors of scales, with two bits of the minima's factors on top, then the other four bits of these by pairs…
pub(super) const SIX_BITS: usize = 256;
/// …or a half-precision number, and sixteen lines of signed factors, one for each 16 numbers.
pub(super) const SIGNED: usize = 288;

/// How a type is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// Bits of a number without a sign: 4, 5, 6 or 8.
    pub(super) bits: usize,
    /// The kind of scales.
    pub(super) scales: usize,
    /// What is subtracted from a number.
    pub(super) offset: i32,
}

impl Layout {
    /// The layout of a type, if it has one.
    pub(super) const fn of(stored: StoredType) -> Option<Layout> {
        let (bits, scales, offset) = match stored {
            StoredType::Q4_0 => (4, HALVES, 8),
            StoredType::Q4_1 => (4, HALVES_WITH_MINIMA, 0),
            StoredType::Q5_0 => (5, HALVES, 16),
            StoredType::Q5_1 => (5, HALVES_WITH_MINIMA, 0),
            StoredType::Q8_0 => (8, HALVES, 128),
            StoredType::Q4K => (4, SIX_BITS, 0),
            StoredType::Q5K => (5, SIX_BITS, 0),
            StoredType::Q6K => (6, SIGNED, 32),
            _ => return None,
        };
        Some(Layout { bits, scales, offset })
    }

    /// Bytes of the numbers of a group.
    pub(super) const fn group_bytes(self) -> usize {
        self.bits * VECTOR
    }

    /// Groups that share scales.
    pub(super) const fn groups(self) -> usize {
        match self.scales {
            HALVES | HALVES_WITH_MINIMA => 1,
            _ => 8,
        }
    }

    /// Bytes of a panel of rows of `width` numbers.
    fn panel_bytes(self, width: usize) -> usize {
        let groups = width / GROUP;
        groups * self.group_bytes() + groups / self.groups() * self.scales
    }
}

/// Rows of weights.
pub(super) struct InterleavedRows {
    pub(super) stored: StoredType,
    pub(super) layout: Layout,
    /// Numbers in a row.
    pub(super) width: usize,
    rows: usize,
    bytes: BytesMut,
    /// Where the first panel begins, so that it does at the beginning of a line of the cache.
    start: usize,
}

impl InterleavedRows {
    /// The same weights; `None` of types that have no such layout.
    pub(super) fn new(packed: &PackedRows, memory: &mut WeightMemory) -> Option<InterleavedRows> {
        let layout = Layout::of(packed.stored)?;
        let (width, rows) = (packed.width, packed.rows());
        let panel_bytes = layout.panel_bytes(width);
        let mut bytes = memory.take(rows.div_ceil(PANEL) * panel_bytes + VECTOR - 1);
        let start = bytes.as_ptr().align_offset(VECTOR).min(VECTOR - 1);
        let (row_bytes, block_bytes) = (packed.row_bytes(), packed.stored.block_bytes());
        let panels = bytes[start..].par_chunks_exact_mut(panel_bytes);
        let write = |(panel, stored): (&mut [u8], &[u8])| {
            let (numbers, scales) = panel.split_at_mut(width / GROUP * layout.group_bytes());
            for (lane, row) in stored.chunks_exact(row_bytes).enumerate() {
                let blocks = row.chunks_exact(block_bytes).zip(scales.chunks_exact_mut(layout.scales));
                let numbers = numbers.chunks_exact_mut(layout.groups() * layout.group_bytes());
                for ((block, scales), numbers) in blocks.zip(numbers) {
                    write_scales(packed.stored, block, lane, scales);
                    for (group, out) in numbers.chunks_exact_mut(layout.group_bytes()).enumerate() {
                        write_numbers(layout.bits, &stored_numbers(packed.stored, block, group), lane, out);
                    }
                }
            }
        };
        on_reply_threads(|| panels.zip(packed.bytes.par_chunks(PANEL * row_bytes)).for_each(write));
        Some(InterleavedRows { stored: packed.stored, layout, width, rows, bytes, start })
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers and scales of the panel that begins with row `first`.
    pub(super) fn panel(&self, first: usize) -> (&[u8], &[u8]) {
        debug_assert!(first.is_multiple_of(PANEL), "a panel begins with row {first}");
        let bytes = self.layout.panel_bytes(self.width);
        let panel = &self.bytes[self.start + first / PANEL * bytes..][..bytes];
        panel.split_at(self.width / GROUP * self.layout.group_bytes())
    }

    /// Writes one row's numbers, bit by bit those of the file, to `out`.
    pub(super) fn unpack(&self, row: usize, out: &mut [f32]) {
        let (lane, layout) = (row % PANEL, self.layout);
        let (numbers, scales) = self.panel(row - lane);
        let groups = numbers.chunks_exact(layout.group_bytes()).zip(out.as_chunks_mut::<GROUP>().0);
        for (index, (numbers, out)) in groups.enumerate() {
            let (block, group) = (index / layout.groups(), index % layout.groups());
            let scales = &scales[block * layout.scales..][..layout.scales];
            let (factors, minimum) = read_scales(layout.scales, scales, lane, group);
            for (i, out) in out.iter_mut().enumerate() {
                let number = i32::from(read_number(layout.bits, numbers, lane, i)) - layout.offset;
                *out = factors[i / (GROUP / 2)] * number as f32 + minimum;
            }
        }
    }
}

fn half(bytes: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// The numbers of a group of a block as they are stored, without signs.
fn stored_numbers(stored: StoredType, block: &[u8], group: usize) -> [u8; GROUP] {
    let halves = |at: usize| -> [u8; GROUP] {
        std::array::from_fn(|i| if i < 16 { block[at + i] & 15 } else { block[at + i - 16] >> 4 })
    };
    let fifths = |at: usize, numbers: [u8; GROUP]| -> [u8; GROUP] {
        std::array::from_fn(|i| numbers[i] | (block[at + i / 8] >> (i % 8) & 1) << 4)
    };
    let nibbles = |at: usize| -> [u8; GROUP] {
        std::array::from_fn(|i| block[at + group / 2 * GROUP + i] >> (group % 2 * 4) & 15)
    };
    match stored {
        StoredType::Q4_0 => halves(2),
        StoredType::Q4_1 => halves(4),
        StoredType::Q5_0 => fifths(2, halves(6)),
        StoredType::Q5_1 => fifths(4, halves(8)),
        StoredType::Q8_0 => std::array::from_fn(|i| block[2 + i] ^ 0x80),
        StoredType::Q4K => nibbles(16),
        StoredType::Q5K => {
            let numbers = nibbles(48);
            std::array::from_fn(|i| numbers[i] | (block[16 + i] >> group & 1) << 4)
        }
        _ => {
            let (side, quarter) = (group / 4, group % 4);
            let low = &block[64 * side + 32 * (quarter % 2)..][..GROUP];
            let high = &block[128 + 32 * side..][..GROUP];
            std::array::from_fn(|i| {
                (low[i] >> (4 * (quarter / 2)) & 15) | (high[i] >> (2 * quarter) & 3) << 4
            })
        }
    }
}

/// Writes a row's numbers of a group to their places.
fn write_numbers(bits: usize, numbers: &[u8; GROUP], lane: usize, out: &mut [u8]) {
    let at = |vector: usize| vector * VECTOR + 4 * lane;
    if bits == 8 {
        for (vector, four) in numbers.as_chunks::<4>().0.iter().enumerate() {
            out[at(vector)..][..4].copy_from_slice(four);
        }
        return;
    }
    for (vector, eight) in numbers.as_chunks::<8>().0.iter().enumerate() {
        let bytes: [u8; 4] = std::array::from_fn(|j| eight[j] & 15 | (eight[4 + j] & 15) << 4);
        out[at(vector)..][..4].copy_from_slice(&bytes);
    }
    // The others of `8 / (bits - 4)` words of numbers share a vector.
    let Some(words) = 8usize.checked_div(bits - 4) else { return };
    for (vector, numbers) in numbers.chunks_exact(4 * words).enumerate() {
        let bytes: [u8; 4] = std::array::from_fn(|j| {
            (0..words).fold(0, |byte, word| byte | (numbers[4 * word + j] >> 4) << (word * (bits - 4)))
        });
        out[at(4 + vector)..][..4].copy_from_slice(&bytes);
    }
}

/// Number `i` of a row's group.
fn read_number(bits: usize, numbers: &[u8], lane: usize, i: usize) -> u8 {
    let at = |vector: usize| numbers[vector * VECTOR + 4 * lane + i % 4];
    if bits == 8 {
        return at(i / 4);
    }
    let low = at(i / 8) >> (i % 8 / 4 * 4) & 15;
    let Some(words) = 8usize.checked_div(bits - 4) else { return low };
    let (vector, word) = (i / 4 / words, i / 4 % words);
    low | (at(4 + vector) >> (word * (bits - 4)) & ((1 << (bits - 4)) - 1)) << 4
}

/// Writes the scales of a row's block to their places.
fn write_scales(stored: StoredType, block: &[u8], lane: usize, out: &mut [u8]) {
    let mut halves =
        |place: usize, bytes: &[u8]| out[32 * place + 2 * lane..][..2].copy_from_slice(&bytes[..2]);
    match stored {
        StoredType::Q4_0 | StoredType::Q5_0 | StoredType::Q8_0 => halves(0, block),
        StoredType::Q4_1 | StoredType::Q5_1 => {
            halves(0, block);
            halves(1, &block[2..]);
        }
        StoredType::Q4K | StoredType::Q5K => {
            halves(0, block);
            halves(1, &block[2..]);
            let lines = &mut out[64..];
            for group in 0..8 {
                let (scale, minimum) = scale_and_minimum(&block[4..16], group);
                let (scale, minimum) = (scale as u8, minimum as u8);
                lines[PANEL * group + lane] = scale | minimum << 6;
                lines[PANEL * (8 + group / 2) + lane] |= minimum >> 2 << (group % 2 * 4);
            }
        }
        _ => {
            halves(0, &block[208..]);
            for (line, factor) in out[32..].chunks_exact_mut(PANEL).zip(&block[192..208]) {
                line[lane] = *factor;
            }
        }
    }
}

/// The scales of either half of a row's group, and its minimum.
fn read_scales(kind: usize, scales: &[u8], lane: usize, group: usize) -> ([f32; 2], f32) {
    let scale = half(scales, 2 * lane);
    match kind {
        HALVES => ([scale; 2], 0.0),
        HALVES_WITH_MINIMA => ([scale; 2], half(scales, 32 + 2 * lane)),
        SIX_BITS => {
            let lines = &scales[64..];
            let both = lines[PANEL * group + lane];
            let rest = lines[PANEL * (8 + group / 2) + lane] >> (group % 2 * 4) & 15;
            let minimum = half(scales, 32 + 2 * lane) * f32::from(both >> 6 | rest << 2);
            ([scale * f32::from(both & 63); 2], -minimum)
        }
        _ => {
            let factor =
                |side: usize| f32::from(scales[32 + PANEL * (2 * group + side) + lane].cast_signed());
            ([0, 1].map(|side| scale * factor(side)), 0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_file_in_no_more_memory() {
        for (stored, bits) in [
            (StoredType::Q4_0, 4.5),
            (StoredType::Q4_1, 5.0),
            (StoredType::Q5_0, 5.5),
            (StoredType::Q5_1, 6.0),
            (StoredType::Q8_0, 8.5),
            (StoredType::Q4K, 4.5),
            (StoredType::Q5K, 5.5),
            (StoredType::Q6K, 6.5625),
        ] {
            for (blocks, rows) in [(1, 1), (3, 16), (2, 37)] {
                let width = blocks * stored.block_len();
                // Scales of every exponent but that of numbers that are none.
                let bytes: Vec<u8> = (0..rows * stored.row_bytes(width))
                    .map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] & 0xbb)
                    .collect();
                let packed = PackedRows { stored, width, bytes };
                let interleaved = InterleavedRows::new(&packed, &mut WeightMemory::default()).unwrap();
                assert_eq!(interleaved.rows(), rows);
                let held = (interleaved.bytes.len() - VECTOR + 1) as f64;
                let filled = rows.next_multiple_of(PANEL) * width;
                assert!((held - filled as f64 * bits / 8.0).abs() < 0.5, "{stored:?}");
                let (mut expected, mut found) = (vec![0.0; width], vec![f32::NAN; width]);
                for row in 0..rows {
                    packed.unpack(row, &mut expected);
                    interleaved.unpack(row, &mut found);
                    assert_eq!(expected, found, "{stored:?} {row}");
                }
            }
        }
    }
}
