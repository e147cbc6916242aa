//! How the numbers of the right side lie: in tiles, one for each part of a number, of sixteen pairs of rows by sixteen positions.
//!
//! The unit reads a tile well only where its rows begin a line of the cache, while the places of a kernel begin at every pixel. So
//! there is a copy of the picture for each column of the kernel, in which the pixels of that column lie where the sums will be; its rows
//! are found by whole lines of pixels, which are filled up to whole tiles. What is small, or has lines that tiles do not fit, is
//! unrolled instead: each place of the kernel is a row of its own.

use super::tiles::{COLUMNS, DEPTH, PAIRS, PARTS, SIDE};
use crate::ops::shape::Shape;

/// Positions of a sample below which the weights outweigh nine copies of the picture: unrolled, they stay in their order.
const UNROLLED_MAX: usize = 256;

/// How the sums of a convolution are divided into rows and positions. One sample's size alone decides, for its numbers must be the same
/// alone and among others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) shape: Shape,
    unrolled: bool,
}

impl Layout {
    pub(super) fn of(shape: Shape) -> Self {
        let filled = shape.out_width.next_multiple_of(COLUMNS);
        let unrolled = shape.side == 1
            || shape.out_height * shape.out_width <= UNROLLED_MAX
            || filled * 4 > shape.out_width * 5;
        Self { shape, unrolled }
    }

    /// Rows of the right side, and numbers of a row of the left one.
    pub(super) fn depth(self) -> usize {
        self.shape.channels * if self.unrolled { self.shape.side * self.shape.side } else { 1 }
    }

    /// Groups of rows that one step takes.
    pub(super) fn groups(self) -> usize {
        self.depth().div_ceil(DEPTH)
    }

    /// Steps of a group.
    pub(super) fn taps(self) -> usize {
        if self.unrolled { 1 } else { self.shape.side * self.shape.side }
    }

    fn copies(self) -> usize {
        if self.unrolled { 1 } else { self.shape.side }
    }

    /// Lines from one sample to the next.
    pub(super) fn lines(self) -> usize {
        self.shape.out_height + self.copies() - 1
    }

    /// Positions from one line of pixels to the next.
    pub(super) fn pitch(self) -> usize {
        match self.unrolled {
            true => self.shape.out_width,
            false => self.shape.out_width.next_multiple_of(COLUMNS),
        }
    }

    /// Positions that sums are made for; those that no pixel has are dropped.
    pub(super) fn positions(self) -> usize {
        (self.shape.batch * self.lines() - (self.copies() - 1)) * self.pitch()
    }

    /// Tiles across that so many positions need, with those that kernels reach from there.
    pub(super) fn blocks(self, positions: usize) -> usize {
        (positions.next_multiple_of(SIDE) + (self.copies() - 1) * self.pitch()).div_ceil(COLUMNS)
    }

    /// Packed numbers that a group takes for each position.
    pub(super) fn of_position(self) -> usize {
        self.groups() * self.copies() * PARTS * PAIRS
    }

    /// Packed numbers of a group.
    pub(super) fn of_group(self, blocks: usize) -> usize {
        self.copies() * self.of_copy(blocks)
    }

    /// Packed numbers of a copy of the rows of a group.
    pub(super) fn of_copy(self, blocks: usize) -> usize {
        blocks * PARTS * PAIRS * COLUMNS
    }

    /// Where the steps of a group begin, for the sums from a tile on.
    pub(super) fn steps(self, group: usize, block: usize, blocks: usize) -> impl Iterator<Item = usize> {
        let side = if self.unrolled { 1 } else { self.shape.side };
        (0..side).flat_map(move |y| {
            (0..side).map(move |x| {
                let block = block + y * self.pitch() / COLUMNS;
                group * self.of_group(blocks) + x * self.of_copy(blocks) + self.of_copy(block)
            })
        })
    }

    /// The channel of a row.
    pub(super) fn channel(self, row: usize) -> usize {
        row * self.shape.channels / self.depth()
    }

    /// Lays one copy of a row of all samples out from a position on, `planes` being its channel's; `line` holds zeros already.
    pub(super) fn lay_out<'a>(
        self,
        planes: impl Iterator<Item = &'a [f32]>,
        (row, copy): (usize, usize),
        from: usize,
        line: &mut [f32],
    ) {
        let Shape { side, width, top, left, out_width, .. } = self.shape;
        let (y, x) = match self.unrolled {
            true => (row % (side * side) / side, row % side),
            false => (0, copy),
        };
        let end = from + line.len();
        let (lines, pitch) = (self.lines(), self.pitch());
        // The first sum that meets a pixel, and that pixel.
        let first = left.saturating_sub(x);
        let column = (first + x - left).min(width);
        let count = out_width.saturating_sub(first).min(width - column);
        for (sample, plane) in planes.enumerate() {
            let pixels = plane.chunks_exact(width).enumerate();
            for (at, pixels) in pixels.skip(y.saturating_sub(top)) {
                let at = at + top - y;
                if at >= lines {
                    break;
                }
                let to = (sample * lines + at) * pitch + first;
                let (begin, stop) = (to.max(from), (to + count).min(end));
                if begin < stop {
                    let pixels = &pixels[column..column + count];
                    line[begin - from..stop - from].copy_from_slice(&pixels[begin - to..stop - to]);
                }
            }
        }
    }
}
