//! Large pictures piece by piece: tiles that overlap, and one picture of what a network makes of them.
//!
//! Where tiles overlap their results are mixed, each by a weight that falls towards the tile's edge; the weights of a
//! pixel add up to one. Only one row of tiles is in memory at a time.

use crate::DiffusionError;

/// How a picture is divided; lengths count cells, the pixels or latents that go into the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Longest side of a tile.
    pub side: usize,
    /// How far neighbours overlap at least; less than half of `side`.
    pub overlap: usize,
}

/// A tile: its first row and column, and its size, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// The first cells of the tiles along one axis, spread evenly from one end to the other.
fn starts(length: usize, tiling: Tiling) -> Vec<usize> {
    if length <= tiling.side {
        return vec![0];
    }
    let step = (tiling.side - tiling.overlap.min(tiling.side / 2)).max(1);
    let last = length - tiling.side;
    let count = last.div_ceil(step) + 1;
    (0..count).map(|place| (place * last + (count - 1) / 2) / (count - 1)).collect()
}

/// What one tile counts at each place along an axis of the result, of all tiles together one.
fn weights(length: usize, starts: &[usize], tiling: Tiling, scale: usize) -> Vec<Vec<f32>> {
    let (side, ramp) = (tiling.side.min(length) * scale, (tiling.overlap * scale).max(1) as f32);
    let rising = |at: usize| ((at as f32 + 0.5) / ramp).min(1.0);
    let one: Vec<f32> = (0..side).map(|at| rising(at).min(rising(side - 1 - at))).collect();
    let mut sums = vec![0.0f32; length * scale];
    for start in starts {
        sums[start * scale..][..side].iter_mut().zip(&one).for_each(|(sum, weight)| *sum += weight);
    }
    starts
        .iter()
        .map(|start| one.iter().zip(&sums[start * scale..]).map(|(weight, sum)| weight / sum).collect())
        .collect()
}

impl Tiling {
    /// How many tiles a picture of so many cells has.
    pub fn count(self, height: usize, width: usize) -> usize {
        starts(height, self).len() * starts(width, self).len()
    }

    /// Runs `work` on every tile of a picture of `height` × `width` cells. It answers with `channels` planes, `scale`
    /// times as high and wide as the tile. `row` gets the rows of the whole result from the top, one after another: its
    /// number and `channels` lines.
    pub fn run(
        self,
        [height, width]: [usize; 2],
        channels: usize,
        scale: usize,
        work: &mut dyn FnMut(Tile) -> Result<Vec<f32>, DiffusionError>,
        row: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), DiffusionError> {
        let (tops, lefts) = (starts(height, self), starts(width, self));
        let down = weights(height, &tops, self, scale);
        let across = weights(width, &lefts, self, scale);
        let (tile_height, tile_width) = (self.side.min(height), self.side.min(width));
        let (rows, columns, whole) = (tile_height * scale, tile_width * scale, width * scale);
        // Rows of the result from that of the current tiles on, those of one row together.
        let mut band = vec![0.0f32; rows * channels * whole];
        for (place, &top) in tops.iter().enumerate() {
            for (&left, across) in lefts.iter().zip(&across) {
                let made = work(Tile { top, left, height: tile_height, width: tile_width })?;
                if made.len() != channels * rows * columns {
                    let reason = format!("a tile gave {} numbers", made.len());
                    return Err(DiffusionError::Backend(reason));
                }
                for y in 0..rows {
                    for channel in 0..channels {
                        let line = &made[(channel * rows + y) * columns..][..columns];
                        let to = &mut band[(y * channels + channel) * whole + left * scale..][..columns];
                        let factor = down[place][y];
                        for ((to, value), across) in to.iter_mut().zip(line).zip(across) {
                            *to += factor * across * value;
                        }
                    }
                }
            }
            let done = tops.get(place + 1).map_or(rows, |next| (next - top) * scale);
            for y in 0..done {
                row(top * scale + y, &band[y * channels * whole..][..channels * whole]);
            }
            band.drain(..done * channels * whole);
            band.resize(rows * channels * whole, 0.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_leaves_the_picture_as_it_was() {
        for (height, width, side, overlap) in [(5, 7, 8, 2), (23, 17, 8, 3), (40, 9, 8, 0), (16, 16, 8, 7)] {
            let tiling = Tiling { side, overlap };
            let value = |channel: usize, y: usize, x: usize| (channel * 1000 + y * 31 + x) as f32;
            let (mut next, mut tiles) = (0, 0);
            let mut work = |tile: Tile| {
                tiles += 1;
                let mut made = Vec::new();
                for channel in 0..2 {
                    for y in 0..tile.height * 2 {
                        let line =
                            (0..tile.width * 2).map(|x| value(channel, tile.top + y / 2, tile.left + x / 2));
                        made.extend(line);
                    }
                }
                Ok(made)
            };
            tiling
                .run([height, width], 2, 2, &mut work, &mut |y, lines| {
                    assert_eq!((y, lines.len()), (next, 2 * 2 * width));
                    for (at, found) in lines.iter().enumerate() {
                        let wanted = value(at / (2 * width), y / 2, at % (2 * width) / 2);
                        assert!((found - wanted).abs() < 0.01, "{y} {at}: {found} {wanted}");
                    }
                    next += 1;
                })
                .unwrap();
            assert_eq!((next, tiles), (height * 2, tiling.count(height, width)));
        }
    }

    #[test]
    fn a_tile_of_another_size_is_an_error() {
        let tiling = Tiling { side: 4, overlap: 1 };
        let error = tiling.run([9, 9], 1, 1, &mut |_| Ok(vec![0.0]), &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, DiffusionError::Backend(_)));
    }
}
