//! Tiles and blocks: how numbers lie that are multiplied.
//!
//! Both factors lie in tiles, pairs of bf16 as 32 bits. A tile of the left factor is 16 rows of 16 pairs along the depth;
//! one of the right factor is 16 pairs of the depth by 16 columns. A step takes 32 numbers of the depth: two tiles of
//! the left factor, one or two of the right.

/// Rows of a left tile, columns of a right one.
pub(super) const SIDE: usize = 16;
/// Pairs of the depth in a tile.
pub(super) const PAIRS: usize = 16;
/// Numbers of the depth in a step.
pub(super) const DEPTH: usize = 2 * PAIRS;
/// Rows of a block, and most of its columns.
pub(super) const BLOCK: usize = 2 * SIDE;
/// Pairs in a tile that is stored by itself.
pub(super) const TILE: usize = SIDE * PAIRS;

/// The right factor of a block.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) pairs: &'a [u32],
    /// How far apart the rows of a tile lie, in pairs.
    pub(super) row: usize,
    /// How far the second tile lies behind the first, in pairs.
    pub(super) tile: usize,
    /// One tile or two.
    pub(super) tiles: usize,
}

impl<'a> Right<'a> {
    /// Tiles that are stored one after another, two for each step.
    pub(super) fn of_tiles(pairs: &'a [u32], tiles: usize) -> Self {
        Self { pairs, row: SIDE, tile: TILE, tiles }
    }
}

/// What the sums begin with, tile by tile.
#[derive(Clone, Copy)]
pub(super) struct Begin<'a> {
    /// None for what the place holds.
    values: Option<&'a [f32]>,
    /// How far apart the rows within a tile lie.
    row: usize,
    /// How far apart the tiles lie, downwards.
    down: usize,
    /// How far apart the tiles lie, to the right.
    across: usize,
}

/// What the sums begin with as the instructions take it: checked to be there.
#[derive(Clone, Copy)]
pub(super) struct First {
    pub(super) first: *const f32,
    pub(super) row: usize,
    pub(super) down: usize,
    pub(super) across: usize,
}

impl<'a> Begin<'a> {
    /// The same number in a whole column: 32 of them.
    pub(super) fn columns(values: &'a [f32]) -> Self {
        Self { values: Some(values), row: 0, down: 0, across: SIDE }
    }

    /// What the place holds from a product before.
    pub(super) fn there() -> Self {
        Self { values: None, row: 0, down: 0, across: 0 }
    }

    /// The same number in a whole row: each of 32 sixteen times.
    pub(super) fn rows(values: &'a [f32]) -> Self {
        Self { values: Some(values), row: SIDE, down: SIDE * SIDE, across: 0 }
    }

    /// For a place, with so many tiles side by side.
    ///
    /// # Panics
    /// Where it names numbers that are not there.
    pub(super) fn first(self, tiles: usize, place: Place) -> First {
        let Some(values) = self.values else {
            let (first, row) = (place.first.cast_const(), place.stride);
            return First { first, row, down: SIDE * row, across: SIDE };
        };
        let last = (tiles - 1) * self.across + self.down + (SIDE - 1) * self.row + SIDE;
        assert!(values.len() >= last);
        First { first: values.as_ptr(), row: self.row, down: self.down, across: self.across }
    }
}

/// A block within [`Cells`], checked to lie within them.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) first: *mut f32,
    pub(super) stride: usize,
}
