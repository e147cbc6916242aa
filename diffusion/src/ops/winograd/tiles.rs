//! Which tiles a picture falls into, and how they are numbered: from left to right, from top to bottom, one sample after
//! another.

use crate::ops::products::BLOCK;
use crate::ops::shape::Shape;

impl Shape {
    /// Tiles from left to right.
    pub(super) fn across(self) -> usize {
        self.out_width.div_ceil(2)
    }

    /// Tiles from top to bottom.
    pub(super) fn down(self) -> usize {
        self.out_height.div_ceil(2)
    }

    /// Tiles of one sample.
    pub(super) fn of_sample(self) -> usize {
        self.across() * self.down()
    }

    /// Tiles of all samples.
    pub(super) fn tiles(self) -> usize {
        self.batch * self.of_sample()
    }

    /// The runs of a block: tiles that lie in one row of tiles.
    pub(super) fn runs(self, block: usize) -> impl Iterator<Item = Run> {
        let end = self.tiles().min((block + 1) * BLOCK);
        let mut tile = block * BLOCK;
        std::iter::from_fn(move || {
            (tile < end).then(|| {
                let (line, column) = (tile / self.across(), tile % self.across());
                let count = (self.across() - column).min(end - tile);
                let run = Run {
                    sample: line / self.down(),
                    line: line % self.down(),
                    column,
                    count,
                    at: tile % BLOCK,
                };
                tile += count;
                run
            })
        })
    }
}

/// Tiles of one block that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The sample.
    pub sample: usize,
    /// The row of tiles within the sample.
    pub line: usize,
    /// The first tile's column.
    pub column: usize,
    /// How many.
    pub count: usize,
    /// The first one's place in the block.
    pub at: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_is_in_one_run() {
        let shape = Shape {
            batch: 3,
            channels: 1,
            channels_out: 1,
            side: 3,
            height: 9,
            width: 61,
            top: 1,
            left: 1,
            out_height: 9,
            out_width: 61,
        };
        let mut next = 0;
        for block in 0..shape.tiles().div_ceil(BLOCK) {
            for run in shape.runs(block) {
                let first = (run.sample * shape.down() + run.line) * shape.across() + run.column;
                assert_eq!((first, run.at), (next, next % BLOCK), "{run:?}");
                assert!(
                    run.count > 0 && run.column + run.count <= shape.across() && run.at + run.count <= BLOCK
                );
                next += run.count;
            }
        }
        assert_eq!(next, shape.tiles());
    }
}
